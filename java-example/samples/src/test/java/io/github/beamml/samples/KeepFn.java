// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.Row;

/**
 * Keeps results for the test that runs in this JVM, as the workers do, by the number of the row
 * that they are of.
 */
final class KeepFn<T> extends DoFn<T, Void> {

  private static final long serialVersionUID = 1L;

  /** The INT32 field that tells rows apart. */
  static final String NUMBER = "row_number";

  private static final Map<String, Object> RESULTS = new ConcurrentHashMap<>();

  private final String name;
  private final SerializableFunction<T, Row> element;

  private KeepFn(String name, SerializableFunction<T, Row> element) {
    this.name = name;
    this.element = element;
  }

  /** Keeps results under a name; a function says which row each is of. */
  static <T> ParDo.SingleOutput<T, Void> keeping(
      String name, SerializableFunction<T, Row> element) {
    return ParDo.of(new KeepFn<>(name, element));
  }

  /** What was kept under a name for a row, or null. */
  static Object kept(String name, int number) {
    return RESULTS.get(name + " " + number);
  }

  @ProcessElement
  public void process(@Element T result) {
    RESULTS.put(name + " " + element.apply(result).getInt32(NUMBER), result);
  }
}
