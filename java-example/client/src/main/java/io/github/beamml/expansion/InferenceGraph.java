// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import io.github.beamml.expansion.v1.TensorBatchInput;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaCoder;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.GlobalWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TupleTag;

/**
 * The steps of one {@link RunInference}: Pack (Java) → Expand (Python) → Restore and RestoreErrors
 * (Java).
 */
final class InferenceGraph<T, C> {

  /**
   * Columns that errors have of their own: a feature of such a name cannot come back beside them.
   */
  static final Set<String> ERROR_COLUMNS =
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

  Predictions<C> expand(Expander expander, Optional<PCollection<String>> modelUris) {
    Packed<T, C> packed = new Packed<>(input, packing, limits, Models.idOf(config));
    Expander.Expansion expansion =
        expander.expand(
            config, packed.batches(), modelUris.map(InferenceGraph::inGlobalWindow));

    List<String> modelColumns = expansion.modelColumns();
    Schema schema = SchemaFields.schema(expansion.columns());
    PCollection<Prediction<C>> output =
        packed
            .restored(
                "Restore",
                expansion.output(),
                new RestoreFn.Predictions<>(packing, modelColumns, schema))
            .setCoder(new PredictionCoder<>(packing.carry.coder(), schema));
    PCollection<InferenceError<C>> errors =
        packed.restoredErrors(expansion.errors(), packing, modelColumns);
    return new Predictions<>(outputTag, output, errorsTag, errors, modelColumns);
  }

  /** What the other side can read, whatever the window function. */
  private static PCollection<String> inGlobalWindow(PCollection<String> uris) {
    return uris.getWindowingStrategy().getWindowFn() instanceof GlobalWindows
        ? uris
        : uris.apply("ModelUris", Window.into(new GlobalWindows()));
  }
}
