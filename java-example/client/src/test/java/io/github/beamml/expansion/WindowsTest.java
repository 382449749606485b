// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static org.junit.Assert.assertEquals;

import org.apache.beam.sdk.coders.DoubleCoder;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.testing.TestStream;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.WithKeys;
import org.apache.beam.sdk.transforms.windowing.AfterPane;
import org.apache.beam.sdk.transforms.windowing.AfterWatermark;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.Sessions;
import org.apache.beam.sdk.transforms.windowing.SlidingWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TimestampedValue;
import org.joda.time.Duration;
import org.joda.time.Instant;
import org.junit.Rule;
import org.junit.Test;

/** Elements come back where they were in event time. */
public class WindowsTest {

  private static final Duration TEN_SECS = Duration.standardSeconds(10);
  private static final SlidingWindows SLIDING =
      SlidingWindows.of(TEN_SECS.multipliedBy(2)).every(TEN_SECS);

  @Rule public final transient TestPipeline pipeline = TestPipeline.create();
  @Rule public final transient Sums sums = new Sums();

  private static TimestampedValue<Double> at(double value, long second) {
    return TimestampedValue.of(value, Instant.ofEpochSecond(second));
  }

  private PCollection<Double> numbers() {
    sums.serve(pipeline);
    return pipeline.apply(
        Create.timestamped(at(1, 1), at(2, 12), at(3, 14), at(4, 31)).withCoder(DoubleCoder.of()));
  }

  @Test
  public void timestampsOfTheGlobalWindowAreRestored() {
    PCollection<Prediction<Double>> output = numbers().apply(Sums.ofNumbers()).output();
    PAssert.that(output.apply(new Described<>(p -> p.element() + "→" + p.getDouble("sum"))))
        .satisfies(
            lines -> {
              for (String line : lines) {
                assertEquals(
                    true,
                    line.matches(
                        "(1.0→2.0 at 1|2.0→3.0 at 12|3.0→4.0 at 14|4.0→5.0 at 31) until .*"));
              }
              return null;
            });
    pipeline.run();
  }

  @Test
  public void fixedWindowsAreRestoredAndCanBeGrouped() {
    PCollection<Double> windowed = numbers().apply(Window.into(FixedWindows.of(TEN_SECS)));
    PCollection<Prediction<Double>> output = windowed.apply(Sums.ofNumbers()).output();

    assertEquals(windowed.getWindowingStrategy(), output.getWindowingStrategy());
    PAssert.that(output.apply(Described.predictions()))
        .containsInAnyOrder(
            "1.0→2.0 at 1 until 10",
            "2.0→3.0 at 12 until 20",
            "3.0→4.0 at 14 until 20",
            "4.0→5.0 at 31 until 40");
    PCollection<KV<String, Iterable<Double>>> grouped =
        output
            .apply("Elements", new Mapped<>(Prediction::element, DoubleCoder.of()))
            .apply(WithKeys.of("all"))
            .apply(GroupByKey.create());
    PAssert.that(grouped.apply("Counts", new Described<>(kv -> "" + sum(kv.getValue()))))
        .containsInAnyOrder(
            "1.0 at 9 until 10 pane 0 ON_TIME",
            "5.0 at 19 until 20 pane 0 ON_TIME",
            "4.0 at 39 until 40 pane 0 ON_TIME");
    pipeline.run();
  }

  private static double sum(Iterable<Double> values) {
    double sum = 0;
    for (double value : values) {
      sum += value;
    }
    return sum;
  }

  @Test
  public void slidingWindowsAreRestoredAndEachElementIsInferredOnce() {
    PCollection<Prediction<Double>> output =
        numbers().apply(Window.into(SLIDING)).apply(Sums.ofNumbers()).output();
    PAssert.that(output.apply(Described.predictions()))
        .containsInAnyOrder(
            "1.0→2.0 at 1 until 10", "1.0→2.0 at 1 until 20",
            "2.0→3.0 at 12 until 20", "2.0→3.0 at 12 until 30",
            "3.0→4.0 at 14 until 20", "3.0→4.0 at 14 until 30",
            "4.0→5.0 at 31 until 40", "4.0→5.0 at 31 until 50");
    pipeline.run();
    assertEquals(4, sums.calls());
  }

