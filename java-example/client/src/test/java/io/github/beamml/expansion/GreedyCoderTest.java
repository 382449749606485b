// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import org.apache.beam.runners.direct.DirectOptions;
import org.apache.beam.sdk.coders.CustomCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.WithTimestamps;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.SlidingWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Duration;
import org.joda.time.Instant;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;

/** Elements whose coder reads to the end of its stream: they come back too, where they were. */
public class GreedyCoderTest {

  private static final Duration TEN_SECS = Duration.standardSeconds(10);

  @Rule public final transient TestPipeline pipeline = TestPipeline.create();
  @Rule public final transient Sums sums = new Sums();

  /** Text without its length, as many a coder writes it. */
  private static final class GreedyCoder extends CustomCoder<String> {
    private static final long serialVersionUID = 1L;

    @Override
    public void encode(String value, OutputStream out) throws IOException {
      out.write(value.getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public String decode(InputStream in) throws IOException {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  /** Otherwise DirectRunner copies results with their coders, and this one has no end. */
  @Before
  public void keepObjects() {
    DirectOptions options = pipeline.getOptions().as(DirectOptions.class);
    options.setEnforceImmutability(false);
    options.setEnforceEncodability(false);
    sums.serve(pipeline);
  }

  private PCollection<String> texts() {
    return pipeline
        .apply(Create.of("1", "13", "2.25"))
        .apply(WithTimestamps.of(text -> Instant.ofEpochSecond(text.equals("2.25") ? 12 : 1)))
        .setCoder(new GreedyCoder())
        .apply(Window.into(SlidingWindows.of(TEN_SECS.multipliedBy(2)).every(TEN_SECS)));
  }

  private static RunInference<String, String> sum() {
    return RunInference.<String>of(Models.onnx("sum.onnx"))
        .feature(Feature.ofDouble("x", Double::valueOf));
  }

  private static Mapped<Prediction<String>, String> shown() {
    return new Mapped<>(p -> p.element() + "→" + p.getDouble("sum"), StringUtf8Coder.of());
  }

  @Test
  public void elementsOfAGreedyCoderComeBackInTheirWindows() {
    Predictions<String> predictions = texts().apply(sum());
    PAssert.that(predictions.output().apply("Good", shown()))
        .inWindow(window(-10))
        .containsInAnyOrder("1→2.0")
        .inWindow(window(0))
        .containsInAnyOrder("1→2.0", "2.25→3.25")
        .inWindow(window(10))
        .containsInAnyOrder("2.25→3.25");
    PAssert.that(
            predictions
                .errors()
                .apply("Bad", new Mapped<>(InferenceError::element, StringUtf8Coder.of())))
        .inWindow(window(0))
        .containsInAnyOrder("13");
    pipeline.run();
  }

  @Test
  public void whatAFunctionMakesMayHaveAGreedyCoder() {
    PCollection<Prediction<String>> output =
        texts().apply(sum().carry(text -> "<" + text + ">", new GreedyCoder())).output();
    PAssert.that(output.apply(shown())).inWindow(window(10)).containsInAnyOrder("<2.25>→3.25");
    pipeline.run();
  }

  private static IntervalWindow window(long start) {
    return new IntervalWindow(Instant.ofEpochSecond(start), TEN_SECS.multipliedBy(2));
  }
}
