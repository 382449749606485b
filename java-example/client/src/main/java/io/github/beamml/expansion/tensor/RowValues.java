// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

/** Writes values as Beam rows hold them, boxed and in nested arrays. */
public final class RowValues {

  private RowValues() {}

  /**
   * Writes one row of a column.
   *
   * @param value a boxed scalar, {@code String} or {@code byte[]}; nested iterables of them for a
   *     tensor; null for no value
   * @throws TensorBatchException if it does not fit the column's shape, or is ragged within itself
   */
  public static void write(ColumnWriter column, Object value) {
    int rank = column.field().getShapeCount();
    if (value == null) {
      column.endNullRow();
    } else if (rank == 0) {
      put(column, value);
      column.endRow();
    } else {
      // Below an empty array there is nothing to measure: what the column knows stays.
      int[] shape = column.knownShape();
      putAll(column, (Iterable<?>) value, 0, shape, true);
      column.endRow(shape);
    }
  }

  /**
   * Writes one row of a column, and no value in place of one that is ragged within itself or has
   * nulls: for a column that perhaps no one reads.
   *
   * @param value as in {@link #write}
   */
  public static void writeOrNull(ColumnWriter column, Object value) {
    try {
      write(column, value);
    } catch (TensorBatchException e) {
      column.restartRow();
      column.endNullRow();
    }
  }

  /**
   * Puts nested arrays and notes their shape: the first of each depth sets it, and the others must
   * agree.
   */
  private static void putAll(
      ColumnWriter column, Iterable<?> values, int axis, int[] shape, boolean first) {
    int size = 0;
    for (Object value : values) {
      if (value == null) {
        throw new TensorBatchException(
            "feature \"" + column.field().getName() + "\" has a null among its elements");
      }
      if (axis == shape.length - 1) {
        put(column, value);
      } else {
        putAll(column, (Iterable<?>) value, axis + 1, shape, first && size == 0);
      }
      size++;
    }
    if (first) {
      shape[axis] = size;
    } else if (shape[axis] != size) {
      throw new TensorBatchException(
          "feature \""
              + column.field().getName()
              + "\" has arrays of "
              + shape[axis]
              + " and "
              + size
              + " elements within one row");
    }
  }

  private static void put(ColumnWriter column, Object value) {
    switch (column.datatype()) {
      case BOOL:
        column.put((boolean) value);
        break;
      case UINT8:
      case INT8:
        column.put(((Number) value).byteValue());
        break;
      case UINT16:
      case INT16:
        column.put(((Number) value).shortValue());
        break;
      case UINT32:
      case INT32:
        column.put(((Number) value).intValue());
        break;
      case UINT64:
      case INT64:
        column.put(((Number) value).longValue());
        break;
      case FP32:
        column.put((float) value);
        break;
      case FP64:
        column.put((double) value);
        break;
      case STRING:
        column.put((String) value);
        break;
      case BYTES:
        column.putBytes((byte[]) value);
        break;
      default:
        throw new TensorBatchException("Java has no " + column.datatype() + " to send");
    }
  }
}
