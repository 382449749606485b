// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.testing.FakeRunInference;
import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.coders.SerializableCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.schemas.JavaFieldSchema;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.annotations.DefaultSchema;
import org.apache.beam.sdk.schemas.annotations.SchemaCreate;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.joda.time.Instant;
import org.junit.After;
import org.junit.Rule;
import org.junit.Test;

/** What reaches the model. */
public class FeaturesTest {

  private static final Schema TEXT = Schema.builder().addStringField("seen").build();

  @Rule public final transient TestPipeline pipeline = TestPipeline.create();

  private FakeRunInference fake;

  /** A fake that predicts the features that it sees, as text. */
  private void serveSeen() {
    fake =
        FakeRunInference.returning(
            TEXT,
            features -> Row.withSchema(TEXT).addValue(features.getValues().toString()).build());
    pipeline.getOptions().as(ExpansionOptions.class).setExpansionService(fake.address());
  }

  @After
  public void closeFake() {
    if (fake != null) {
      fake.close();
    }
  }

  private <T> void assertSeen(Predictions<T> predictions, String... seen) {
    PAssert.that(
            predictions
                .output()
                .apply(new Mapped<>(p -> p.getString("seen"), StringUtf8Coder.of())))
        .containsInAnyOrder(seen);
    PAssert.that(predictions.errors()).empty();
    pipeline.run();
  }

  private <T> void assertErrors(Predictions<T> predictions, String... errors) {
    PAssert.that(
            predictions
                .errors()
                .apply(
                    new Mapped<>(
                        e -> e.stage() + " " + e.errorType() + ": " + e.message(),
                        StringUtf8Coder.of())))
        .containsInAnyOrder(errors);
    pipeline.run();
  }

  @Test
  public void fieldsOfEveryTypeAreFeatures() {
    Schema schema =
        Schema.builder()
            .addBooleanField("bool")
            .addByteField("byte")
            .addInt16Field("int16")
            .addInt32Field("int32")
            .addInt64Field("int64")
            .addFloatField("float")
            .addDoubleField("double")
            .addStringField("string")
            .addArrayField("doubles", Schema.FieldType.DOUBLE)
            .addIterableField("floats", Schema.FieldType.FLOAT)
            .addArrayField("matrix", Schema.FieldType.array(Schema.FieldType.INT64))
            .build();
    Row row =
        Row.withSchema(schema)
            .addValues(true, (byte) 1, (short) 2, 3, 4L, 5.5f, 6.5, "seven")
            .addValues(
                List.of(8.5, 9.5), List.of(10.5f), List.of(List.of(11L, 12L), List.of(13L, 14L)))
            .build();
    serveSeen();
    Predictions<Row> predictions =
        pipeline
            .apply(Create.of(row).withRowSchema(schema))
            .apply(
                RunInference.<Row>of(Models.onnx("m.onnx"))
                    .features(schema.getFieldNames().toArray(new String[0])));
    PAssert.that(
            predictions.output().apply("Elements", new Mapped<>(Prediction::element, row(schema))))
        .containsInAnyOrder(row);
    assertSeen(
        predictions,
        "[true, 1, 2, 3, 4, 5.5, 6.5, seven, [8.5, 9.5], [10.5], [[11, 12], [13, 14]]]");
  }

  @Test
  public void aPresetGetsEveryFieldThatCanBeAFeatureUnlessFeaturesAreNamed() {
    Schema schema =
        Schema.builder()
            .addInt64Field("id")
            .addStringField("text")
            .addDateTimeField("when")
            .build();
    Row row = Row.withSchema(schema).addValues(1L, "two", new Instant(3)).build();
    serveSeen();
    PCollection<Row> rows = pipeline.apply(Create.of(row).withRowSchema(schema));
    PAssert.that(
            rows.apply("Named", RunInference.<Row>preset("digits").features("text"))
                .output()
                .apply("NamedSeen", new Mapped<>(p -> p.getString("seen"), StringUtf8Coder.of())))
        .containsInAnyOrder("[two]");
    assertSeen(rows.apply("All", RunInference.<Row>preset("digits")), "[1, two]");
  }

