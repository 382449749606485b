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
import io.github.beamml.expansion.Transformed;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.POutput;
import org.apache.beam.sdk.values.Row;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameters;

/**
 * The cases in tests/conformance/run_inference and ml_transform, from Java through the real service
 * and back: those of TensorFlow in one pipeline, all others in another. {@code make test} makes
 * their models; without them the cases are skipped.
 */
@RunWith(Parameterized.class)
public class ConformanceTest {

  @ClassRule public static final TemporaryFolder FOLDER = new TemporaryFolder();

  private static final Path MODELS = Paths.get(System.getProperty("models"));
  private static final boolean HAS_GPU = Files.exists(Paths.get("/dev/nvidiactl"));

  /** Why cases were refused, by their names. */
  private static final Map<String, String> REFUSALS = new TreeMap<>();

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
    for (String folder : List.of(ConformanceCase.RUN_INFERENCE, ConformanceCase.ML_TRANSFORM)) {
      try (Stream<Path> paths = Files.list(Paths.get(System.getProperty("conformance"), folder))) {
        for (Path path :
            paths
                .filter(path -> path.toString().endsWith(".json"))
                .sorted()
                .collect(Collectors.toList())) {
          cases.add(new ConformanceCase(path, MODELS));
        }
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
          REFUSALS.put(example.name, refusal(example, Pipeline.create(beam.options())));
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
    PCollection<InferenceError<Row>> errors;
    if (example.isTransform) {
      Transformed<Row> results =
          rows.apply("Transform " + example.name, example.transform(artifactOf(example)));
      keep(example, "Output", results.output(), row -> row);
      errors = results.errors();
    } else {
      Predictions<Row> results = rows.apply("Infer " + example.name, example.inference(pipeline));
      keep(example, "Output", results.output(), Prediction::element);
      errors = results.errors();
    }
    keep(example, "Errors", errors, InferenceError::element);
  }

  private static <T> void keep(
      ConformanceCase example,
      String what,
      PCollection<T> results,
      SerializableFunction<T, Row> element) {
    results.apply(what + " of " + example.name, KeepFn.keeping(example.name, element));
  }

  private static Path artifactOf(ConformanceCase example) {
    return FOLDER.getRoot().toPath().resolve(example.name);
  }

  /** What the service says to a case; a pipeline that it takes is never run. */
  private static String refusal(ConformanceCase example, Pipeline pipeline) {
    PCollection<Row> rows = pipeline.apply(Create.empty(example.schema()));
    PTransform<PCollection<Row>, ? extends POutput> transform =
        example.isTransform
            ? example.transform(artifactOf(example))
            : example.inference(pipeline);
    try {
      rows.apply(transform);
      return "it is taken";
    } catch (ExpansionException e) {
      return e.getMessage();
    }
  }

  @Test
  public void everyRowBecomesWhatTheCaseSaysOrTheCaseIsRefusedAsItSays() {
    assumeTrue("no NVIDIA GPU on this machine", HAS_GPU || !example.needsGpu);
    if (example.refused == null) {
      assertRows();
    } else {
      String reason = REFUSALS.get(example.name);
      assertTrue(reason, reason.contains(example.refused));
    }
  }

  private void assertRows() {
    List<Row> rows = example.rows();
    for (int number = 0; number < rows.size(); number++) {
      Object result = KeepFn.kept(example.name, number);
      assertNotNull("row " + number + " is lost", result);
      JsonNode expected = example.expected.get(number);
      if (expected.has("error")) {
        assertTrue("row " + number + ": " + result, result instanceof InferenceError);
        assertError(expected.get("error"), (InferenceError<?>) result, rows.get(number));
      } else if (example.isTransform) {
        assertTrue("row " + number + ": " + result, result instanceof Row);
        assertTransformed(expected, (Row) result);
      } else {
        assertTrue("row " + number + ": " + result, result instanceof Prediction);
        assertValues(expected, ((Prediction<?>) result).values());
        assertEquals(rows.get(number), ((Prediction<?>) result).element());
      }
    }
  }

  private static void assertError(JsonNode expected, InferenceError<?> error, Row row) {
    assertEquals(expected.get("stage").asText(), error.stage());
    assertTrue(error.message(), error.message().contains(expected.get("message").asText()));
    assertEquals(row, error.element());
  }

  private static void assertTransformed(JsonNode expected, Row row) {
    Set<String> names = new TreeSet<>(Set.of(KeepFn.NUMBER));
    expected.fieldNames().forEachRemaining(names::add);
    assertEquals(names, new TreeSet<>(row.getSchema().getFieldNames()));
    assertValues(expected, row);
  }

  private static void assertValues(JsonNode expected, Row row) {
    expected
        .fields()
        .forEachRemaining(
            field -> {
              Object actual = row.getValue(field.getKey());
              assertTrue(
                  field.getKey() + " is " + actual + "; expected " + field.getValue(),
                  ConformanceCase.equal(field.getValue(), actual));
            });
  }
}
