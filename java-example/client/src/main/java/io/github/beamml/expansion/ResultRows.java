// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.SchemaFields;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaCoder;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Predictions and errors as flat rows, of elements that have a schema. */
final class ResultRows<T> {

  private final Schema elementSchema;
  private final SerializableFunction<T, Row> toRow;

  private final List<String> modelColumns;

  private ResultRows(SchemaCoder<T> coder, List<String> modelColumns) {
    this.elementSchema = coder.getSchema();
    this.toRow = coder.getToRowFunction();
    this.modelColumns = modelColumns;
  }

  static <T> ResultRows<T> of(Coder<T> coder, List<String> modelColumns) {
    if (!(coder instanceof SchemaCoder)) {
      throw new IllegalStateException(
          "rows need elements that have a Beam schema, but their coder is "
              + coder
              + "; use output() and errors(), or carry something that has one");
    }
    return new ResultRows<>((SchemaCoder<T>) coder, modelColumns);
  }

  PCollection<Row> outputs(
      String name, PCollection<Prediction<T>> predictions, Schema predictionSchema) {
    Schema.Builder builder = Schema.builder().addFields(elementSchema.getFields());
    for (Schema.Field field : predictionSchema.getFields()) {
      builder.addField(unlikeElement(field));
    }
    for (String column : modelColumns) {
      builder.addField(unlikeElement(Schema.Field.of(column, Schema.FieldType.STRING)));
    }
    Schema schema = SchemaFields.identified(builder.build());
    SerializableFunction<T, Row> elementToRow = toRow;
    int modelColumnCount = modelColumns.size();
    return predictions
        .apply(
            name,
            MapElements.into(TypeDescriptors.rows())
                .via(
                    prediction -> {
                      List<Object> values = new ArrayList<>(schema.getFieldCount());
                      values.addAll(elementToRow.apply(prediction.element()).getValues());
                      values.addAll(prediction.values().getValues());
                      values.addAll(
                          List.of(prediction.modelId(), prediction.modelVersion())
                              .subList(0, modelColumnCount));
                      return Row.withSchema(schema).attachValues(values);
                    }))
        .setRowSchema(schema);
  }

  private Schema.Field unlikeElement(Schema.Field field) {
    if (elementSchema.hasField(field.getName())) {
      throw new IllegalStateException(
          "the prediction column \""
              + field.getName()
              + "\" has the name of a field of the element"
              + "; give it another with output(source, name) or Hooks.rename");
    }
    return field;
  }

  PCollection<Row> errors(String name, PCollection<InferenceError<T>> errors) {
    Schema.Builder builder =
        Schema.builder()
            .addRowField("element", elementSchema)
            .addStringField("stage")
            .addStringField("error_type")
            .addStringField("message");
    modelColumns.forEach(builder::addStringField);
    Schema schema = SchemaFields.identified(builder.build());
    SerializableFunction<T, Row> elementToRow = toRow;
    int columnCount = schema.getFieldCount();
    return errors
        .apply(
            name,
            MapElements.into(TypeDescriptors.rows())
                .via(
                    error -> {
                      List<Object> values =
                          Arrays.asList(
                              elementToRow.apply(error.element()),
                              error.stage(),
                              error.errorType(),
                              error.message(),
                              error.modelId(),
                              error.modelVersion());
                      return Row.withSchema(schema).attachValues(values.subList(0, columnCount));
                    }))
        .setRowSchema(schema);
  }
}
