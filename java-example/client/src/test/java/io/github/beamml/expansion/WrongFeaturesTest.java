// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.junit.Rule;
import org.junit.Test;

/** Features that cannot be, told when the pipeline is built. */
public class WrongFeaturesTest {

  @Rule
  public final transient TestPipeline pipeline =
      TestPipeline.create().enableAbandonedNodeEnforcement(false);

  @Test
  public void wrongFeaturesAreRefusedWhenThePipelineIsBuilt() {
    Schema schema =
        Schema.builder()
            .addDoubleField("x")
            .addRowField("inner", Schema.builder().addStringField("text").build())
            .build();
    PCollection<Row> rows = pipeline.apply(Create.empty(schema));
    RunInference<Row, Row> inference = RunInference.of(Models.onnx("m.onnx"));
    assertRefused(
        rows,
        inference,
        "no features; say what the model reads with features(…) or feature(…); the fields of the"
            + " input are [x, inner]");
    assertRefused(
        rows,
        inference.features("y"),
        "feature \"y\" is no field of the input; its fields are [x, inner]");
    assertRefused(rows, inference.features("inner"), "feature \"inner\" has type ROW");
    assertRefused(rows, inference.features("x", "x"), "feature \"x\" is given twice");
    assertRefused(
        rows, inference.feature("x", 3), "feature \"x\" is given 1 dimensions; its type has 0");
    PCollection<String> texts = pipeline.apply(Create.of("a"));
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> texts.apply(RunInference.<String>of(Models.onnx("m.onnx")).features("x")));
    assertEquals(
        "feature \"x\": the elements have no Beam schema; give it with Feature.of…",
        e.getMessage());
  }

  private static void assertRefused(
      PCollection<Row> rows, RunInference<Row, Row> inference, String start) {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> rows.apply(inference));
    assertTrue(e.getMessage(), e.getMessage().startsWith(start));
  }

  @Test
  public void impossibleShapesAreRefused() {
    assertEquals(
        "feature \"x\": 2 unknown dimensions; expected one at most",
        assertThrows(
                IllegalArgumentException.class,
                () -> Feature.ofFloats("x", o -> new float[0], -1, -1))
            .getMessage());
    assertEquals(
        "feature \"x\": a dimension of -2; expected -1 or more",
        assertThrows(
                IllegalArgumentException.class, () -> Feature.ofFloats("x", o -> new float[0], -2))
            .getMessage());
  }
}
