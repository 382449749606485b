// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import static org.junit.Assert.assertEquals;
import static org.junit.Assume.assumeTrue;

import io.github.beamml.expansion.Feature;
import io.github.beamml.expansion.LocalBeam;
import io.github.beamml.expansion.Models;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.RunInference;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.WithKeys;
import org.apache.beam.sdk.transforms.WithTimestamps;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/**
 * A step in Java trains a model on the points of a line, and workers in Python predict with it, all
 * in one pipeline on the embedded runner. A newer model is broken.
 */
public class ModelUrisCrossLanguageTest {

  @ClassRule public static final TemporaryFolder FOLDER = new TemporaryFolder();

  private static final Path MODEL = Paths.get(System.getProperty("models"), "slope.onnx");
  private static final Path BROKEN = Paths.get(System.getProperty("models"), "truncated.onnx");
  private static final float UNTRAINED = 12345;

  /** Predictions by element. The workers are in this JVM. */
  private static final Map<Double, Prediction<Double>> PREDICTIONS = new ConcurrentHashMap<>();

  private static Map<String, long[]> metrics;

  @BeforeClass
  public static void run() throws IOException {
    assumeTrue("no model " + MODEL + "; make test makes it", Files.exists(MODEL));
    try (LocalBeam beam = LocalBeam.start()) {
      Pipeline pipeline = Pipeline.create(beam.options());
      PCollection<String> trained =
          pipeline
              .apply("Points", Create.of(KV.of(1.0, 2.5), KV.of(2.0, 5.0), KV.of(4.0, 10.0)))
              .apply(WithKeys.of("all"))
              .apply(GroupByKey.create())
              .apply("Train", ParDo.of(new TrainFn(trained().toString())));
      PCollection<String> broken =
          pipeline
              .apply("Broken", Create.of(brokenCopy().toString()))
              .apply(WithTimestamps.of(uri -> GlobalWindow.INSTANCE.maxTimestamp()));
      PCollection<String> uris =
          PCollectionList.of(trained).and(broken).apply(Flatten.pCollections());
      pipeline
          .apply("Numbers", Create.of(1.0, 10.0, 100.0))
          .apply(
              RunInference.<Double>of(Models.onnx(MODEL.toString()))
                  .feature(Feature.ofDouble("x", x -> x))
                  .modelUrisFrom(uris))
          .output()
          .apply("Keep", ParDo.of(new KeepFn()));
      PipelineResult result = pipeline.run();
      assertEquals(PipelineResult.State.DONE, result.waitUntilFinish());
      metrics = ModelMetrics.read(result);
    }
  }

  private static Path trained() {
    return FOLDER.getRoot().toPath().resolve("trained.onnx");
  }

  /** Newer by its name: what comes out of a grouping has the latest timestamp there is. */
  private static Path brokenCopy() throws IOException {
    return Files.copy(BROKEN, FOLDER.getRoot().toPath().resolve("trained2.onnx"));
  }

  /** Writes the slope that fits best, by least squares, into a copy of the untrained model. */
  private static final class TrainFn
      extends DoFn<KV<String, Iterable<KV<Double, Double>>>, String> {
    private static final long serialVersionUID = 1L;
    private final String path;

    TrainFn(String path) {
      this.path = path;
    }

    @ProcessElement
    public void process(
        @Element KV<String, Iterable<KV<Double, Double>>> points, OutputReceiver<String> out)
        throws IOException {
      double products = 0;
      double squares = 0;
      for (KV<Double, Double> point : points.getValue()) {
        products += point.getKey() * point.getValue();
        squares += point.getKey() * point.getKey();
      }
      ByteBuffer model = ByteBuffer.wrap(Files.readAllBytes(MODEL)).order(ByteOrder.LITTLE_ENDIAN);
      int at = 0;
      while (model.getFloat(at) != UNTRAINED) {
        at++;
      }
      Files.write(Paths.get(path), model.putFloat(at, (float) (products / squares)).array());
      out.output(path);
    }
  }

  private static final class KeepFn extends DoFn<Prediction<Double>, Void> {
    private static final long serialVersionUID = 1L;

    @ProcessElement
    public void process(@Element Prediction<Double> prediction) {
      PREDICTIONS.put(prediction.element(), prediction);
    }
  }

  @Test
  public void everyElementMeetsTheModelThatWasTrained() {
    for (double x : List.of(1.0, 10.0, 100.0)) {
      assertEquals(2.5 * x, PREDICTIONS.get(x).getDouble("y"), 1e-6);
      assertEquals(trained().toString(), PREDICTIONS.get(x).modelId());
    }
  }

  @Test
  public void theBrokenModelIsCounted() {
    assertEquals(1, metrics.get("num_failed_model_refreshes")[0]);
  }
}
