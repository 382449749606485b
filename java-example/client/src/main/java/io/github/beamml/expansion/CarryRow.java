// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.ColumnReader;
import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.tensor.TensorBatchReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaCoder;
import org.apache.beam.sdk.values.Row;

/**
 * Carries elements that have a schema without sending a feature twice: fields that are features
 * come back as columns, and only the other fields are encoded.
 */
final class CarryRow<T> extends Carry<T, T> {

  private static final long serialVersionUID = 1L;

  /** Nulls do not survive in columns, so an element with a null feature travels whole. */
  private static final int WHOLE = 1;

  private static final int REST = 0;

  private final SchemaCoder<T> coder;
  private final Schema schema;
  private final List<String> returned;
  private final int[] featureIndexes;
  private final int[] restIndexes;
  private final RowCoder restCoder;

  /** {@code returned} are the fields that come back as columns of their own name. */
  CarryRow(SchemaCoder<T> coder, List<String> returned) {
    this.coder = coder;
    this.schema = coder.getSchema();
    this.returned = List.copyOf(returned);
    this.featureIndexes = returned.stream().mapToInt(schema::indexOf).toArray();
    Schema.Builder rest = Schema.builder();
    List<Integer> indexes = new ArrayList<>();
    for (int index = 0; index < schema.getFieldCount(); index++) {
      if (!returned.contains(schema.getField(index).getName())) {
        indexes.add(index);
        rest.addField(schema.getField(index));
      }
    }
    this.restIndexes = indexes.stream().mapToInt(Integer::intValue).toArray();
    this.restCoder = RowCoder.of(SchemaFields.identified(rest.build()));
  }

  /**
   * Carries whole elements, the best way: those with a schema by their fields.
   *
   * @param featureFields the fields of the schema that come back as feature columns
   */
  static <T> Carry<T, T> choose(Coder<T> coder, List<String> featureFields) {
    return coder instanceof SchemaCoder && !featureFields.isEmpty()
        ? new CarryRow<>((SchemaCoder<T>) coder, featureFields)
        : Carry.function(element -> element, coder);
  }

  @Override
  Coder<T> coder() {
    return coder;
  }

  @Override
  List<String> returnColumns() {
    return returned;
  }

  @Override
  T of(T element) {
    return element;
  }

  @Override
  void write(T element, Row row, boolean hasNulls, OutputStream out) throws IOException {
    if (hasNulls) {
      out.write(WHOLE);
      coder.encode(element, out);
      return;
    }
    out.write(REST);
    if (restIndexes.length > 0) {
      restCoder.encode(rest(row), out);
    }
  }

  @Override
  Reader<T> reader(TensorBatchReader batch) {
    ColumnReader[] columns = returned.stream().map(batch::column).toArray(ColumnReader[]::new);
    return (row, in) -> read(columns, row, in);
  }

  /** The fields that do not come back as columns. */
  Schema restSchema() {
    return restCoder.getSchema();
  }

  /** The schema of the elements. */
  Schema schema() {
    return schema;
  }

  /** Reads the fields that do not come back as columns, or all fields of an element with a null. */
  Reader<Row> restReader() {
    return (row, in) -> in.read() == WHOLE ? toRow(coder.decode(in)) : readRest(in);
  }

  private Row toRow(T element) {
    return coder.getToRowFunction().apply(element);
  }

  private Row rest(Row row) {
    Object[] values = new Object[restIndexes.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = row.getValue(restIndexes[i]);
    }
    return Row.withSchema(restCoder.getSchema()).attachValues(Arrays.asList(values));
  }

  private Row readRest(InputStream in) throws IOException {
    return restIndexes.length > 0 ? restCoder.decode(in) : Row.nullRow(restCoder.getSchema());
  }

  private T read(ColumnReader[] columns, int row, InputStream in) throws IOException {
    if (in.read() == WHOLE) {
      return coder.decode(in);
    }
    Object[] values = new Object[schema.getFieldCount()];
    for (int i = 0; i < columns.length; i++) {
      values[featureIndexes[i]] = columns[i].value(row);
    }
    Row rest = readRest(in);
    for (int i = 0; i < restIndexes.length; i++) {
      values[restIndexes[i]] = rest.getValue(i);
    }
    return coder
        .getFromRowFunction()
        .apply(Row.withSchema(schema).attachValues(Arrays.asList(values)));
  }
}
