// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.ColumnWriter;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.tensor.RowValues;
import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.v1.Field;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.values.Row;

/** A feature that is a field of the elements' Beam schema. */
final class FieldFeature implements Feature.Source<Object> {

  private static final long serialVersionUID = 1L;

  private final int index;

  private FieldFeature(int index) {
    this.index = index;
  }

  /**
   * The feature of a field.
   *
   * @param shape the shape of one row where it is known; empty means what the schema says: unknown
   *     dimensions for arrays
   * @throws IllegalArgumentException if there is no such field, or its type is none that a tensor
   *     holds, such as arrays of STRING or BYTES of unknown size
   */
  static Feature<Object> of(Schema schema, String name, long... shape) {
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
    checkKnown(column);
    return new Feature<>(column, new FieldFeature(schema.indexOf(name)));
  }

  /** Only numbers and booleans have dimensions that differ from row to row. */
  private static void checkKnown(Field column) {
    String datatype = column.getDatatype();
    boolean texts =
        datatype.equals(Datatype.STRING.name()) || datatype.equals(Datatype.BYTES.name());
    if (texts && column.getShapeList().contains(-1L)) {
      throw new IllegalArgumentException(
          "feature \""
              + column.getName()
              + "\" is an array of "
              + datatype
              + " of unknown size, which no tensor holds; if all rows have one size, give it with"
              + " feature(\""
              + column.getName()
              + "\", size)");
    }
  }

  @Override
  public void write(Object element, Row row, ColumnWriter column) {
    RowValues.write(column, row.getValue(index));
  }
}