  @Test
  public void equalElementsStayApart() {
    sums.serve(pipeline);
    PCollection<Prediction<Double>> output =
        pipeline
            .apply(Create.timestamped(at(1, 5), at(1, 5), at(1, 5)).withCoder(DoubleCoder.of()))
            .apply(Window.into(FixedWindows.of(TEN_SECS)))
            .apply(Sums.ofNumbers())
            .output();
    String line = "1.0→2.0 at 5 until 10";
    PAssert.that(output.apply(Described.predictions())).containsInAnyOrder(line, line, line);
    pipeline.run();
  }

  @Test
  public void anErrorIsInEveryWindowOfItsElement() {
    sums.serve(pipeline);
    SerializableFunction<Double, Double> notNegative =
        x -> {
          if (x < 0) {
            throw new IllegalArgumentException("negative");
          }
          return x;
        };
    PCollection<InferenceError<Double>> errors =
        pipeline
            .apply(Create.timestamped(at(13, 5), at(-1, 16)).withCoder(DoubleCoder.of()))
            .apply(Window.into(SLIDING))
            .apply(
                RunInference.<Double>of(Models.onnx("sum.onnx"))
                    .feature(Feature.ofDouble("x", notNegative)))
            .errors();
    PAssert.that(errors.apply(Described.errors()))
        .containsInAnyOrder(
            "13.0 inference: 13 is unlucky at 5 until 10",
                "13.0 inference: 13 is unlucky at 5 until 20",
            "-1.0 decode: negative at 16 until 20", "-1.0 decode: negative at 16 until 30");
    pipeline.run();
  }

  @Test
  public void mergedSessionsAreRestored() {
    PCollection<Prediction<KV<String, Iterable<Double>>>> output =
        numbers()
            .apply(WithKeys.of("user"))
            .apply(Window.into(Sessions.withGapDuration(TEN_SECS)))
            .apply(GroupByKey.create())
            .apply(
                RunInference.<KV<String, Iterable<Double>>>of(Models.onnx("sum.onnx"))
                    .feature(Feature.ofDouble("x", kv -> sum(kv.getValue()))))
            .output();
    PAssert.that(output.apply(new Described<>(p -> "" + p.getDouble("sum"))))
        .containsInAnyOrder(
            "2.0 at 10 until 11 pane 0 ON_TIME",
            "6.0 at 23 until 24 pane 0 ON_TIME",
            "5.0 at 40 until 41 pane 0 ON_TIME");
    pipeline.run();
  }

  @Test
  public void windowsThatOnlyJavaKnowsAreRestored() {
    PCollection<Prediction<Double>> output =
        numbers().apply(Window.into(new ParityWindows())).apply(Sums.ofNumbers()).output();
    PAssert.that(output.apply(Described.predictions()))
        .containsInAnyOrder(
            "1.0→2.0 at 1 until 1001",
            "2.0→3.0 at 12 until 1000",
            "3.0→4.0 at 14 until 1000",
            "4.0→5.0 at 31 until 1001");
    pipeline.run();
  }

  @Test
  public void panesAreRestored() {
    sums.serve(pipeline);
    TestStream<Double> stream =
        TestStream.create(DoubleCoder.of())
            .addElements(at(1, 1))
            .addElements(at(2, 2))
            .advanceWatermarkTo(Instant.ofEpochSecond(10))
            .addElements(at(3, 3))
            .advanceWatermarkToInfinity();
    PCollection<Prediction<KV<String, Iterable<Double>>>> output =
        pipeline
            .apply(stream)
            .apply(
                Window.<Double>into(FixedWindows.of(TEN_SECS))
                    .triggering(
                        AfterWatermark.pastEndOfWindow()
                            .withEarlyFirings(AfterPane.elementCountAtLeast(1))
                            .withLateFirings(AfterPane.elementCountAtLeast(1)))
                    .withAllowedLateness(TEN_SECS)
                    .accumulatingFiredPanes())
            .apply(WithKeys.of("key"))
            .apply(GroupByKey.create())
            .apply(
                RunInference.<KV<String, Iterable<Double>>>of(Models.onnx("sum.onnx"))
                    .feature(Feature.ofDouble("x", kv -> sum(kv.getValue()))))
            .output();
    PAssert.that(output.apply(new Described<>(p -> "" + p.getDouble("sum"))))
        .containsInAnyOrder(
            "2.0 at 9 until 10 pane 0 EARLY",
            "4.0 at 9 until 10 pane 1 EARLY",
            "4.0 at 9 until 10 pane 2 ON_TIME",
            "7.0 at 9 until 10 pane 3 LATE");
    pipeline.run();
  }
}
