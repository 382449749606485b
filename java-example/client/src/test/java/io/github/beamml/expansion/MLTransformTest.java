// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static io.github.beamml.expansion.Messages.json;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.testing.FakeRunInference;
import io.github.beamml.expansion.v1.ErrorHandling;
import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.MLTransformConfig;
import io.github.beamml.expansion.v1.TensorBatchInput;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.schemas.logicaltypes.SqlTypes;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.testing.TestStream;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TimestampedValue;
import org.joda.time.Duration;
import org.joda.time.Instant;
import org.junit.After;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** MLTransform up to the service, and from it on. */
public class MLTransformTest {

  private static final Schema INNER = Schema.builder().addStringField("city").build();

  /** Fields of every kind; the first four are no columns. */
  private static final Schema VISIT =
      Schema.builder()
          .addNullableField("place", FieldType.row(INNER))
          .addMapField("counts", FieldType.STRING, FieldType.INT64)
          .addLogicalTypeField("day", SqlTypes.DATE)
          .addDateTimeField("at")
          .addNullableField("age", FieldType.DOUBLE)
          .addStringField("message")
          .addArrayField("tags", FieldType.STRING)
          .addArrayField("grid", FieldType.array(FieldType.INT32))
          .addByteArrayField("photo")
          .build();

  @Rule
  public final transient TestPipeline pipeline =
      TestPipeline.create().enableAbandonedNodeEnforcement(false);

  @Rule public final transient TemporaryFolder folder = new TemporaryFolder();

  private transient Echo echo;

  @After
  public void stopEcho() {
    Expanders.unregister("echo");
  }

  /** Serves a transform that changes nothing, but says of these columns that it did. */
  private void serve(List<Field> results, String... dropped) {
    echo = new Echo(results, List.of(dropped));
    Expanders.register("echo", echo);
    pipeline.getOptions().as(ExpansionOptions.class).setExpansionService("echo");
  }

  private static Row visit(Double age, String message, String... tags) {
    return Row.withSchema(VISIT)
        .addValue(age == null ? null : Row.withSchema(INNER).addValue("Kyiv").build())
        .addValue(Map.of("page", 3L))
        .addValue(LocalDate.of(2026, 11, 24))
        .addValue(Instant.ofEpochSecond(7))
        .addValue(age)
        .addValue(message)
        .addArray(Arrays.asList(tags))
        .addArray(List.of(List.of(1, 2), List.of(3, 4)))
        .addValue(new byte[] {1, -1})
        .build();
  }

  private PCollection<Row> visits() {
    return pipeline.apply(
        Create.of(visit(40.5, "hello", "a", "b"), visit(null, "", new String[0]))
            .withRowSchema(VISIT));
  }

  private static MLTransform<Row> scaled() {
    return MLTransform.of(Operations.scaleTo01("age"));
  }

  @Test
  public void theFluentSettingsAreTheMessage() throws Exception {
    MLTransform<Row> transform =
        MLTransform.<Row>of(Operations.scaleToZScore("age"), Operations.oneHot(3, "city"))
            .writeArtifact("gs://features/visits")
            .overwrite()
            .preHooks(Hooks.impute("none", "city"))
            .postHooks(Hooks.concat("x", "age", "city"), Hooks.select("x"))
            .engine("native")
            .maxBatchSize(100)
            .errorHandling(ErrorHandling.newBuilder().setMaxErrorRate(0.5).build());
    assertEquals(
        "{'operations':[{'scale_to_z_score':{'columns':['age']}},"
            + "{'one_hot':{'columns':['city'],'size':'3'}}],"
            + "'write_artifact_location':'gs://features/visits','overwrite':true,"
            + "'engine':'native','pre_hooks':[{'impute':{'columns':['city'],'text':'none'}}],"
            + "'post_hooks':[{'concat':{'columns':['age','city'],'output':'x'}},"
            + "{'select':{'columns':['x']}}],'max_batch_size':'100',"
            + "'error_handling':{'max_error_rate':0.5}}",
        json(transform.config()));
    assertEquals(
        "{'read_artifact_location':'gs://features/visits'}",
        json(MLTransform.<Row>readArtifact("gs://features/visits").config()));
  }

