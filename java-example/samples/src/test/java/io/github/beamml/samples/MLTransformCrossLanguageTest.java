// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import io.github.beamml.expansion.ExpansionException;
import io.github.beamml.expansion.Hooks;
import io.github.beamml.expansion.InferenceError;
import io.github.beamml.expansion.LocalBeam;
import io.github.beamml.expansion.MLTransform;
import io.github.beamml.expansion.Models;
import io.github.beamml.expansion.Operations;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.RunInference;
import io.github.beamml.expansion.Transformed;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.ComputeAndApplyVocabulary;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.schemas.logicaltypes.SqlTypes;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TimestampedValue;
import org.joda.time.Duration;
import org.joda.time.Instant;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/**
 * MLTransform through the real service and back, on the embedded runner: one pipeline learns and
 * writes, another reads, in windows, and a hook before a model reads as well.
 */
public class MLTransformCrossLanguageTest {

  @ClassRule public static final TemporaryFolder FOLDER = new TemporaryFolder();

  private static final Path MODEL = Paths.get(System.getProperty("models"), "identity.onnx");

  private static final Schema PLACE = Schema.builder().addStringField("street").build();

  /** The fields from "place" on are no columns. */
  private static final Schema VISIT =
      Schema.builder()
          .addInt32Field(KeepFn.NUMBER)
          .addNullableField("age", FieldType.FLOAT)
          .addNullableField("city", FieldType.STRING)
          .addStringField("visits")
          .addArrayField("tags", FieldType.STRING)
          .addArrayField("grid", FieldType.array(FieldType.INT32))
          .addNullableField("message", FieldType.STRING)
          .addNullableField("place", FieldType.row(PLACE))
          .addMapField("pages", FieldType.STRING, FieldType.INT64)
          .addLogicalTypeField("day", SqlTypes.DATE)
          .addDateTimeField("at")
          .build();

  /** Rows 0 to 3 are good; a city is missing in row 4, and row 5 has a number that is none. */
  private static final List<Row> VISITS =
      List.of(
          visit(0, 20f, "Oslo", "1", "a", "b"),
          visit(1, null, "Oslo", "2"),
          visit(2, 40f, "Bonn", "3", "b", "b", "c"),
          visit(3, 60f, "Łódź", "4", "a"),
          visit(4, 90f, null, "5", "d"),
          visit(5, 91f, "Bonn", "many", "d"));

  private static final int GOOD = 4;

  private static Row visit(int number, Float age, String city, String visits, String... tags) {
    return Row.withSchema(VISIT)
        .addValues(number, age, city, visits)
        .addArray(Arrays.asList(tags))
        .addArray(List.of(List.of(number), List.of(-number)))
        .addValue(number == 1 ? null : "hello " + number)
        .addValue(number == 2 ? null : Row.withSchema(PLACE).addValue("Main St " + number).build())
        .addValue(Map.of("page", (long) number))
        .addValue(LocalDate.of(2026, 11, number + 1))
        .addValue(Instant.ofEpochSecond(number))
        .build();
  }

  @BeforeClass
  public static void run() {
    assumeTrue("no model " + MODEL + "; make test makes it", Files.exists(MODEL));
    String artifact = FOLDER.getRoot().toPath().resolve("artifact").toString();
    try (LocalBeam beam = LocalBeam.start()) {
      Pipeline write = Pipeline.create(beam.options());
      PCollection<Row> visits = write.apply(Create.of(VISITS).withRowSchema(VISIT));
      keep("write", visits.apply("Write", around(learning().writeArtifact(artifact))));
      assertEquals(PipelineResult.State.DONE, write.run().waitUntilFinish());

      Pipeline read = Pipeline.create(beam.options());
      PCollection<Row> windowed =
          read.apply(Create.timestamped(timestamped()).withCoder(RowCoder.of(VISIT)))
              .apply(Window.into(FixedWindows.of(Duration.standardSeconds(2))));
      windowed.apply("Places before", PlaceFn.noting("before read", row -> row.getInt32(0)));
      Transformed<Row> transformed =
          windowed.apply("Read", around(MLTransform.readArtifact(artifact)));
      assertEquals(windowed.getWindowingStrategy(), transformed.output().getWindowingStrategy());
      transformed
          .output()
          .apply("Places after", PlaceFn.noting("after read", row -> row.getInt32(0)));
      transformed
          .errors()
          .apply("Places of errors", PlaceFn.noting("after read", e -> e.element().getInt32(0)));
      keep("read", transformed);
      windowed
          .apply("Infer", inference(artifact))
          .output()
          .apply(KeepFn.keeping("infer", Prediction::element));
      assertEquals(PipelineResult.State.DONE, read.run().waitUntilFinish());

      Pipeline again = Pipeline.create(beam.options());
      PCollection<Row> none = again.apply(Create.empty(VISIT));
      refusal =
          assertThrows(
                  ExpansionException.class,
                  () -> none.apply(around(learning().writeArtifact(artifact))))
              .getMessage();
    }
  }

  /** Why an artifact is not written over. */
  private static String refusal;

  private static MLTransform<Row> learning() {
    return MLTransform.of(
        Operations.impute("median", "age"),
        Operations.scaleTo01("age"),
        Operations.oneHot(2, "city"),
        Operations.of(
            ComputeAndApplyVocabulary.newBuilder()
                .addColumns("tags")
                .addOutputs("tag_ids")
                .build()));
  }

