// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.TensorBatchBuffer;
import io.github.beamml.expansion.v1.TensorBatchColumn;
import java.io.ByteArrayInputStream;
import java.util.ArrayList;
import java.util.List;

/** One column of a {@link TensorBatchReader}. Not thread-safe. */
public final class ColumnReader {

  private final Field field;
  private final Elements elements;
  private final byte[] batch;
  private final int rank;
  private final int offsets;
  private final int validity;

  /** For a ragged column: where its shapes are, and where each row's elements start. */
  private final int shapes;

  private final int[] rowStarts;
  private final int[] fixedShape;
  private final int fixedElements;

  ColumnReader(TensorBatchColumn column, byte[] batch, int rows) {
    this.field = column.getField();
    this.batch = batch;
    this.rank = field.getShapeCount();
    Datatype datatype = Datatype.named(field.getDatatype());
    boolean ragged = field.getShapeList().stream().anyMatch(size -> size < 0);
    this.validity = column.hasValidity() ? place(column.getValidity(), rows) : -1;
    this.fixedShape = new int[rank];
    int product = 1;
    for (int axis = 0; axis < rank; axis++) {
      fixedShape[axis] = Math.toIntExact(field.getShape(axis));
      product = ragged ? product : Math.multiplyExact(product, fixedShape[axis]);
    }
    this.fixedElements = product;
    long count;
    if (ragged) {
      this.shapes = place(column.getShapes(), 4L * rows * rank);
      this.rowStarts = rowStarts(rows);
      count = rowStarts[rows];
    } else {
      this.shapes = -1;
      this.rowStarts = null;
      count = (long) rows * fixedElements;
    }
    int start;
    if (datatype.variableLength()) {
      this.offsets = place(column.getOffsets(), 4 * (count + 1));
      start = place(column.getValues(), 0);
      checkOffsets((int) count, column.getValues().getLength());
    } else {
      this.offsets = -1;
      start = place(column.getValues(), count * datatype.bytes());
    }
    this.elements = new Elements(datatype, batch, start, offsets);
  }

  /** What the column is called and holds. */
  public Field field() {
    return field;
  }

  /** Whether a row has no value. */
  public boolean isNull(int row) {
    return validity >= 0 && batch[validity + row] == 0;
  }

  /**
   * The value of a row as a Beam row holds it: a scalar as its boxed type, {@code String} or {@code
   * byte[]}; a tensor as nested lists; null if there is none.
   */
  public Object value(int row) {
    if (isNull(row)) {
      return null;
    }
    if (rank == 0) {
      return elements.scalar(row);
    }
    if (rowStarts == null) {
      return nested(row * fixedElements, fixedShape, 0, fixedElements);
    }
    int[] shape = new int[rank];
    for (int axis = 0; axis < rank; axis++) {
      shape[axis] = (int) LittleEndian.INT.get(batch, shapes + 4 * (row * rank + axis));
    }
    return nested(rowStarts[row], shape, 0, rowStarts[row + 1] - rowStarts[row]);
  }

  /** The text of a row of a scalar STRING column. A run of equal texts gives one String. */
  public String string(int row) {
    return elements.string(row);
  }

  /** The bytes of a row of a scalar BYTES column, as a stream over the batch. */
  public ByteArrayInputStream stream(int row) {
    int start = elements.start(row);
    return new ByteArrayInputStream(batch, start, elements.end(row) - start);
  }

  private List<?> nested(int first, int[] shape, int axis, int count) {
    if (axis == shape.length - 1) {
      return elements.list(first, count);
    }
    List<Object> lists = new ArrayList<>(shape[axis]);
    for (int i = 0; i < shape[axis]; i++) {
      int inner = count / shape[axis];
      lists.add(nested(first + i * inner, shape, axis + 1, inner));
    }
    return lists;
  }

  private int[] rowStarts(int rows) {
    int[] starts = new int[rows + 1];
    for (int row = 0; row < rows; row++) {
      int product = 1;
      for (int axis = 0; axis < rank; axis++) {
        int size = (int) LittleEndian.INT.get(batch, shapes + 4 * (row * rank + axis));
        if (size < 0) {
          throw broken("a negative size");
        }
        product = Math.multiplyExact(product, size);
      }
      starts[row + 1] = Math.addExact(starts[row], product);
    }
    return starts;
  }

  private void checkOffsets(int count, long length) {
    int previous = 0;
    for (int i = 0; i <= count; i++) {
      int next = (int) LittleEndian.INT.get(batch, offsets + 4 * i);
      if (next < previous || next > length) {
        throw broken("offsets that do not ascend within its values");
      }
      previous = next;
    }
  }

  /**
   * Where a buffer starts, once it is known to have the bytes it needs and to lie within the batch.
   */
  private int place(TensorBatchBuffer buffer, long needed) {
    long start = buffer.getOffset();
    long length = buffer.getLength();
    if (start < 0 || length < needed || start > batch.length - length) {
      throw broken(
          "a buffer of "
              + length
              + " bytes at "
              + start
              + " in a TensorBatch of "
              + batch.length
              + " bytes; expected "
              + needed);
    }
    return (int) start;
  }

  private TensorBatchException broken(String what) {
    return new TensorBatchException("column \"" + field.getName() + "\" has " + what);
  }
}