  @Test
  public void aFileIsTheMessage() throws Exception {
    Path file = folder.getRoot().toPath().resolve("prepare.yaml");
    Files.writeString(
        file,
        "operations:\n  - bucketize: {columns: [age], buckets: 4}\n"
            + "write_artifact_location: here\n");
    assertEquals(
        "{'operations':[{'bucketize':{'columns':['age'],'buckets':'4'}}],"
            + "'write_artifact_location':'here'}",
        json(MLTransform.<Row>fromConfig(file.toString()).config()));
    Files.writeString(file, "operations:\n  - scale: {columns: [age]}\n");
    ExpansionException e =
        assertThrows(
            ExpansionException.class, () -> MLTransform.<Row>fromConfig(file.toString()));
    assertEquals(
        file + ": operations[0].scale: there is no such field; expected one of",
        e.getMessage().replaceAll(" scale_to_01.*", ""));
  }

  @Test
  public void theServiceIsToldOfEveryFieldThatCanBeAColumn() throws Exception {
    serve(List.of());
    visits().apply(scaled().shape("grid", 2, 2));
    TensorBatchInput sent = echo.config.getTensorBatch();
    assertEquals(
        "{'columns':[{'name':'age','datatype':'FP64'},{'name':'message','datatype':'STRING'},"
            + "{'name':'tags','datatype':'STRING','shape':['-1']},"
            + "{'name':'grid','datatype':'INT32','shape':['2','2']},"
            + "{'name':'photo','datatype':'BYTES'}],'opaque_columns':['element'],"
            // A message could not come back beside an error, which has one of its own.
            + "'return_columns':['age','tags','grid','photo']}",
        json(sent));
    assertEquals("errors", echo.config.getErrorHandling().getOutput());
  }

  @Test
  public void whatNothingTransformsComesBackAsItWas() {
    serve(List.of());
    Transformed<Row> transformed = visits().apply(scaled());
    assertEquals(VISIT, transformed.output().getSchema());
    PAssert.that(transformed.output())
        .containsInAnyOrder(visit(40.5, "hello", "a", "b"), visit(null, "", new String[0]));
    PAssert.that(transformed.errors()).empty();
    pipeline.run();
  }

  @Test
  public void resultsStandInTheirColumnsPlacesAndOthersAtTheEnd() {
    serve(
        List.of(Fields.of("message", Datatype.STRING), Fields.of("age", Datatype.FP64)),
        "age",
        "photo",
        "grid");
    PCollection<Row> output = visits().apply(scaled()).output();
    assertEquals(
        List.of("place", "counts", "day", "at", "message", "tags", "age"),
        output.getSchema().getFieldNames());
    PAssert.that(output.apply(new Mapped<>(row -> row.getString("message"), StringUtf8Coder.of())))
        .containsInAnyOrder("hello", "");
    pipeline.run();
  }

  @Test
  public void aResultDoesNotTakeThePlaceOfAFieldThatIsNoColumn() {
    serve(List.of(Fields.of("day", Datatype.INT64)));
    assertRefused(
        visits(),
        scaled(),
        "the result \"day\" has the name of a field of the input that is no column; give it another"
            + " with outputs or Hooks.rename");
  }

  private static final Schema RAGGED =
      Schema.builder()
          .addDoubleField("age")
          .addArrayField("x", FieldType.array(FieldType.INT32))
          .addArrayField("scores", FieldType.DOUBLE.withNullable(true))
          .addArrayField("words", FieldType.STRING.withNullable(true))
          .build();

  private static Row ragged(List<List<Integer>> x, List<Double> scores, List<String> words) {
    return Row.withSchema(RAGGED).addValues(2.0, x, scores, words).build();
  }

  @Test
  public void valuesThatAreNoTensorsComeThroughWhereNoOneReadsThem() {
    serve(List.of(Fields.of("age", Datatype.FP64)));
    Row[] rows = {
      ragged(List.of(List.of(1), List.of(2)), List.of(1.0), List.of("a", "b")),
      ragged(List.of(List.of(1), List.of(2, 3)), List.of(2.0, 3.0), List.of("c")),
      ragged(List.of(), Arrays.asList(4.0, null), Arrays.asList("d", "e", null)),
      ragged(List.of(List.of(4, 5)), List.of(5.0), List.of("f", "g")),
    };
    PCollection<Row> input = pipeline.apply(Create.of(Arrays.asList(rows)).withRowSchema(RAGGED));
    Transformed<Row> transformed = input.apply(scaled());
    PAssert.that(transformed.output()).containsInAnyOrder(rows);
    PAssert.that(transformed.errors()).empty();
    pipeline.run();
  }

