// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;

import io.github.beamml.expansion.tensor.TensorBatchReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import org.apache.beam.sdk.Pipeline.PipelineExecutionException;
import org.apache.beam.sdk.coders.AtomicCoder;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.coders.VarIntCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.schemas.logicaltypes.FixedBytes;
import org.apache.beam.sdk.testing.CoderProperties;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.joda.time.Instant;
import org.junit.Rule;
import org.junit.Test;

/** What comes back beside a prediction. */
public class CarryTest {

  private static final Schema SCHEMA =
      Schema.builder()
          .addStringField("id")
          .addDoubleField("x")
          .addNullableField("note", FieldType.STRING)
          .addArrayField("tokens", FieldType.INT64)
          .addDateTimeField("when")
          .build();

  @Rule public final transient TestPipeline pipeline = TestPipeline.create();
  @Rule public final transient Sums sums = new Sums();

  private static Row row(String id, double x, String note) {
    return Row.withSchema(SCHEMA)
        .addValues(id, x, note, List.of(1L, 2L), Instant.ofEpochSecond(7))
        .build();
  }

  /** A type whose coder only Java has. */
  private static final class Point {
    final double x;

    Point(double x) {
      this.x = x;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Point && ((Point) other).x == x;
    }

    @Override
    public int hashCode() {
      return Double.hashCode(x);
    }
  }

  private static final class PointCoder extends AtomicCoder<Point> {
    private static final long serialVersionUID = 1L;

    @Override
    public void encode(Point value, OutputStream out) throws IOException {
      StringUtf8Coder.of().encode("point " + value.x, out);
    }

    @Override
    public Point decode(InputStream in) throws IOException {
      return new Point(Double.parseDouble(StringUtf8Coder.of().decode(in).substring(6)));
    }
  }

  @Test
  public void elementsOfAnyCoderComeBackUntouched() {
    sums.serve(pipeline);
    Predictions<Point> predictions =
        pipeline
            .apply(Create.of(new Point(1), new Point(13)).withCoder(new PointCoder()))
            .apply(
                RunInference.<Point>of(Models.onnx("sum.onnx"))
                    .feature(Feature.ofDouble("x", p -> p.x)));
    PAssert.that(
            predictions.output().apply("Good", new Mapped<>(Prediction::element, new PointCoder())))
        .containsInAnyOrder(new Point(1));
    PAssert.that(
            predictions
                .errors()
                .apply("Bad", new Mapped<>(InferenceError::element, new PointCoder())))
        .containsInAnyOrder(new Point(13));
    pipeline.run();
  }

  @Test
  public void rowsAreRebuiltFromTheirFeatures() {
    sums.serve(pipeline);
    PCollection<Row> rows =
        pipeline.apply(Create.of(row("a", 1, null), row("b", 13, "note")).withRowSchema(SCHEMA));
    Predictions<Row> predictions =
        rows.apply(RunInference.<Row>of(Models.onnx("sum.onnx")).features("x", "tokens"));
    PAssert.that(predictions.output())
        .containsInAnyOrder(
            List.of(
                Prediction.of(
                    row("a", 1, null),
                    Row.withSchema(Sums.SCHEMA).addValue(2.0).build(),
                    "sum.onnx")));
    PAssert.that(predictions.errors())
        .containsInAnyOrder(
            List.of(
                InferenceError.of(
                    row("b", 13, "note"),
                    "inference",
                    "IllegalArgumentException",
                    "13 is unlucky",
                    "sum.onnx")));
    pipeline.run();
  }

  @Test
  public void fieldsThatDifferOnlyInAnArgumentOfTheirTypeComeBackInOnePipeline() {
    sums.serve(pipeline);
    for (int length : new int[] {16, 32}) {
      Schema schema =
          Schema.builder()
              .addDoubleField("x")
              .addLogicalTypeField("id", FixedBytes.of(length))
              .build();
      Row row = Row.withSchema(schema).addValues(1.0, new byte[length]).build();
      PCollection<Row> elements =
          pipeline
              .apply("Rows" + length, Create.of(row).withRowSchema(schema))
              .apply("Sum" + length, RunInference.<Row>of(Models.onnx("sum.onnx")).features("x"))
              .output()
              .apply("Elements" + length, new Mapped<>(Prediction::element, RowCoder.of(schema)));
      PAssert.that("Elements of " + length, elements).containsInAnyOrder(row);
    }
    pipeline.run();
  }

  @Test
  public void aFeatureOfARowIsNotSentTwice() throws Exception {
    Packing<Row, Row> packing =
        new Packing<>(
            List.of(FieldFeature.of(SCHEMA, "x"), FieldFeature.of(SCHEMA, "tokens")),
            new CarryRow<>(RowCoder.of(SCHEMA), List.of("x", "tokens")),
            row -> row,
            windowCoder());
    Packing<Row, Row>.Rows rows = packing.rows();
    rows.putFeatures(row("id", 1, null));
    rows.putCarried(row("id", 1, null));
    rows.close(
        new Placement(
            Instant.ofEpochSecond(1), List.of(GlobalWindow.INSTANCE), PaneInfo.NO_FIRING));
    TensorBatchReader batch = new TensorBatchReader(rows.finish());
    byte[] carried = (byte[]) batch.column("element").value(0);
    // Timestamp (8), pane (1) and number of windows (1); the flag, the row's header (3), "id" (3)
    // and "when" (8).
    assertEquals(8 + 1 + 1 + 1 + 3 + 3 + 8, carried.length);
  }

