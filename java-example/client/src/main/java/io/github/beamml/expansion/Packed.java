// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.util.List;
import org.apache.beam.sdk.coders.ByteArrayCoder;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;
import org.apache.beam.sdk.values.WindowingStrategy;

/**
 * Elements as TensorBatches on their way to Python, and how what comes back is put where they were.
 *
 * @param <T> the type of the elements
 * @param <C> the type of what is carried
 */
final class Packed<T, C> {

  static final TupleTag<byte[]> BATCHES = new TupleTag<>("batches");

  private final PCollection<T> input;
  private final PCollection<byte[]> batches;
  private final PCollection<InferenceError<C>> errors;

  /**
   * Packs a collection.
   *
   * @param modelId what elements say of the model that can't be packed
   */
  Packed(PCollection<T> input, Packing<T, C> packing, BatchLimits limits, String modelId) {
    this.input = input;
    TupleTag<InferenceError<C>> errorsTag = new TupleTag<>(ServiceExpander.ERRORS_TAG);
    PCollectionTuple packed =
        input.apply(
            "Pack",
            ParDo.of(new PackFn<>(packing, limits, modelId, errorsTag))
                .withOutputTags(BATCHES, TupleTagList.of(errorsTag)));
    this.batches =
        packed
            .get(BATCHES)
            .setCoder(ByteArrayCoder.of())
            .setWindowingStrategyInternal(WindowingStrategy.globalDefault());
    this.errors = packed.get(errorsTag).setCoder(errorCoder(packing));
  }

  /** TensorBatches, in the global window. */
  PCollection<byte[]> batches() {
    return batches;
  }

  /** Restores what came back, each in the windows of its element. */
  <R> PCollection<R> restored(String name, PCollection<byte[]> returned, RestoreFn<?, R> restore) {
    // Set directly, since how elements are windowed is no choice of the user's here.
    return returned
        .apply(name, ParDo.of(restore))
        .setWindowingStrategyInternal(input.getWindowingStrategy())
        .setIsBoundedInternal(input.isBounded());
  }

  /** Restores errors, and puts those of elements that could not be packed beside them. */
  PCollection<InferenceError<C>> restoredErrors(
      PCollection<byte[]> returned, Packing<T, C> packing, List<String> modelColumns) {
    PCollection<InferenceError<C>> later =
        restored("RestoreErrors", returned, new RestoreFn.Errors<>(packing, modelColumns))
            .setCoder(errorCoder(packing));
    return PCollectionList.of(errors).and(later).apply("Errors", Flatten.pCollections());
  }

  private static <C> Coder<InferenceError<C>> errorCoder(Packing<?, C> packing) {
    return new InferenceErrorCoder<>(packing.carry.coder());
  }
}
