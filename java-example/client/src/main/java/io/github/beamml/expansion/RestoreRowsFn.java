// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.ColumnReader;
import io.github.beamml.expansion.tensor.TensorBatchReader;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.values.Row;

/** Makes rows of columns that came back, and of what elements have besides. */
final class RestoreRowsFn<T> extends RestoreFn<Row, Row> {

  private static final long serialVersionUID = 1L;

  private final CarryRow<T> carry;
  private final Schema schema;
  private final Set<String> results;

  /**
   * {@code schema} is that of the rows, {@code results} the columns that are not as they came in;
   * the others came back or are carried.
   */
  RestoreRowsFn(Packing<T, T> packing, CarryRow<T> carry, Schema schema, Set<String> results) {
    super(packing);
    this.carry = carry;
    this.schema = schema;
    this.results = new HashSet<>(results);
  }

  @Override
  Carry.Reader<Row> carried(TensorBatchReader batch) {
    return carry.restReader();
  }

  @Override
  RowFunction<Row, Row> rows(TensorBatchReader batch) {
    int[] restIndexes = indexes(carry.restSchema());
    int[] wholeIndexes = indexes(carry.schema());
    int count = schema.getFieldCount();
    ColumnReader[] columns = new ColumnReader[count];
    for (int i = 0; i < count; i++) {
      if (restIndexes[i] < 0) {
        columns[i] = batch.column(schema.getField(i).getName());
      }
    }
    return (carried, row) -> {
      boolean whole = carried.getFieldCount() == carry.schema().getFieldCount();
      int[] indexes = whole ? wholeIndexes : restIndexes;
      Object[] values = new Object[count];
      for (int i = 0; i < count; i++) {
        values[i] = indexes[i] < 0 ? columns[i].value(row) : carried.getValue(indexes[i]);
      }
      return Row.withSchema(schema).attachValues(Arrays.asList(values));
    };
  }

  /** Where in a carried row the fields are that are as they came in; -1 for others. */
  private int[] indexes(Schema carried) {
    return schema.getFieldNames().stream()
        .mapToInt(
            name ->
                carried.hasField(name) && !results.contains(name) ? carried.indexOf(name) : -1)
        .toArray();
  }
}
