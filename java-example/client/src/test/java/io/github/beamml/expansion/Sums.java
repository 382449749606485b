// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.testing.FakeRunInference;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.values.Row;
import org.junit.rules.ExternalResource;

/** A fake model, {@code sum = x + 1}, that counts how often it is asked, and refuses 13. */
final class Sums extends ExternalResource {

  static final Schema SCHEMA = Schema.builder().addDoubleField("sum").build();

  private static final ConcurrentHashMap<String, AtomicInteger> CALLS = new ConcurrentHashMap<>();

  private final String counter = UUID.randomUUID().toString();
  private FakeRunInference fake;

  @Override
  protected void before() {
    String key = counter;
    CALLS.put(key, new AtomicInteger());
    fake =
        FakeRunInference.returning(
            SCHEMA,
            features -> {
              CALLS.get(key).incrementAndGet();
              if (features.getDouble("x") == 13) {
                throw new IllegalArgumentException("13 is unlucky");
              }
              return Row.withSchema(SCHEMA).addValue(features.getDouble("x") + 1).build();
            });
  }

  @Override
  protected void after() {
    fake.close();
  }

  /** Makes the fake the expansion service of a pipeline. */
  void serve(Pipeline pipeline) {
    pipeline.getOptions().as(ExpansionOptions.class).setExpansionService(fake.address());
  }

  int calls() {
    return CALLS.get(counter).get();
  }

  /** Infers on numbers. */
  static RunInference<Double, Double> ofNumbers() {
    return RunInference.<Double>of(Models.onnx("sum.onnx")).feature(Feature.ofDouble("x", x -> x));
  }
}