  private static RowCoder row(Schema schema) {
    return RowCoder.of(schema);
  }

  /** A type with a schema of its own. */
  @DefaultSchema(JavaFieldSchema.class)
  public static final class Flower {
    public final String name;
    public final double length;
    public final float[] petals;

    @SchemaCreate
    public Flower(String name, double length, float[] petals) {
      this.name = name;
      this.length = length;
      this.petals = petals;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Flower && toString().equals(other.toString());
    }

    @Override
    public int hashCode() {
      return toString().hashCode();
    }

    @Override
    public String toString() {
      return name + " " + length + " " + Arrays.toString(petals);
    }
  }

  @Test
  public void fieldsOfPlainClassesAreFeatures() {
    serveSeen();
    PCollection<Flower> flowers =
        pipeline.apply(Create.of(new Flower("iris", 1.5, new float[] {2.5f, 3.5f})));
    Predictions<Flower> predictions =
        flowers.apply(RunInference.<Flower>of(Models.onnx("m.onnx")).features("length", "petals"));
    PAssert.that(
            predictions
                .output()
                .apply("Elements", new Mapped<>(p -> p.element().toString(), StringUtf8Coder.of())))
        .containsInAnyOrder("iris 1.5 [2.5, 3.5]");
    assertSeen(predictions, "[1.5, [2.5, 3.5]]");
  }

  /** A type that Beam knows nothing about. */
  private static final class Opaque implements Serializable {
    private static final long serialVersionUID = 1L;
    final int number;

    Opaque(int number) {
      this.number = number;
    }
  }

  @Test
  public void functionsMakeFeaturesOfAnyType() {
    serveSeen();
    Predictions<Opaque> predictions =
        pipeline
            .apply(Create.of(new Opaque(1)).withCoder(SerializableCoder.of(Opaque.class)))
            .apply(
                RunInference.<Opaque>of(Models.onnx("m.onnx"))
                    .feature(Feature.ofDouble("a", o -> o.number + 0.5))
                    .feature(Feature.ofFloat("b", o -> o.number + 0.25f))
                    .feature(Feature.ofLong("c", o -> (long) o.number))
                    .feature(Feature.ofInt("d", o -> o.number))
                    .feature(Feature.ofBoolean("e", o -> o.number > 0))
                    .feature(Feature.ofString("f", o -> "no " + o.number))
                    .feature(Feature.ofDoubles("g", o -> new double[] {1, 2, 3, 4}, 2, 2))
                    .feature(Feature.ofFloats("h", o -> new float[o.number]))
                    .feature(Feature.ofLongs("i", o -> new long[6], -1, 3))
                    .feature(Feature.ofInts("j", o -> new int[] {7}, 1))
                    .feature(Feature.ofUnsignedBytes("k", o -> new byte[] {-1}, 1))
                    .feature(Feature.ofStrings("l", o -> new String[] {"x", ""}, 2)));
    assertSeen(
        predictions,
        "[1.5, 1.25, 1, 1, true, no 1, [[1.0, 2.0], [3.0, 4.0]], [0.0], [[0, 0, 0], [0, 0, 0]],"
            + " [7], [255], [x, ]]");
  }

  @Test
  public void nanAndInfinitiesAreData() {
    serveSeen();
    PCollection<String> numbers = pipeline.apply(Create.of("NaN", "-Infinity"));
    assertSeen(
        numbers.apply(
            RunInference.<String>of(Models.onnx("m.onnx"))
                .feature(Feature.ofDouble("x", Double::valueOf))),
        "[NaN]",
        "[-Infinity]");
  }

