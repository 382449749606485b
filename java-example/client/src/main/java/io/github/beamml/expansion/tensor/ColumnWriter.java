// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import io.github.beamml.expansion.v1.Field;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * One column of a {@link TensorBatchWriter}. For each row its elements are put in row-major order,
 * and then the row is ended. Puts take the Java type that has the datatype's width: {@code short}
 * for INT16, UINT16 and FP16, and so on.
 *
 * <p>A row that turns out wrong is taken back by {@link TensorBatchWriter#rollback()}.
 */
public final class ColumnWriter {

  private final Field field;
  private final Datatype datatype;
  private final RowShape shape;

  final GrowableBytes values = new GrowableBytes();
  final GrowableBytes offsets = new GrowableBytes();
  final GrowableBytes shapes = new GrowableBytes();
  final GrowableBytes validity = new GrowableBytes();

  private int rows;
  private int elements;
  private int markedElements;
  private int markedValues;
  private boolean hasNulls;
  private boolean lastIsNull;

  ColumnWriter(Field field) {
    this.field = field;
    this.datatype = Datatype.named(field.getDatatype());
    this.shape = new RowShape(field);
    clear();
  }

  /** What the column is called and holds. */
  public Field field() {
    return field;
  }

  /** The datatype of its elements. */
  public Datatype datatype() {
    return datatype;
  }

  /** Puts a BOOL. */
  public void put(boolean value) {
    values.write(value ? 1 : 0);
  }

  /** Puts an INT8 or UINT8. */
  public void put(byte value) {
    values.write(value);
  }

  /** Puts an INT16, UINT16 or the bits of an FP16. */
  public void put(short value) {
    values.putShort(value);
  }

  /** Puts an INT32 or UINT32. */
  public void put(int value) {
    values.putInt(value);
  }

  /** Puts an INT64 or UINT64. */
  public void put(long value) {
    values.putLong(value);
  }

  /** Puts an FP32. */
  public void put(float value) {
    values.putFloat(value);
  }

  /** Puts an FP64. */
  public void put(double value) {
    values.putDouble(value);
  }

  /** Puts a STRING. */
  public void put(String value) {
    putBytes(value.getBytes(StandardCharsets.UTF_8));
  }

  /** Puts a BYTES. */
  public void putBytes(byte[] value) {
    values.write(value, 0, value.length);
    endElement();
  }

  /** A stream to write one BYTES element to; {@link #endElement()} ends it. */
  public OutputStream stream() {
    return values;
  }

  /** Ends the element that was written to {@link #stream()}. */
  public void endElement() {
    elements++;
    offsets.putInt(values.size());
  }

  /**
   * Ends the element that was written to {@link #stream()}, and puts these bytes before it: for
   * what is known only after it.
   */
  public void endElement(byte[] prefix) {
    int start = (int) LittleEndian.INT.get(offsets.array(), offsets.size() - 4);
    values.insert(start, prefix);
    endElement();
  }

  /** Puts BOOLs. */
  public void putAll(boolean[] all) {
    for (boolean value : all) {
      put(value);
    }
  }

  /** Puts INT8s or UINT8s. */
  public void putAll(byte[] all) {
    values.write(all, 0, all.length);
  }

  /** Puts INT16s, UINT16s or the bits of FP16s. */
  public void putAll(short[] all) {
    values.view(length(all.length)).asShortBuffer().put(all);
  }

  /** Puts INT32s or UINT32s. */
  public void putAll(int[] all) {
    values.view(length(all.length)).asIntBuffer().put(all);
  }

  /** Puts INT64s or UINT64s. */
  public void putAll(long[] all) {
    values.view(length(all.length)).asLongBuffer().put(all);
  }

  /** Puts FP32s. */
  public void putAll(float[] all) {
    values.view(length(all.length)).asFloatBuffer().put(all);
  }

  /** Puts FP64s. */
  public void putAll(double[] all) {
    values.view(length(all.length)).asDoubleBuffer().put(all);
  }

  private int length(int count) {
    return Math.multiplyExact(count, datatype.bytes());
  }

  /**
   * Ends a row. Of a column with one unknown dimension, its size follows from the number of
   * elements; a column with more needs {@link #endRow(int[])}.
   *
   * @throws TensorBatchException if the number of elements does not fit the shape
   */
  public void endRow() {
    int count = elementsInRow();
    if (shape.ragged()) {
      int[] rowShape = shape.ofElements(count);
      if (rowShape == null) {
        throw wrongCount(count);
      }
      putShape(rowShape);
    } else if (count != shape.elements()) {
      throw wrongCount(count);
    }
    closeRow(1);
  }

  /**
   * Ends a row.
   *
   * @param rowShape the shape of this row
   * @throws TensorBatchException if it does not fit the column's shape or the number of elements
   */
  public void endRow(int[] rowShape) {
    if (!shape.admits(rowShape)) {
      throw new TensorBatchException(
          name() + " has shape " + Arrays.toString(rowShape) + "; expected " + shape);
    }
    long product = 1;
    for (int size : rowShape) {
      product *= size;
    }
    if (product != elementsInRow()) {
      throw wrongCount(elementsInRow());
    }
    if (shape.ragged()) {
      putShape(rowShape);
    }
    closeRow(1);
  }

  private void putShape(int[] rowShape) {
    for (int size : rowShape) {
      shapes.putInt(size);
    }
  }

  /** Ends a row that has no value. Nothing may have been put for it. */
  public void endNullRow() {
    if (!hasNulls) {
      hasNulls = true;
      for (int row = 0; row < rows; row++) {
        validity.write(1);
      }
    }
    if (shape.ragged()) {
      shapes.putZeros(4 * shape.rank());
    } else if (datatype.variableLength()) {
      for (int element = 0; element < shape.elements(); element++) {
        endElement();
      }
    } else {
      values.putZeros(length(shape.elements()));
    }
    closeRow(0);
  }

  private void closeRow(int valid) {
    lastIsNull = valid == 0;
    if (hasNulls) {
      validity.write(valid);
    }
    rows++;
  }

  /** Takes back what was put for the open row of this column, which can then be put anew. */
  void restartRow() {
    rollback(rows);
  }

  /** Whether the row that was ended last has no value. */
  public boolean lastIsNull() {
    return lastIsNull;
  }

  /** The shape of a row, with 0 for unknown dimensions. */
  int[] knownShape() {
    return shape.known();
  }

  /** Starts over where {@link #rollback} will return to. */
  void mark() {
    markedElements = elements;
    markedValues = values.size();
  }

  /** Takes back what was put, and the row that was ended, since {@link #mark}. */
  void rollback(int rows) {
    this.rows = rows;
    elements = markedElements;
    values.truncate(markedValues);
    if (datatype.variableLength()) {
      offsets.truncate(4 * (elements + 1));
    }
    if (shape.ragged()) {
      shapes.truncate(4 * shape.rank() * rows);
    }
    if (hasNulls) {
      validity.truncate(rows);
    }
  }

  /** Forgets every row. */
  void clear() {
    rows = 0;
    elements = 0;
    hasNulls = false;
    values.truncate(0);
    offsets.truncate(0);
    shapes.truncate(0);
    validity.truncate(0);
    if (datatype.variableLength()) {
      offsets.putInt(0);
    }
    mark();
  }

  int rows() {
    return rows;
  }

  long size() {
    return (long) values.size() + offsets.size() + shapes.size() + validity.size();
  }

  /** Bytes of the elements put since the last {@link #mark}. */
  long sizeOfRow() {
    return (long) values.size() - markedValues + 4L * (elements - markedElements);
  }

  private int elementsInRow() {
    return datatype.variableLength()
        ? elements - markedElements
        : (values.size() - markedValues) / datatype.bytes();
  }

  private TensorBatchException wrongCount(int count) {
    return new TensorBatchException(
        name()
            + " has "
            + count
            + " elements, which its shape "
            + field.getShapeList()
            + " does not hold");
  }

  private String name() {
    return "feature \"" + field.getName() + "\"";
  }
}
