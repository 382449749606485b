// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.junit.Rule;
import org.junit.Test;

/** Results as rows, for what comes after: SQL, BigQuery, Iceberg. */
public class ResultRowsTest {

  private static final Schema SCHEMA =
      Schema.builder().addStringField("id").addDoubleField("x").build();

  @Rule public final transient TestPipeline pipeline = TestPipeline.create();
  @Rule public final transient Sums sums = new Sums();

  private static final RunInference<Row, Row> CLASSIFY =
      RunInference.<Row>of(Models.onnx("m.onnx")).features("x").modelId("sums-1");

  private Predictions<Row> predictions(Schema schema, Object... values) {
    return predictions(CLASSIFY, schema, values);
  }

  private Predictions<Row> predictions(
      RunInference<Row, Row> inference, Schema schema, Object... values) {
    sums.serve(pipeline);
    Row row = Row.withSchema(schema).addValues(values).build();
    return pipeline.apply(Create.of(row).withRowSchema(schema)).apply("Classify", inference);
  }

  @Test
  public void anOutputRowIsTheInputThenThePredictionsThenTheModel() {
    Predictions<Row> predictions = predictions(SCHEMA, "a", 1.0);
    PCollection<Row> rows = predictions.outputRows();
    assertEquals("[id, x, sum, model_id]", rows.getSchema().getFieldNames().toString());
    PAssert.that(rows)
        .containsInAnyOrder(
            Row.withSchema(rows.getSchema()).addValues("a", 1.0, 2.0, "sums-1").build());
    assertSame(rows, predictions.outputRows());
    pipeline.run();
  }

  @Test
  public void anErrorRowHoldsItsElement() {
    PCollection<Row> rows = predictions(SCHEMA, "a", 13.0).errorRows();
    assertEquals(
        "[element, stage, error_type, message, model_id]",
        rows.getSchema().getFieldNames().toString());
    Row element = Row.withSchema(SCHEMA).addValues("a", 13.0).build();
    PAssert.that(rows)
        .containsInAnyOrder(
            Row.withSchema(rows.getSchema())
                .addValues(
                    element, "inference", "IllegalArgumentException", "13 is unlucky", "sums-1")
                .build());
    pipeline.run();
  }

  @Test
  public void whereModelsAreRefreshedRowsEndWithTheVersion() {
    Predictions<Row> predictions = predictions(CLASSIFY.refreshIntervalSecs(60), SCHEMA, "a", 1.0);
    PCollection<Row> rows = predictions.outputRows();
    assertEquals(
        "[id, x, sum, model_id, model_version]", rows.getSchema().getFieldNames().toString());
    PAssert.that(rows)
        .containsInAnyOrder(
            Row.withSchema(rows.getSchema()).addValues("a", 1.0, 2.0, "sums-1", "fake").build());
    PAssert.thatSingleton(predictions.output())
        .satisfies(
            prediction -> {
              assertEquals("fake", prediction.modelVersion());
              return null;
            });
    pipeline.run();
  }

  @Test
  public void whereModelsAreRefreshedErrorRowsEndWithTheVersion() {
    PCollection<Row> rows =
        predictions(CLASSIFY.refreshIntervalSecs(60), SCHEMA, "a", 13.0).errorRows();
    assertEquals(
        "[element, stage, error_type, message, model_id, model_version]",
        rows.getSchema().getFieldNames().toString());
    PAssert.thatSingleton(rows)
        .satisfies(
            row -> {
              assertEquals("fake", row.getString("model_version"));
              return null;
            });
    pipeline.run();
  }

  @Test
  public void aPredictionMayNotHaveTheNameOfAField() {
    Predictions<Row> predictions =
        predictions(Schema.builder().addDoubleField("x").addStringField("sum").build(), 1.0, "a");
    IllegalStateException e = assertThrows(IllegalStateException.class, predictions::outputRows);
    assertEquals(
        "the prediction column \"sum\" has the name of a field of the element; give it another with"
            + " output(source, name) or Hooks.rename",
        e.getMessage());
    pipeline.run();
  }

  @Test
  public void rowsNeedElementsWithASchema() {
    sums.serve(pipeline);
    Predictions<Double> predictions = pipeline.apply(Create.of(1.0)).apply(Sums.ofNumbers());
    IllegalStateException e = assertThrows(IllegalStateException.class, predictions::outputRows);
    assertTrue(
        e.getMessage(),
        e.getMessage()
            .startsWith("rows need elements that have a Beam schema, but their coder is "));
    pipeline.run();
  }

  @Test
  public void gettersWidenNumbers() {
    Schema schema =
        Schema.builder()
            .addFloatField("score")
            .addInt32Field("class")
            .addBooleanField("sure")
            .addStringField("label")
            .addArrayField("matrix", Schema.FieldType.array(Schema.FieldType.FLOAT))
            .build();
    Row values =
        Row.withSchema(schema)
            .addValues(0.5f, 7, true, "seven")
            .addValue(List.of(List.of(1f, 2f), List.of(3f, 4f)))
            .build();
    Prediction<String> prediction = Prediction.of("e", values, "m");
    assertEquals(0.5, prediction.getDouble("score"), 0);
    assertEquals(7, prediction.getDouble("class"), 0);
    assertEquals(7, prediction.getLong("class"));
    assertEquals("seven", prediction.getString("label"));
    assertTrue(prediction.getBoolean("sure"));
    assertEquals("[1.0, 2.0, 3.0, 4.0]", Arrays.toString(prediction.getDoubles("matrix")));
    assertThrows(ClassCastException.class, () -> prediction.getLong("score"));
  }
}
