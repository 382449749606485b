// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.testing;

import io.github.beamml.expansion.ExpansionException;
import java.io.Serializable;
import java.util.Comparator;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Max;
import org.apache.beam.sdk.transforms.Reify;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.transforms.windowing.AfterPane;
import org.apache.beam.sdk.transforms.windowing.GlobalWindows;
import org.apache.beam.sdk.transforms.windowing.Repeatedly;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollection.IsBounded;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TimestampedValue;
import org.joda.time.Duration;

/** The newest uri of a collection, as the service finds it: of all, or in a stream so far. */
final class NewestUri implements Serializable {

  private static final long serialVersionUID = 1L;

  private final PCollectionView<Iterable<TimestampedValue<String>>> view;

  private NewestUri(PCollectionView<Iterable<TimestampedValue<String>>> view) {
    this.view = view;
  }

  static NewestUri of(PCollection<String> uris) {
    Window<String> window = Window.into(new GlobalWindows());
    if (uris.isBounded() == IsBounded.UNBOUNDED) {
      window =
          window
              .triggering(Repeatedly.forever(AfterPane.elementCountAtLeast(1)))
              .withAllowedLateness(Duration.ZERO)
              .accumulatingFiredPanes();
    }
    return new NewestUri(
        uris.apply("Window", window)
            .apply("Timestamps", Reify.timestamps())
            .apply("Newest", Max.globally(new ByTimestamp()).withoutDefaults())
            .apply("View", View.asIterable()));
  }

  PCollectionView<Iterable<TimestampedValue<String>>> view() {
    return view;
  }

  /** The uri, for a step that has the view among its side inputs. */
  String get(DoFn<?, ?>.ProcessContext context) {
    TimestampedValue<String> newest = null;
    for (TimestampedValue<String> uri : context.sideInput(view)) {
      newest = newest == null || new ByTimestamp().compare(uri, newest) > 0 ? uri : newest;
    }
    if (newest == null) {
      throw new ExpansionException("model_uris: the second input has no uri, and rows came");
    }
    return newest.getValue();
  }

  /** Of two at one time, the later is the one whose text is. */
  private static final class ByTimestamp
      implements Comparator<TimestampedValue<String>>, Serializable {
    private static final long serialVersionUID = 1L;

    @Override
    public int compare(TimestampedValue<String> one, TimestampedValue<String> other) {
      int order = one.getTimestamp().compareTo(other.getTimestamp());
      return order != 0 ? order : one.getValue().compareTo(other.getValue());
    }
  }
}
