// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.testing;

import io.github.beamml.expansion.tensor.RowValues;
import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.tensor.TensorBatchReader;
import io.github.beamml.expansion.tensor.TensorBatchWriter;
import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.TensorBatchInput;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TupleTag;

/**
 * Does to TensorBatches what the service's steps do, row by row and with a function for a model.
 */
final class FakeFn extends DoFn<byte[], byte[]> {

  private static final long serialVersionUID = 1L;

  private final TensorBatchInput input;
  private final List<Field> predictions;
  private final SerializableFunction<Row, Row> model;
  private final Map<String, String> modelColumns;
  private final NewestUri newestUri;
  private final TupleTag<byte[]> output;
  private final TupleTag<byte[]> errors;

  FakeFn(
      TensorBatchInput input,
      List<Field> predictions,
      SerializableFunction<Row, Row> model,
      Map<String, String> modelColumns,
      NewestUri newestUri,
      TupleTag<byte[]> output,
      TupleTag<byte[]> errors) {
    this.input = input;
    this.predictions = predictions;
    this.model = model;
    this.modelColumns = modelColumns;
    this.newestUri = newestUri;
    this.output = output;
    this.errors = errors;
  }

  /** Infers one batch. */
  @ProcessElement
  public void process(ProcessContext context, MultiOutputReceiver out) {
    TensorBatchReader batch = new TensorBatchReader(context.element());
    Map<String, String> said = said(context);
    List<Field> kept = keptColumns();
    TensorBatchWriter inferred =
        new TensorBatchWriter(concat(kept, predictions, texts(modelColumns.keySet())));
    TensorBatchWriter failed =
        new TensorBatchWriter(
            concat(
                kept,
                texts(List.of("stage", "error_type", "message")),
                texts(modelColumns.keySet())));
    for (int row = 0; row < batch.rows(); row++) {
      inferred.beginRow();
      String stage = "decode";
      try {
        Row features = features(batch, row);
        stage = "inference";
        Row prediction = model.apply(features);
        write(inferred, batch, row, kept, prediction.getValues(), said.values());
      } catch (RuntimeException e) {
        inferred.rollback();
        write(
            failed,
            batch,
            row,
            kept,
            List.of(stage, e.getClass().getSimpleName(), String.valueOf(e.getMessage())),
            (stage.equals("decode") ? modelColumns : said).values());
      }
    }
    if (inferred.rows() > 0) {
      out.get(output).output(inferred.finish());
    }
    if (failed.rows() > 0) {
      out.get(errors).output(failed.finish());
    }
  }

  /** What rows say of the models that they have reached: the first is at the newest uri, if any. */
  private Map<String, String> said(ProcessContext context) {
    Map<String, String> said = new LinkedHashMap<>(modelColumns);
    if (newestUri != null) {
      said.merge("model_id", newestUri.get(context), (others, first) -> first + others);
    }
    return said;
  }

  private Row features(TensorBatchReader batch, int row) {
    List<Object> values = new ArrayList<>();
    for (Field field : input.getColumnsList()) {
      Object value = batch.column(field.getName()).value(row);
      if (value == null) {
        throw new IllegalArgumentException("feature \"" + field.getName() + "\" is null");
      }
      values.add(value);
    }
    return Row.withSchema(SchemaFields.schema(input.getColumnsList())).attachValues(values);
  }

  private void write(
      TensorBatchWriter writer,
      TensorBatchReader batch,
      int row,
      List<Field> kept,
      List<Object> values,
      Collection<String> said) {
    writer.beginRow();
    int column = 0;
    for (Field field : kept) {
      RowValues.write(writer.column(column++), batch.column(field.getName()).value(row));
    }
    for (Object value : values) {
      RowValues.write(writer.column(column++), value);
    }
    for (String value : said) {
      RowValues.write(writer.column(column++), value);
    }
    writer.endRow();
  }

  private List<Field> keptColumns() {
    List<Field> kept = new ArrayList<>();
    for (String name : input.getOpaqueColumnsList()) {
      kept.add(Field.newBuilder().setName(name).setDatatype("BYTES").build());
    }
    for (Field field : input.getColumnsList()) {
      if (input.getReturnColumnsList().contains(field.getName())) {
        kept.add(field);
      }
    }
    return kept;
  }

  private static List<Field> texts(Collection<String> names) {
    List<Field> fields = new ArrayList<>();
    for (String name : names) {
      fields.add(Field.newBuilder().setName(name).setDatatype("STRING").build());
    }
    return fields;
  }

  @SafeVarargs
  private static List<Field> concat(List<Field>... lists) {
    List<Field> all = new ArrayList<>();
    for (List<Field> list : lists) {
      all.addAll(list);
    }
    return all;
  }
}
