// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.ColumnWriter;
import io.github.beamml.expansion.tensor.RowValues;
import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.v1.Field;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.values.Row;

/** A feature that is a field of the elements' Beam schema. */
final class FieldFeature implements Feature.Source<Object> {

  private static final long serialVersionUID = 1L;

  private final int index;

  /** Whether a value that is no tensor is sent as a null, which fails only where it is read. */
  private final boolean lenient;

  private FieldFeature(int index, boolean lenient) {
    this.index = index;
    this.lenient = lenient;
  }

  /**
   * The feature of a field.
   *
   * @param shape the shape of one row where it is known; empty means what the schema says: unknown
   *     dimensions for arrays
   * @throws IllegalArgumentException if there is no such field, or its type is none that a tensor
   *     holds
   */
  static Feature<Object> of(Schema schema, String name, long... shape) {
    return of(schema, name, false, shape);
  }

  private static Feature<Object> of(Schema schema, String name, boolean lenient, long... shape) {
    if (!schema.hasField(name)) {
      throw new IllegalArgumentException(
          "feature \""
              + name
              + "\" is no field of the input; its fields are "
              + schema.getFieldNames());
    }
    Schema.FieldType type = schema.getField(name).getType();
    Field column =
        SchemaFields.column(name, type)
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        "feature \""
                            + name
                            + "\" has type "
                            + type.getTypeName()
                            + ", which no tensor holds; expected a number, boolean, "
                            + "string, bytes or arrays of them, or give it with Feature.of…"));
    if (shape.length > 0) {
      if (shape.length != column.getShapeCount()) {
        throw new IllegalArgumentException(
            "feature \""
                + name
                + "\" is given "
                + shape.length
                + " dimensions; its type has "
                + column.getShapeCount());
      }
      Field.Builder known = column.toBuilder().clearShape();
      for (long size : shape) {
        known.addShape(size);
      }
      column = known.build();
    }
    return new Feature<>(column, new FieldFeature(schema.indexOf(name), lenient));
  }

  /**
   * Features of all fields that can be one. A row whose value is no tensor, such as arrays of
   * unequal sizes, has a null there, unless its shape is known: perhaps no one reads it.
   *
   * @param shapes of one row, by field, where they are known
   * @throws IllegalArgumentException if there is no such field, or one of the shapes is of another
   */
  static <T> List<Feature<? super T>> all(Schema schema, Map<String, long[]> shapes) {
    Map<String, Feature<? super T>> features = new LinkedHashMap<>();
    for (Schema.Field field : schema.getFields()) {
      String name = field.getName();
      if (SchemaFields.column(name, field.getType()).isPresent()) {
        long[] shape = shapes.getOrDefault(name, new long[0]);
        features.put(name, of(schema, name, shape.length == 0, shape));
      }
    }
    if (features.isEmpty()) {
      throw new IllegalArgumentException(
          "no field of the input is a number, text or array of them; its fields are "
              + schema.getFieldNames());
    }
    for (String name : shapes.keySet()) {
      if (!features.containsKey(name)) {
        throw new IllegalArgumentException(
            "shape of \"" + name + "\": no such column; the input has " + features.keySet());
      }
    }
    return new ArrayList<>(features.values());
  }

  @Override
  public void write(Object element, Row row, ColumnWriter column) {
    Object value = row.getValue(index);
    if (lenient) {
      RowValues.writeOrNull(column, value);
    } else {
      RowValues.write(column, value);
    }
  }
}
