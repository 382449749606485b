// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assume.assumeTrue;

import io.github.beamml.expansion.Feature;
import io.github.beamml.expansion.LocalBeam;
import io.github.beamml.expansion.Models;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.RunInference;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.SerializableCoder;
import org.apache.beam.sdk.metrics.MetricNameFilter;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricsFilter;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.Values;
import org.apache.beam.sdk.transforms.WithKeys;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.NonMergingWindowFn;
import org.apache.beam.sdk.transforms.windowing.Sessions;
import org.apache.beam.sdk.transforms.windowing.SlidingWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.transforms.windowing.WindowFn;
import org.apache.beam.sdk.transforms.windowing.WindowMappingFn;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TimestampedValue;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.joda.time.Duration;
import org.joda.time.Instant;
import org.junit.BeforeClass;
import org.junit.Test;

/**
 * Elements with a coder that only Java knows, in windows of every kind, through the real service
 * and back: all in one pipeline on the embedded runner.
 */
public class WindowsCrossLanguageTest {

  private static final Path MODEL = Paths.get(System.getProperty("models"), "identity_scalar.onnx");
  private static final Duration TEN_SECS = Duration.standardSeconds(10);
  private static final int ELEMENTS = 20;

  private static final Map<String, Long> INFERENCES = new TreeMap<>();

  /** An element of a type that Beam knows nothing of. */
  private static final class Reading implements Serializable {
    private static final long serialVersionUID = 1L;
    private final double value;

    Reading(double value) {
      this.value = value;
    }
  }

  @BeforeClass
  public static void run() {
    assumeTrue("no model " + MODEL + "; make test makes it", Files.exists(MODEL));
    try (LocalBeam beam = LocalBeam.start()) {
      Pipeline pipeline = Pipeline.create(beam.options());
      PCollection<Reading> readings =
          pipeline.apply(Create.timestamped(readings()).withCoder(coder()));
      branch("fixed", readings.apply("Fixed", Window.into(FixedWindows.of(TEN_SECS))));
      branch(
          "sliding",
          readings.apply(
              "Sliding",
              Window.into(SlidingWindows.of(TEN_SECS).every(Duration.standardSeconds(2)))));
      branch("custom", readings.apply("Custom", Window.into(new OnlyJavaKnows())));
      branch("sessions", sessions(readings));
      PipelineResult result = pipeline.run();
      assertEquals(PipelineResult.State.DONE, result.waitUntilFinish());
      countInferences(result);
    }
  }

  private static List<TimestampedValue<Reading>> readings() {
    List<TimestampedValue<Reading>> readings = new ArrayList<>();
    for (int second = 0; second < ELEMENTS; second++) {
      readings.add(TimestampedValue.of(new Reading(second), Instant.ofEpochSecond(second * 3L)));
    }
    return readings;
  }

  private static Coder<Reading> coder() {
    return SerializableCoder.of(Reading.class);
  }

  /** Sessions that a grouping has merged, so that elements have panes as well. */
  private static PCollection<Reading> sessions(PCollection<Reading> readings) {
    return readings
        .apply("Sessions", Window.into(Sessions.withGapDuration(Duration.standardSeconds(4))))
        .apply(
            WithKeys.<Integer, Reading>of(r -> (int) r.value % 2)
                .withKeyType(TypeDescriptors.integers()))
        .apply(GroupByKey.create())
        .apply(Values.create())
        .apply(Flatten.iterables())
        .setCoder(coder());
  }

  private static void branch(String name, PCollection<Reading> readings) {
    readings.apply("Before " + name, PlaceFn.noting("before " + name, r -> r.value));
    PCollection<Prediction<Reading>> output =
        readings
            .apply(
                "Infer " + name,
                RunInference.<Reading>of(Models.onnx(MODEL.toString()))
                    .feature(Feature.ofDouble("x", r -> r.value)))
            .output();
    assertEquals(readings.getWindowingStrategy(), output.getWindowingStrategy());
    output.apply("After " + name, PlaceFn.noting("after " + name, p -> p.getDouble("y")));
  }

  private static void countInferences(PipelineResult result) {
    MetricsFilter filter =
        MetricsFilter.builder()
            .addNameFilter(MetricNameFilter.named("RunInference", "num_inferences"))
            .build();
    for (MetricResult<Long> counter : result.metrics().queryMetrics(filter).getCounters()) {
      INFERENCES.merge(counter.getKey().stepName(), counter.getAttempted(), Long::sum);
    }
  }

  private static void assertPlacesAreKept(String branch) {
    assertFalse(PlaceFn.noted("before " + branch).isEmpty());
    assertEquals(PlaceFn.noted("before " + branch), PlaceFn.noted("after " + branch));
  }

  @Test
  public void fixedWindowsSurviveTheRoundTrip() {
    assertPlacesAreKept("fixed");
  }

  @Test
  public void slidingWindowsSurviveTheRoundTrip() {
    assertPlacesAreKept("sliding");
    assertEquals(5 * ELEMENTS, PlaceFn.noted("after sliding").size());
  }

  @Test
  public void anElementInManySlidingWindowsIsInferredOnce() {
    assertEquals(4L * ELEMENTS, INFERENCES.values().stream().mapToLong(Long::longValue).sum());
  }

  @Test
  public void windowsThatOnlyJavaKnowsSurviveTheRoundTrip() {
    assertPlacesAreKept("custom");
  }

  @Test
  public void mergedSessionsAndTheirPanesSurviveTheRoundTrip() {
    assertPlacesAreKept("sessions");
  }

  /**
   * One window for the even and one for the odd seconds, with Java's serialization as the only
   * definition.
   */
  private static final class OnlyJavaKnows extends NonMergingWindowFn<Object, IntervalWindow> {
    private static final long serialVersionUID = 1L;

    @Override
    public Collection<IntervalWindow> assignWindows(AssignContext context) {
      long odd = context.timestamp().getMillis() / 1000 % 2;
      return List.of(
          new IntervalWindow(Instant.ofEpochSecond(odd), Instant.ofEpochSecond(1000 + odd)));
    }

    @Override
    @Deprecated
    public boolean isCompatible(WindowFn<?, ?> other) {
      return other instanceof OnlyJavaKnows;
    }

    @Override
    public Coder<IntervalWindow> windowCoder() {
      return IntervalWindow.getCoder();
    }

    @Override
    public WindowMappingFn<IntervalWindow> getDefaultWindowMappingFn() {
      throw new UnsupportedOperationException("no side inputs here");
    }
  }
}
