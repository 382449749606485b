// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import io.github.beamml.expansion.Hooks;
import io.github.beamml.expansion.LocalBeam;
import io.github.beamml.expansion.Models;
import io.github.beamml.expansion.Predictions;
import io.github.beamml.expansion.RunInference;
import io.github.beamml.expansion.v1.Batching;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.Row;
import org.junit.BeforeClass;
import org.junit.Test;

/** What a run reports in Beam's metrics, seen from Java, is what really happened. */
public class MetricsCrossLanguageTest {

  private static final Path MODEL = Paths.get(System.getProperty("models"), "identity.onnx");
  private static final Schema SCHEMA =
      Schema.builder().addArrayField("x", Schema.FieldType.FLOAT).build();
  private static final int ROWS = 40;
  private static Map<String, long[]> metrics;

  /** Rows of 1 to 4 floats, padded to 3: every fourth is too long and becomes an error. */
  @BeforeClass
  public static void run() {
    assumeTrue("no model " + MODEL + "; make test makes it", Files.exists(MODEL));
    List<Row> rows = new ArrayList<>();
    for (int row = 0; row < ROWS; row++) {
      List<Float> x = new ArrayList<>();
      for (int element = 0; element <= row % 4; element++) {
        x.add((float) row);
      }
      rows.add(Row.withSchema(SCHEMA).addArray(x).build());
    }
    try (LocalBeam beam = LocalBeam.start()) {
      Pipeline pipeline = Pipeline.create(beam.options());
      Predictions<Row> predictions =
          pipeline
              .apply(Create.of(rows).withRowSchema(SCHEMA))
              .apply(
                  RunInference.<Row>of(Models.onnx(MODEL.toString()))
                      .features("x")
                      .preHooks(Hooks.padToLength(3, "x"))
                      .postHooks(Hooks.argmax("y", "largest"))
                      .batching(Batching.newBuilder().setMinBatchSize(20).setMaxBatchSize(20).build()));
      assertTrue(predictions.schema().hasField("largest"));
      PipelineResult result = pipeline.run();
      assertEquals(PipelineResult.State.DONE, result.waitUntilFinish());
      metrics = ModelMetrics.read(result);
    }
  }

  @Test
  public void rowsBatchesAndErrorsAreCounted() {
    assertArrayEquals(new long[] {ROWS}, metrics.get("num_rows"));
    assertArrayEquals(new long[] {2}, metrics.get("num_batches"));
    assertArrayEquals(new long[] {ROWS / 4}, metrics.get("num_errors_preprocess"));
    assertArrayEquals(new long[] {ROWS - ROWS / 4}, metrics.get("num_inferences"));
  }

  @Test
  public void sizesAreThoseOfWhatTheModelGot() {
    assertArrayEquals(new long[] {2, 30, 15, 15}, metrics.get("inference_request_batch_size"));
    long bytes = 15 * 3 * Float.BYTES;
    assertArrayEquals(
        new long[] {2, 2 * bytes, bytes, bytes}, metrics.get("inference_request_batch_byte_size"));
    // Of 1 to 3 floats padded to 3, a third is padding.
    assertArrayEquals(new long[] {2, 2 * 33, 33, 33}, metrics.get("padding_percent"));
  }

  @Test
  public void everyStageOfEveryBatchIsTimed() {
    for (String stage : List.of("batch_wait", "preprocess", "inference", "postprocess")) {
      assertEquals(stage, 2, metrics.get(stage + "_milli_secs")[0]);
    }
    assertEquals(1, metrics.get("load_model_latency_milli_secs")[0]);
  }
}
