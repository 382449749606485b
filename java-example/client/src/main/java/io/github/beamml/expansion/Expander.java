// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.util.List;
import org.apache.beam.sdk.values.PCollection;

/**
 * Where the Python part of a pipeline comes from: an expansion service, or in tests {@link
 * io.github.beamml.expansion.testing.FakeRunInference a fake of one}.
 */
public interface Expander {

  /**
   * Expands RunInference.
   *
   * @param config the whole configuration, {@code tensor_batch} and {@code error_handling} included
   * @param batches TensorBatches in the global window
   * @throws ExpansionException if the configuration is refused or no answer comes
   */
  Expansion expand(RunInferenceConfig config, PCollection<byte[]> batches);

  /** What an expansion gives. */
  final class Expansion {
    private final PCollection<byte[]> output;
    private final PCollection<byte[]> errors;
    private final List<Field> predictions;

    /**
     * Creates an expansion from TensorBatches of predictions and of errors, and the prediction
     * columns in order.
     */
    public Expansion(
        PCollection<byte[]> output, PCollection<byte[]> errors, List<Field> predictions) {
      this.output = output;
      this.errors = errors;
      this.predictions = List.copyOf(predictions);
    }

    PCollection<byte[]> output() {
      return output;
    }

    PCollection<byte[]> errors() {
      return errors;
    }

    List<Field> predictions() {
      return predictions;
    }
  }
}
