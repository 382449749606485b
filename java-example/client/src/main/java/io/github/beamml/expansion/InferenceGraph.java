// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import io.github.beamml.expansion.v1.TensorBatchInput;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.beam.sdk.coders.ByteArrayCoder;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaCoder;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;
import org.apache.beam.sdk.values.WindowingStrategy;

/**
 * The steps of one {@link RunInference}: Pack (Java) → Expand (Python) → Restore and RestoreErrors
 * (Java).
 */
final class InferenceGraph<T, C> {

  /**
   * Columns that errors have of their own: a feature of such a name cannot come back beside them.
   */
  private static final Set<String> ERROR_COLUMNS =
      Set.of("stage", "error_type", "message", "model_id", "model_version");

  private final PCollection<T> input;
  private final RunInferenceConfig config;
  private final Packing<T, C> packing;
  private final BatchLimits limits;
  private final TupleTag<Prediction<C>> outputTag = new TupleTag<>(ServiceExpander.OUTPUT_TAG);
  private final TupleTag<InferenceError<C>> errorsTag = new TupleTag<>(ServiceExpander.ERRORS_TAG);

  InferenceGraph(
      PCollection<T> input,
      RunInferenceConfig config,
      List<Feature<? super T>> features,
      RunInference.CarryChoice<T, C> carryChoice,
      long wireBatchBytes) {
    this.input = input;
    checkNames(features);
    List<String> returnable =
        features.stream()
            .filter(Feature::isField)
            .map(feature -> feature.field().getName())
            .filter(name -> !ERROR_COLUMNS.contains(name))
            .collect(Collectors.toList());
    Carry<T, C> carry = carryChoice.of(input.getCoder(), returnable);
    @SuppressWarnings("unchecked")
    Coder<BoundedWindow> windowCoder =
        (Coder<BoundedWindow>) input.getWindowingStrategy().getWindowFn().windowCoder();
    this.packing = new Packing<>(features, carry, toRow(features, carry), windowCoder);
    this.config = complete(config);
    long elementBytes = config.getBatching().getMaxElementBytes();
    this.limits =
        new BatchLimits(
            wireBatchBytes, elementBytes > 0 ? elementBytes : BatchLimits.DEFAULT_ELEMENT_BYTES);
  }

  /** The schema of a collection's elements, or null. */
  static Schema schemaOf(PCollection<?> input) {
    return input.getCoder() instanceof SchemaCoder
        ? ((SchemaCoder<?>) input.getCoder()).getSchema()
        : null;
  }

  private void checkNames(List<Feature<? super T>> features) {
    Set<String> names = new HashSet<>();
    for (Feature<? super T> feature : features) {
      if (!names.add(feature.field().getName())) {
        throw new IllegalArgumentException(
            "feature \"" + feature.field().getName() + "\" is given twice");
      }
    }
    if (names.isEmpty()) {
      Schema schema = schemaOf(input);
      throw new IllegalArgumentException(
          "no features; say what the model reads with features(…) or feature(…)"
              + (schema == null ? "" : "; the fields of the input are " + schema.getFieldNames()));
    }
  }

  private SerializableFunction<T, Row> toRow(List<Feature<? super T>> features, Carry<T, C> carry) {
    boolean needed = carry instanceof CarryRow || features.stream().anyMatch(Feature::isField);
    return needed ? ((SchemaCoder<T>) input.getCoder()).getToRowFunction() : null;
  }

  private RunInferenceConfig complete(RunInferenceConfig config) {
    TensorBatchInput tensorBatch =
        TensorBatchInput.newBuilder()
            .addAllColumns(packing.fields())
            .addOpaqueColumns(packing.opaqueColumn)
            .addAllReturnColumns(packing.carry.returnColumns())
            .build();
    return config.toBuilder()
        .setTensorBatch(tensorBatch)
        .setErrorHandling(
            config.getErrorHandling().toBuilder().setOutput(ServiceExpander.ERRORS_TAG))
        .build();
  }

  Predictions<C> expand(Expander expander) {
    PCollectionTuple packed =
        input.apply(
            "Pack",
            ParDo.of(new PackFn<>(packing, limits, Models.idOf(config), errorsTag))
                .withOutputTags(RunInference.BATCHES, TupleTagList.of(errorsTag)));
    PCollection<byte[]> batches =
        packed
            .get(RunInference.BATCHES)
            .setCoder(ByteArrayCoder.of())
            .setWindowingStrategyInternal(WindowingStrategy.globalDefault());
    Expander.Expansion expansion = expander.expand(config, batches);

    boolean hasVersions = config.getModel().getRefreshIntervalSecs() > 0;
    Schema schema = SchemaFields.schema(expansion.predictions());
    Coder<C> coder = packing.carry.coder();
    PCollection<Prediction<C>> output =
        placed(
                expansion
                    .output()
                    .apply(
                        "Restore",
                        ParDo.of(new RestoreFn.Predictions<>(packing, hasVersions, schema))))
            .setCoder(new PredictionCoder<>(coder, schema));
    Coder<InferenceError<C>> errorCoder = new InferenceErrorCoder<>(coder);
    PCollection<InferenceError<C>> modelErrors =
        placed(
                expansion
                    .errors()
                    .apply(
                        "RestoreErrors", ParDo.of(new RestoreFn.Errors<>(packing, hasVersions))))
            .setCoder(errorCoder);
    PCollection<InferenceError<C>> packErrors = packed.get(errorsTag).setCoder(errorCoder);
    PCollection<InferenceError<C>> errors =
        PCollectionList.of(packErrors).and(modelErrors).apply("Errors", Flatten.pCollections());
    return new Predictions<>(outputTag, output, errorsTag, errors, hasVersions);
  }

  /**
   * Restored elements are windowed as the input is. Set directly, since that is no choice of the
   * user's.
   */
  private <R> PCollection<R> placed(PCollection<R> restored) {
    return restored
        .setWindowingStrategyInternal(input.getWindowingStrategy())
        .setIsBoundedInternal(input.isBounded());
  }
}
