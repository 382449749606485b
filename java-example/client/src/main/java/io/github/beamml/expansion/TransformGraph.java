// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.MLTransformConfig;
import io.github.beamml.expansion.v1.TensorBatchInput;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaCoder;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;

/** The steps of one {@link MLTransform}: Pack (Java) → Expand (Python) → Restore (Java). */
final class TransformGraph<T> {

  private final PCollection<T> input;
  private final MLTransformConfig config;
  private final Schema schema;
  private final CarryRow<T> carry;
  private final Packing<T, T> packing;

  TransformGraph(PCollection<T> input, MLTransformConfig config, Map<String, long[]> shapes) {
    if (!(input.getCoder() instanceof SchemaCoder)) {
      throw new IllegalArgumentException(
          "MLTransform needs elements that have a Beam schema, but their coder is "
              + input.getCoder()
              + "; give them one, such as with @DefaultSchema, or map them to rows");
    }
    this.input = input;
    SchemaCoder<T> coder = (SchemaCoder<T>) input.getCoder();
    this.schema = coder.getSchema();
    List<Feature<? super T>> features = FieldFeature.all(schema, shapes);
    List<String> returned =
        features.stream()
            .map(feature -> feature.field().getName())
            .filter(name -> !InferenceGraph.ERROR_COLUMNS.contains(name))
            .collect(Collectors.toList());
    this.carry = new CarryRow<>(coder, returned);
    @SuppressWarnings("unchecked")
    Coder<BoundedWindow> windowCoder =
        (Coder<BoundedWindow>) input.getWindowingStrategy().getWindowFn().windowCoder();
    this.packing = new Packing<>(features, carry, coder.getToRowFunction(), windowCoder);
    this.config = complete(config);
  }

  private MLTransformConfig complete(MLTransformConfig config) {
    TensorBatchInput tensorBatch =
        TensorBatchInput.newBuilder()
            .addAllColumns(packing.fields())
            .addOpaqueColumns(packing.opaqueColumn)
            .addAllReturnColumns(carry.returnColumns())
            .build();
    return config.toBuilder()
        .setTensorBatch(tensorBatch)
        .setErrorHandling(
            config.getErrorHandling().toBuilder().setOutput(ServiceExpander.ERRORS_TAG))
        .build();
  }

  Transformed<T> expand(Expander expander) {
    BatchLimits limits =
        new BatchLimits(BatchLimits.DEFAULT_BYTES, BatchLimits.DEFAULT_ELEMENT_BYTES);
    Packed<T, T> packed = new Packed<>(input, packing, limits, "");
    Expander.Expansion expansion = expander.expand(config, packed.batches());
    Schema transformed = transformed(expansion);
    Set<String> results =
        expansion.columns().stream().map(Field::getName).collect(Collectors.toSet());
    PCollection<Row> output =
        packed
            .restored(
                "Restore",
                expansion.output(),
                new RestoreRowsFn<>(packing, carry, transformed, results))
            .setRowSchema(transformed);
    return new Transformed<>(output, packed.restoredErrors(expansion.errors(), packing, List.of()));
  }

  /** The input's fields, those that are transformed in their places, then the added ones. */
  private Schema transformed(Expander.Expansion expansion) {
    Map<String, Schema.Field> fields = new LinkedHashMap<>();
    for (Schema.Field field : schema.getFields()) {
      fields.put(field.getName(), field);
    }
    expansion.dropped().forEach(fields::remove);
    for (Field column : expansion.columns()) {
      String name = column.getName();
      if (schema.hasField(name)
          && SchemaFields.column(name, schema.getField(name).getType()).isEmpty()) {
        throw new IllegalArgumentException(
            "the result \""
                + name
                + "\" has the name of a field of the input that is no column; give it another with"
                + " outputs or Hooks.rename");
      }
      fields.put(name, Schema.Field.of(name, SchemaFields.fieldType(column)));
    }
    return SchemaFields.identified(Schema.of(fields.values().toArray(new Schema.Field[0])));
  }
}
