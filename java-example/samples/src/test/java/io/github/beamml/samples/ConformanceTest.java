// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.beamml.expansion.ExpansionException;
import io.github.beamml.expansion.InferenceError;
import io.github.beamml.expansion.LocalBeam;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.Predictions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.junit.BeforeClass;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameters;

/**
 * The cases in tests/conformance/run_inference, from Java through the real service and back: those
 * of TensorFlow in one pipeline, all others in another. {@code make test} makes their models;
 * without them the cases are skipped.
 */
@RunWith(Parameterized.class)
public class ConformanceTest {

  private static final Path MODELS = Paths.get(System.getProperty("models"));
  private static final boolean HAS_GPU = Files.exists(Paths.get("/dev/nvidiactl"));

  /**
   * What rows became, by case and number of the row. The workers are in this JVM, so they can leave
   * it here.
   */
  private static final Map<String, Object> RESULTS = new ConcurrentHashMap<>();

  private final ConformanceCase example;

  public ConformanceTest(String name, ConformanceCase example) {
    this.example = example;
  }

  @Parameters(name = "{0}")
  public static List<Object[]> parameters() throws IOException {
    return cases().stream().map(c -> new Object[] {c.name, c}).collect(Collectors.toList());
  }

  private static List<ConformanceCase> cases() throws IOException {
    List<ConformanceCase> cases = new ArrayList<>();
    try (Stream<Path> paths =
        Files.list(Paths.get(System.getProperty("conformance"), "run_inference"))) {
      for (Path path :
          paths
              .filter(path -> path.toString().endsWith(".json"))
              .sorted()
              .collect(Collectors.toList())) {
        cases.add(new ConformanceCase(path, MODELS));
      }
    }
    return cases;
  }

  @BeforeClass
  public static void run() throws IOException {
    assumeTrue("no models in " + MODELS + "; make test makes them", Files.isDirectory(MODELS));
    try (LocalBeam beam = LocalBeam.start("--allow-import", "their_package")) {
      Map<String, Pipeline> pipelines = new TreeMap<>();
      for (ConformanceCase example : cases()) {
        if (example.refused != null) {
          RESULTS.put(example.name, refusal(example, Pipeline.create(beam.options())));
        } else if (HAS_GPU || !example.needsGpu) {
          apply(
              example,
              pipelines.computeIfAbsent(
                  example.stack(), stack -> Pipeline.create(beam.options())));
        }
      }
      for (Pipeline pipeline : pipelines.values()) {
        assertEquals(PipelineResult.State.DONE, pipeline.run().waitUntilFinish());
      }
    }
  }

  private static void apply(ConformanceCase example, Pipeline pipeline) {
    PCollection<Row> rows =
        pipeline.apply(
            "Rows of " + example.name, Create.of(example.rows()).withRowSchema(example.schema()));
    Predictions<Row> results = rows.apply("Infer " + example.name, example.inference());
    results.output().apply("Output of " + example.name, keep(example.name, Prediction::element));
    results
        .errors()
        .apply("Errors of " + example.name, keep(example.name, InferenceError::element));
  }

  /** What the service says to a case; a pipeline that it takes is never run. */
  private static String refusal(ConformanceCase example, Pipeline pipeline) {
    PCollection<Row> rows = pipeline.apply(Create.empty(example.schema()));
    try {
      rows.apply(example.inference());
      return "it is taken";
    } catch (ExpansionException e) {
      return e.getMessage();
    }
  }

  private static <T> ParDo.SingleOutput<T, Void> keep(
      String name, SerializableFunction<T, Row> element) {
    return ParDo.of(new KeepFn<>(name, element));
  }

  private static final class KeepFn<T> extends DoFn<T, Void> {
    private static final long serialVersionUID = 1L;

    private final String name;
    private final SerializableFunction<T, Row> element;

    KeepFn(String name, SerializableFunction<T, Row> element) {
      this.name = name;
      this.element = element;
    }

    @ProcessElement
    public void process(@Element T result) {
      RESULTS.put(name + " " + element.apply(result).getInt32(ConformanceCase.NUMBER), result);
    }
  }

  @Test
  public void everyRowBecomesWhatTheCaseSaysOrTheCaseIsRefusedAsItSays() {
    assumeTrue("no NVIDIA GPU on this machine", HAS_GPU || !example.needsGpu);
    if (example.refused == null) {
      assertRows();
    } else {
      String reason = (String) RESULTS.get(example.name);
      assertTrue(reason, reason.contains(example.refused));
    }
  }

  private void assertRows() {
    List<Row> rows = example.rows();
    for (int number = 0; number < rows.size(); number++) {
      Object result = RESULTS.get(example.name + " " + number);
      assertNotNull("row " + number + " is lost", result);
      JsonNode expected = example.expected.get(number);
      if (expected.has("error")) {
        assertTrue("row " + number + ": " + result, result instanceof InferenceError);
        assertError(expected.get("error"), (InferenceError<?>) result, rows.get(number));
      } else {
        assertTrue("row " + number + ": " + result, result instanceof Prediction);
        assertPrediction(expected, (Prediction<?>) result, rows.get(number));
      }
    }
  }

  private static void assertError(JsonNode expected, InferenceError<?> error, Row row) {
    assertEquals(expected.get("stage").asText(), error.stage());
    assertTrue(error.message(), error.message().contains(expected.get("message").asText()));
    assertEquals(row, error.element());
  }

  private static void assertPrediction(JsonNode expected, Prediction<?> prediction, Row row) {
    expected
        .fields()
        .forEachRemaining(
            field -> {
              Object actual = prediction.values().getValue(field.getKey());
              assertTrue(
                  field.getKey() + " is " + actual + "; expected " + field.getValue(),
                  ConformanceCase.equal(field.getValue(), actual));
            });
    assertEquals(row, prediction.element());
  }
}