  @Test
  public void anElementThatIsNotOfTheShapeThatWasSaidIsAnErrorOfItsOwn() {
    serve(List.of());
    Row good = ragged(List.of(List.of(1), List.of(2)), List.of(), List.of());
    Row bad = ragged(List.of(List.of(1), List.of(2, 3)), List.of(), List.of());
    Transformed<Row> transformed =
        pipeline
            .apply(Create.of(good, bad).withRowSchema(RAGGED))
            .apply(scaled().shape("x", 2, 1));
    PAssert.that(transformed.output()).containsInAnyOrder(good);
    PAssert.that(
            transformed
                .errors()
                .apply(
                    new Mapped<>(
                        e -> e.element().equals(bad) + " " + e.stage() + ": " + e.message(),
                        StringUtf8Coder.of())))
        .containsInAnyOrder(
            "true decode: feature \"x\" has arrays of 1 and 2 elements within one row");
    pipeline.run();
  }

  @Test
  public void windowsOfAStreamAreRestored() {
    serve(List.of());
    Schema schema = Schema.builder().addDoubleField("age").build();
    TestStream<Row> stream =
        TestStream.create(schema)
            .addElements(at(schema, 1, 1), at(schema, 2, 11))
            .advanceWatermarkTo(Instant.ofEpochSecond(15))
            .addElements(at(schema, 3, 12))
            .advanceWatermarkToInfinity();
    PCollection<Row> windowed =
        pipeline
            .apply(stream)
            .apply(Window.into(FixedWindows.of(Duration.standardSeconds(10))));
    PCollection<Row> output = windowed.apply(scaled()).output();
    assertEquals(windowed.getWindowingStrategy(), output.getWindowingStrategy());
    assertEquals(PCollection.IsBounded.UNBOUNDED, output.isBounded());
    PAssert.that(output.apply(new Described<>(row -> row.getDouble("age").toString())))
        .containsInAnyOrder("1.0 at 1 until 10", "2.0 at 11 until 20", "3.0 at 12 until 20");
    pipeline.run();
  }

  private static TimestampedValue<Row> at(Schema schema, double age, long second) {
    return TimestampedValue.of(
        Row.withSchema(schema).addValue(age).build(), Instant.ofEpochSecond(second));
  }

  @Test
  public void whatCannotBeTransformedIsToldWhenThePipelineIsBuilt() {
    Schema schema = Schema.builder().addDateTimeField("at").addRowField("inner", INNER).build();
    assertRefused(
        pipeline.apply("Dates", Create.empty(schema)),
        scaled(),
        "no field of the input is a number, text or array of them; its fields are [at, inner]");
    String columns = "[age, message, tags, grid, photo]";
    assertRefused(
        visits(),
        scaled().shape("ages", 3),
        "shape of \"ages\": no such column; the input has " + columns);
    assertRefused(
        pipeline.apply("Visits", Create.empty(VISIT)),
        scaled().shape("place", 3),
        "shape of \"place\": no such column; the input has " + columns);
    assertRefused(
        pipeline.apply("More visits", Create.empty(VISIT)),
        scaled().shape("age", 3),
        "feature \"age\" is given 1 dimensions; its type has 0");
    PCollection<String> texts = pipeline.apply(Create.of("a"));
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> texts.apply(MLTransform.<String>of(Operations.scaleTo01("x"))));
    assertEquals(
        "MLTransform needs elements that have a Beam schema, but their coder is StringUtf8Coder;"
            + " give them one, such as with @DefaultSchema, or map them to rows",
        e.getMessage());
  }

  private static void assertRefused(
      PCollection<Row> rows, MLTransform<Row> transform, String reason) {
    assertEquals(
        reason,
        assertThrows(IllegalArgumentException.class, () -> rows.apply(transform)).getMessage());
  }

  @Test
  public void tensorBatchIsTheClientsToSet() {
    MLTransformConfig config =
        MLTransformConfig.newBuilder()
            .setTensorBatch(TensorBatchInput.getDefaultInstance())
            .build();
    assertEquals(
        "tensor_batch: the client sets it; got a value; leave it out",
        assertThrows(ExpansionException.class, () -> MLTransform.of(config)).getMessage());
  }

  @Test
  public void aFakeOfRunInferenceSaysThatItIsNoneOfMlTransform() {
    try (FakeRunInference fake =
        FakeRunInference.returning(INNER, row -> row)) {
      assertEquals(
          "FakeRunInference expands RunInference only; run MLTransform with LocalBeam or a service",
          assertThrows(
                  UnsupportedOperationException.class,
                  () -> visits().apply(scaled().withExpansionService(fake.address())))
              .getMessage());
    }
  }
}
