// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.MLTransformConfig;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.util.List;
import java.util.Optional;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TupleTag;

/**
 * Where the Python part of a pipeline comes from: an expansion service, or in tests {@link
 * io.github.beamml.expansion.testing.FakeRunInference a fake of one}.
 */
public interface Expander {

  /** The input that the model runs on, where there are two. */
  TupleTag<byte[]> INPUT = new TupleTag<>("input");

  /** The input that says where the model is. */
  TupleTag<String> MODEL_URIS = new TupleTag<>("model_uris");

  /**
   * Expands RunInference.
   *
   * @param config the whole configuration, {@code tensor_batch} and {@code error_handling} included
   * @param batches TensorBatches in the global window
   * @param modelUris where models are, in the global window; there if the configuration has {@code
   *     model_uris}
   * @throws ExpansionException if the configuration is refused or no answer comes
   */
  Expansion expand(
      RunInferenceConfig config,
      PCollection<byte[]> batches,
      Optional<PCollection<String>> modelUris);

  /**
   * Expands MLTransform; a fake of RunInference need not.
   *
   * @param config the whole configuration, {@code tensor_batch} and {@code error_handling} included
   * @param batches TensorBatches in the global window
   * @throws ExpansionException if the configuration is refused or no answer comes
   */
  default Expansion expand(MLTransformConfig config, PCollection<byte[]> batches) {
    throw new UnsupportedOperationException(
        getClass().getSimpleName()
            + " expands RunInference only; run MLTransform with LocalBeam or a service");
  }

  /** What an expansion gives. */
  final class Expansion {
    private final PCollection<byte[]> output;
    private final PCollection<byte[]> errors;
    private final List<Field> columns;
    private final List<String> dropped;
    private final List<String> modelColumns;

    /**
     * Creates an expansion from TensorBatches of results and of errors.
     *
     * @param columns the columns of results that are not the input's own, in order: predictions, or
     *     what was transformed
     * @param dropped names of the input's columns that results do not have
     * @param modelColumns names of the columns of results and errors that say which model it was
     */
    public Expansion(
        PCollection<byte[]> output,
        PCollection<byte[]> errors,
        List<Field> columns,
        List<String> dropped,
        List<String> modelColumns) {
      this.output = output;
      this.errors = errors;
      this.columns = List.copyOf(columns);
      this.dropped = List.copyOf(dropped);
      this.modelColumns = List.copyOf(modelColumns);
    }

    PCollection<byte[]> output() {
      return output;
    }

    PCollection<byte[]> errors() {
      return errors;
    }

    List<Field> columns() {
      return columns;
    }

    List<String> dropped() {
      return dropped;
    }

    List<String> modelColumns() {
      return modelColumns;
    }
  }
}