  @SuppressWarnings("unchecked")
  private static Coder<BoundedWindow> windowCoder() {
    return (Coder<BoundedWindow>) (Coder<?>) GlobalWindow.Coder.INSTANCE;
  }

  @Test
  public void aRowWithANullFeatureComesBackInItsError() {
    Schema schema =
        Schema.builder().addNullableField("x", FieldType.DOUBLE).addStringField("id").build();
    Row row = Row.withSchema(schema).addValues(null, "a").build();
    sums.serve(pipeline);
    PCollection<Row> rows = pipeline.apply(Create.of(row).withRowSchema(schema));
    PAssert.that(rows.apply(RunInference.<Row>of(Models.onnx("sum.onnx")).features("x")).errors())
        .containsInAnyOrder(
            List.of(
                InferenceError.of(
                    row,
                    "decode",
                    "IllegalArgumentException",
                    "feature \"x\" is null",
                    "sum.onnx")));
    pipeline.run();
  }

  @Test
  public void aFeatureMayHaveTheNameOfAColumnOfErrors() {
    Schema schema =
        Schema.builder()
            .addDoubleField("x")
            .addStringField("message")
            .addStringField("element")
            .build();
    Row row = Row.withSchema(schema).addValues(13.0, "hello", "e").build();
    sums.serve(pipeline);
    PCollection<Row> rows = pipeline.apply(Create.of(row).withRowSchema(schema));
    PAssert.that(
            rows.apply(
                    RunInference.<Row>of(Models.onnx("sum.onnx"))
                        .features("x", "message", "element"))
                .errors()
                .apply(new Mapped<>(InferenceError::element, RowCoder.of(schema))))
        .containsInAnyOrder(row);
    pipeline.run();
  }

  @Test
  public void aFunctionMayReplaceTheElement() {
    sums.serve(pipeline);
    PCollection<Row> rows = pipeline.apply(Create.of(row("a", 1, null)).withRowSchema(SCHEMA));
    PCollection<Prediction<String>> output =
        rows.apply(
                RunInference.<Row>of(Models.onnx("sum.onnx"))
                    .features("x")
                    .carry(row -> row.getString("id"), StringUtf8Coder.of()))
            .output();
    PAssert.that(
            output.apply(new Mapped<>(p -> p.element() + p.getDouble("sum"), StringUtf8Coder.of())))
        .containsInAnyOrder("a2.0");
    pipeline.run();
  }

  @Test
  public void aFunctionThatThrowsIsNamedWithItsCause() {
    sums.serve(pipeline);
    pipeline
        .apply(Create.of("two"))
        .apply(
            RunInference.<String>of(Models.onnx("sum.onnx"))
                .feature(Feature.ofDouble("x", text -> 2.0))
                .carry(Integer::valueOf, VarIntCoder.of()));
    Throwable cause =
        assertThrows(PipelineExecutionException.class, () -> pipeline.run()).getCause();
    assertEquals(ExpansionException.class, cause.getClass());
    assertEquals(
        "the function given to RunInference.carry threw java.lang.NumberFormatException: For input"
            + " string: \"two\"; expected a result for every element, also for one that cannot be"
            + " predicted",
        cause.getMessage());
    assertEquals(NumberFormatException.class, cause.getCause().getClass());
  }

  @Test
  public void nothingMayBeCarried() {
    sums.serve(pipeline);
    PCollection<Row> rows =
        pipeline.apply(Create.of(row("a", 1, null), row("b", 13, null)).withRowSchema(SCHEMA));
    Predictions<Void> predictions =
        rows.apply(RunInference.<Row>of(Models.onnx("sum.onnx")).features("x").carryNothing());
    PAssert.thatSingleton(predictions.output())
        .satisfies(
            prediction -> {
              assertNull(prediction.element());
              assertEquals(2, prediction.getDouble("sum"), 0);
              return null;
            });
    PAssert.that(
            predictions.errors().apply(new Mapped<>(InferenceError::message, StringUtf8Coder.of())))
        .containsInAnyOrder("13 is unlucky");
    pipeline.run();
  }

  @Test
  public void predictionsAndErrorsSurviveTheirCoders() throws Exception {
    Row values = Row.withSchema(Sums.SCHEMA).addValue(Double.NaN).build();
    CoderProperties.coderDecodeEncodeEqual(
        new PredictionCoder<>(StringUtf8Coder.of(), Sums.SCHEMA), Prediction.of("a", values, "m"));
    CoderProperties.coderDecodeEncodeEqual(
        new InferenceErrorCoder<>(StringUtf8Coder.of()),
        InferenceError.of("a", "decode", "E", "m", "id"));
    CoderProperties.coderSerializable(new PredictionCoder<>(StringUtf8Coder.of(), Sums.SCHEMA));
  }
}