  @Test
  public void emptyTextIsData() {
    serveSeen();
    PCollection<String> texts = pipeline.apply(Create.of(""));
    assertSeen(
        texts.apply(
            RunInference.<String>of(Models.onnx("m.onnx")).feature(Feature.ofString("x", s -> s))),
        "[]");
  }

  @Test
  public void aFunctionThatReturnsNullMakesAnError() {
    serveSeen();
    PCollection<String> texts = pipeline.apply(Create.of("a"));
    assertErrors(
        texts.apply(
            RunInference.<String>of(Models.onnx("m.onnx"))
                .feature(Feature.<String>ofLong("x", s -> null))),
        "decode IllegalArgumentException: feature \"x\" is null");
  }

  @Test
  public void aFunctionThatThrowsMakesAnErrorAndSparesItsNeighbours() {
    serveSeen();
    PCollection<String> texts = pipeline.apply(Create.of("1", "two", "3"));
    Predictions<String> predictions =
        texts.apply(
            RunInference.<String>of(Models.onnx("m.onnx"))
                .feature(Feature.ofLong("x", Long::valueOf)));
    PAssert.that(
            predictions
                .output()
                .apply(
                    "Seen",
                    new Mapped<>(p -> p.element() + p.getString("seen"), StringUtf8Coder.of())))
        .containsInAnyOrder("1[1]", "3[3]");
    PAssert.that(
            predictions
                .errors()
                .apply("Bad", new Mapped<>(InferenceError::element, StringUtf8Coder.of())))
        .containsInAnyOrder("two");
    assertErrors(predictions, "decode NumberFormatException: For input string: \"two\"");
  }

  @Test
  public void aRowOfAnotherShapeIsAnError() {
    serveSeen();
    PCollection<Integer> sizes = pipeline.apply(Create.of(3, 4));
    assertErrors(
        sizes.apply(
            RunInference.<Integer>of(Models.onnx("m.onnx"))
                .feature(Feature.ofFloats("x", n -> new float[n], 4))),
        "decode TensorBatchException: feature \"x\" has 3 elements, which its shape [4] does not"
            + " hold");
  }

  @Test
  public void anArrayFieldWithAKnownShapeIsChecked() {
    serveSeen();
    Schema schema = Schema.builder().addArrayField("x", Schema.FieldType.DOUBLE).build();
    Row good = Row.withSchema(schema).addArray(1.5, 2.5).build();
    Row bad = Row.withSchema(schema).addArray(1.5).build();
    assertErrors(
        pipeline
            .apply(Create.of(good, bad).withRowSchema(schema))
            .apply(RunInference.<Row>of(Models.onnx("m.onnx")).feature("x", 2)),
        "decode TensorBatchException: feature \"x\" has shape [1]; expected [2]");
  }

  @Test
  public void arraysOfTextsOfAnySizeAreFeatures() {
    serveSeen();
    Schema schema =
        Schema.builder()
            .addArrayField("tags", Schema.FieldType.STRING)
            .addArrayField("pairs", Schema.FieldType.array(Schema.FieldType.STRING))
            .build();
    Row two =
        Row.withSchema(schema)
            .addArray("a", "b")
            .addArray(List.of("c", "d"), List.of("e", "f"))
            .build();
    Row none = Row.withSchema(schema).addArray().addArray().build();
    Predictions<Row> predictions =
        pipeline
            .apply(Create.of(two, none).withRowSchema(schema))
            .apply(
                RunInference.<Row>of(Models.onnx("m.onnx"))
                    .features("tags", "pairs")
                    .feature(
                        Feature.ofStrings(
                            "first", row -> row.getArray("tags").toArray(new String[0]))));
    PAssert.that(
            predictions.output().apply("Elements", new Mapped<>(Prediction::element, row(schema))))
        .containsInAnyOrder(two, none);
    assertSeen(predictions, "[[a, b], [[c, d], [e, f]], [a, b]]", "[[], [], []]");
  }
}
