// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import java.util.Map;
import java.util.TreeMap;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.metrics.DistributionResult;
import org.apache.beam.sdk.metrics.MetricNameFilter;
import org.apache.beam.sdk.metrics.MetricQueryResults;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricsFilter;

/** What RunInference reports of a run, as {@link PipelineResult#metrics} has it. */
final class ModelMetrics {

  /** Beam's own metrics of RunInference have this namespace, and so have ours. */
  private static final String NAMESPACE = "RunInference";

  private ModelMetrics() {}

  /**
   * Reads the metrics of a run, of all its models together.
   *
   * @return by name, in order: a counter's value; of a distribution its count, sum, minimum and
   *     maximum
   */
  static Map<String, long[]> read(PipelineResult result) {
    MetricQueryResults found =
        result
            .metrics()
            .queryMetrics(
                MetricsFilter.builder()
                    .addNameFilter(MetricNameFilter.inNamespace(NAMESPACE))
                    .build());
    Map<String, long[]> metrics = new TreeMap<>();
    for (MetricResult<Long> counter : found.getCounters()) {
      metrics.merge(
          counter.getName().getName(),
          new long[] {counter.getAttempted()},
          (a, b) -> new long[] {a[0] + b[0]});
    }
    for (MetricResult<DistributionResult> distribution : found.getDistributions()) {
      DistributionResult value = distribution.getAttempted();
      metrics.merge(
          distribution.getName().getName(),
          new long[] {value.getCount(), value.getSum(), value.getMin(), value.getMax()},
          (a, b) ->
              new long[] {
                a[0] + b[0], a[1] + b[1], Math.min(a[2], b[2]), Math.max(a[3], b[3])
              });
    }
    return metrics;
  }

  /** The metrics of a run as lines for people. */
  static String describe(PipelineResult result) {
    StringBuilder lines = new StringBuilder("\nmetrics of the model\n");
    read(result)
        .forEach(
            (name, value) ->
                lines.append(
                    value.length == 1
                        ? String.format("  %-40s %10d%n", name, value[0])
                        : String.format(
                            "  %-40s %10.1f on average of %d, %d to %d%n",
                            name, (double) value[1] / value[0], value[0], value[2], value[3])));
    return lines.toString();
  }
}
