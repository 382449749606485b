// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Instant;

/**
 * Elements and where they are in event time, as text: {@code VALUE at SECOND in WINDOW pane INDEX
 * TIMING}.
 */
final class Described<T> extends PTransform<PCollection<T>, PCollection<String>> {

  private static final long serialVersionUID = 1L;

  private final SerializableFunction<T, String> value;

  Described(SerializableFunction<T, String> value) {
    this.value = value;
  }

  static Described<Prediction<Double>> predictions() {
    return new Described<>(p -> p.element() + "→" + p.getDouble("sum"));
  }

  static Described<InferenceError<Double>> errors() {
    return new Described<>(e -> e.element() + " " + e.stage() + ": " + e.message());
  }

  @Override
  public PCollection<String> expand(PCollection<T> input) {
    return input.apply(ParDo.of(new DescribeFn<>(value)));
  }

  private static final class DescribeFn<T> extends DoFn<T, String> {
    private static final long serialVersionUID = 1L;

    private final SerializableFunction<T, String> value;

    DescribeFn(SerializableFunction<T, String> value) {
      this.value = value;
    }

    @ProcessElement
    public void process(
        @Element T element,
        @Timestamp Instant timestamp,
        BoundedWindow window,
        PaneInfo pane,
        OutputReceiver<String> out) {
      long second = Math.floorDiv(timestamp.getMillis(), 1000);
      long end = Math.floorDiv(window.maxTimestamp().getMillis() + 1, 1000);
      String where = pane.isUnknown() ? "" : " pane " + pane.getIndex() + " " + pane.getTiming();
      out.output(value.apply(element) + " at " + second + " until " + end + where);
    }
  }
}