  /** The hooks around the operations. */
  private static MLTransform<Row> around(MLTransform<Row> transform) {
    return transform
        .preHooks(Hooks.cast(Datatype.INT64, "visits"))
        .postHooks(Hooks.concat("features", "age", "city"));
  }

  /** What a model is served that was trained on the features. */
  private static RunInference<Row, Row> inference(String artifact) {
    return RunInference.<Row>of(Models.onnx(MODEL.toString()))
        .features("age", "city", "visits", "tags")
        .preHooks(
            Hooks.cast(Datatype.INT64, "visits"),
            Hooks.mlTransform(artifact),
            Hooks.concat("features", "age", "city"))
        .input("x", "features");
  }

  private static List<TimestampedValue<Row>> timestamped() {
    List<TimestampedValue<Row>> timestamped = new ArrayList<>();
    for (Row row : VISITS) {
      timestamped.add(TimestampedValue.of(row, Instant.ofEpochSecond(row.getInt32(0))));
    }
    return timestamped;
  }

  private static void keep(String name, Transformed<Row> transformed) {
    transformed.output().apply("Output of " + name, KeepFn.keeping(name, row -> row));
    transformed.errors().apply("Errors of " + name, KeepFn.keeping(name, InferenceError::element));
  }

  private static Row written(int number) {
    return (Row) KeepFn.kept("write", number);
  }

  private static InferenceError<?> failed(String name, int number) {
    InferenceError<?> error = (InferenceError<?>) KeepFn.kept(name, number);
    assertEquals(VISITS.get(number), error.element());
    return error;
  }

  @Test
  public void resultsStandInTheirColumnsPlacesAndOthersAtTheEnd() {
    List<String> names = new ArrayList<>(VISIT.getFieldNames());
    names.addAll(List.of("tag_ids", "features"));
    assertEquals(names, written(0).getSchema().getFieldNames());
    assertEquals(FieldType.INT64, written(0).getSchema().getField("visits").getType());
    assertEquals(
        FieldType.array(FieldType.FLOAT), written(0).getSchema().getField("city").getType());
  }

  @Test
  public void nothingIsLearnedOfRowsThatFail() {
    // Of 20, 40 and 60; with 90 and 91 it would be other numbers.
    assertEquals(List.of(0f, 0.5f, 0.5f, 1f), valuesOf("age"));
    assertEquals(
        List.of(List.of(1f, 0f), List.of(1f, 0f), List.of(0f, 0f), List.of(0f, 1f)),
        valuesOf("city"));
  }

  private static List<Object> valuesOf(String field) {
    List<Object> values = new ArrayList<>();
    for (int number = 0; number < GOOD; number++) {
      values.add(written(number).getValue(field));
    }
    return values;
  }

  @Test
  public void aNullIsFilledInWithTheMedian() {
    assertNull(VISITS.get(1).getValue("age"));
    assertEquals(Float.valueOf(0.5f), written(1).getFloat("age"));
  }

  @Test
  public void arraysOfTextsDifferInSizeFromRowToRow() {
    assertEquals(
        List.of(List.of(1L, 0L), List.of(), List.of(0L, 0L, 2L), List.of(1L)),
        valuesOf("tag_ids"));
  }

  @Test
  public void whatNothingTransformsComesBackAsItWas() {
    for (int number = 0; number < GOOD; number++) {
      for (String name : List.of("tags", "grid", "message", "place", "pages", "day", "at")) {
        Object before = VISITS.get(number).getValue(name);
        assertEquals(name, before, written(number).getValue(name));
      }
    }
  }

  @Test
  public void rowsThatFailAreErrorsOfTheStageInWhichTheyDid() {
    for (String name : List.of("write", "read")) {
      InferenceError<?> error = failed(name, 4);
      assertEquals("decode", error.stage());
      assertEquals("column 'city' is null; a feature needs a value", error.message());
      error = failed(name, 5);
      assertEquals("preprocess", error.stage());
      assertTrue(error.message(), error.message().contains("'many'"));
    }
  }

  @Test
  public void whatWasWrittenIsReadWithTheSameResults() {
    for (int number = 0; number < GOOD; number++) {
      assertEquals(written(number), KeepFn.kept("read", number));
    }
  }

  @Test
  public void theHookBeforeAModelDoesTheSame() {
    for (int number = 0; number < GOOD; number++) {
      Prediction<?> prediction = (Prediction<?>) KeepFn.kept("infer", number);
      assertEquals(
          (Object) written(number).getArray("features"), prediction.values().getArray("y"));
      assertEquals(VISITS.get(number), prediction.element());
    }
    assertNull(KeepFn.kept("infer", 4));
  }

  @Test
  public void windowsAndTimestampsAreKept() {
    assertFalse(PlaceFn.noted("before read").isEmpty());
    assertEquals(PlaceFn.noted("before read"), PlaceFn.noted("after read"));
  }

  @Test
  public void anArtifactIsNotWrittenOverUnasked() {
    assertTrue(refusal, refusal.startsWith("write_artifact_location: there is an artifact in"));
    assertTrue(refusal, refusal.endsWith("already; choose another directory, or set overwrite"));
  }
}
