// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Collectors;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.joda.time.Instant;

/**
 * Notes elements with their timestamps, windows and panes, for the test that runs in this JVM, as
 * the workers do.
 */
final class PlaceFn<T> extends DoFn<T, Void> {

  private static final long serialVersionUID = 1L;

  private static final Map<String, Collection<String>> PLACES = new ConcurrentHashMap<>();

  private final String name;
  private final SerializableFunction<T, ?> value;

  private PlaceFn(String name, SerializableFunction<T, ?> value) {
    this.name = name;
    this.value = value;
  }

  /** Notes under a name what a function makes of each element, and where it is. */
  static <T> ParDo.SingleOutput<T, Void> noting(String name, SerializableFunction<T, ?> value) {
    return ParDo.of(new PlaceFn<>(name, value));
  }

  /** What was noted under a name, sorted. */
  static List<String> noted(String name) {
    return PLACES.getOrDefault(name, List.of()).stream().sorted().collect(Collectors.toList());
  }

  @ProcessElement
  public void process(
      @Element T element, @Timestamp Instant timestamp, BoundedWindow window, PaneInfo pane) {
    PLACES
        .computeIfAbsent(name, key -> new ConcurrentLinkedQueue<>())
        .add(value.apply(element) + " at " + timestamp + " in " + window + " " + pane);
  }
}
