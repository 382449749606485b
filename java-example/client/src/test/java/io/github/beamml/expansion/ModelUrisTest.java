// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.github.beamml.expansion.v1.ModelUris;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.Pipeline.PipelineExecutionException;
import org.apache.beam.sdk.coders.DoubleCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.testing.TestStream;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.transforms.windowing.WindowFn;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TimestampedValue;
import org.joda.time.Duration;
import org.joda.time.Instant;
import org.junit.Rule;
import org.junit.Test;

/** Another collection says where the model is. */
public class ModelUrisTest {

  @Rule
  public final transient TestPipeline pipeline =
      TestPipeline.create().enableAbandonedNodeEnforcement(false);

  @Rule public final transient Sums sums = new Sums();

  private static TimestampedValue<String> at(String uri, long second) {
    return TimestampedValue.of(uri, Instant.ofEpochSecond(second));
  }

  private PCollection<String> uris(List<TimestampedValue<String>> uris) {
    return pipeline.apply("Uris", Create.timestamped(uris).withCoder(StringUtf8Coder.of()));
  }

  private Predictions<Double> infer(PCollection<String> uris, Double... numbers) {
    sums.serve(pipeline);
    return pipeline
        .apply("Numbers", Create.of(List.of(numbers)).withCoder(DoubleCoder.of()))
        .apply(Sums.ofNumbers().modelUrisFrom(uris));
  }

  private static PCollection<String> ids(PCollection<Prediction<Double>> output) {
    return output.apply(
        "Ids", new Mapped<>(p -> p.element() + " " + p.modelId(), StringUtf8Coder.of()));
  }

  @Test
  public void theModelAtTheNewestUriPredictsAllElements() {
    PCollection<String> uris =
        uris(List.of(at("newest.onnx", 7), at("zoo.onnx", 2), at("a.onnx", 5)));
    PAssert.that(ids(infer(uris, 1.0, 2.0).output()))
        .containsInAnyOrder("1.0 newest.onnx", "2.0 newest.onnx");
    pipeline.run();
  }

  @Test
  public void ofTwoUrisAtOneTimeTheOneWithTheLaterTextIsTheNewer() {
    PCollection<String> uris = uris(List.of(at("b.onnx", 1), at("c.onnx", 1), at("a.onnx", 1)));
    PAssert.that(ids(infer(uris, 1.0).output())).containsInAnyOrder("1.0 c.onnx");
    pipeline.run();
  }

  private void assertWindowsAreNoHindrance(WindowFn<? super String, ?> windows) {
    PCollection<String> uris =
        uris(List.of(at("a.onnx", 1), at("b.onnx", 12))).apply(Window.into(windows));
    PAssert.that(ids(infer(uris, 1.0).output())).containsInAnyOrder("1.0 b.onnx");
    pipeline.run();
  }

  @Test
  public void urisMayBeInWindowsOfTheirOwn() {
    assertWindowsAreNoHindrance(FixedWindows.of(Duration.standardSeconds(10)));
  }

  @Test
  public void urisMayBeInWindowsThatOnlyJavaKnows() {
    assertWindowsAreNoHindrance(new ParityWindows());
  }

  @Test
  public void anErrorSaysTheModelItFailedAtIfItReachedOne() {
    PCollection<String> uris = uris(List.of(at("a.onnx", 1)));
    PCollection<InferenceError<Double>> errors = infer(uris, 13.0).errors();
    PAssert.that(errors.apply(new Mapped<>(e -> e.stage() + e.modelId(), StringUtf8Coder.of())))
        .containsInAnyOrder("inferencea.onnx");
    pipeline.run();
    assertEquals("", Models.idOf(Sums.ofNumbers().modelUrisFrom(uris).config()));
  }

  @Test
  public void inAStreamANewerModelIsTakenIntoUseBetweenTwoBatches() {
    sums.serve(pipeline);
    TestStream<String> events =
        TestStream.create(StringUtf8Coder.of())
            .addElements(at("1", 10))
            .addElements(at("old.onnx", 2))
            .addElements(at("2", 11))
            .addElements(at("new.onnx", 3))
            .addElements(at("3", 12))
            .addElements(at("late.onnx", 1))
            .addElements(at("4", 13))
            .advanceWatermarkToInfinity();
    PCollection<String> all = pipeline.apply(events);
    PCollection<Double> numbers =
        all.apply("Numbers", Filter.by(event -> !event.endsWith(".onnx")))
            .apply(new Mapped<>(Double::valueOf, DoubleCoder.of()));
    PCollection<String> uris = all.apply("Uris", Filter.by(event -> event.endsWith(".onnx")));
    PAssert.that(ids(numbers.apply(Sums.ofNumbers().modelUrisFrom(uris)).output()))
        .containsInAnyOrder("1.0 old.onnx", "2.0 old.onnx", "3.0 new.onnx", "4.0 new.onnx");
    pipeline.run();
  }

  @Test
  public void theUrisAreAnInputOfTheTransform() {
    PCollection<String> uris = uris(List.of(at("a.onnx", 1)));
    RunInference<Double, Double> inference = Sums.ofNumbers().modelUrisFrom(uris);
    assertEquals(List.of(uris), List.copyOf(inference.getAdditionalInputs().values()));
    assertEquals(Map.of(), Sums.ofNumbers().getAdditionalInputs());
  }

  @Test
  public void theLastChoiceOfModelsCounts() {
    PCollection<String> uris = uris(List.of(at("a.onnx", 1)));
    RunInference<Double, Double> inference =
        Sums.ofNumbers().modelUrisFrom(uris).perKey("x", Map.of("1", "1.onnx"));
    assertEquals(Map.of(), inference.getAdditionalInputs());
    assertTrue(inference.config().hasPerKey());
  }

  @Test
  public void rowsWithoutAnyUriFailTheJobWithAPlainMessage() {
    infer(uris(List.of()), 1.0);
    PipelineExecutionException e =
        assertThrows(PipelineExecutionException.class, () -> pipeline.run());
    assertTrue(e.getMessage(), e.getMessage().contains("the second input has no uri"));
  }

  @Test
  public void aConfigurationThatTakesUrisNeedsThem() {
    RunInferenceConfig config =
        RunInferenceConfig.newBuilder()
            .setModel(Models.onnx("m.onnx"))
            .setModelUris(ModelUris.getDefaultInstance())
            .build();
    sums.serve(pipeline);
    PCollection<Double> numbers = pipeline.apply(Create.of(1.0));
    ExpansionException e =
        assertThrows(
            ExpansionException.class,
            () ->
                numbers.apply(
                    RunInference.<Double>of(config).feature(Feature.ofDouble("x", x -> x))));
    assertEquals(
        "model_uris: got no collection of uris; give it with modelUrisFrom(…)", e.getMessage());
  }
}
