// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.TensorBatchBuffer;
import io.github.beamml.expansion.v1.TensorBatchColumn;
import io.github.beamml.expansion.v1.TensorBatchHeader;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes TensorBatches, the columnar wire format that proto/beamml/expansion/v1/tensor.proto
 * describes.
 *
 * <p>Use: for each row {@link #beginRow()}, then for each column its puts and {@code endRow()},
 * then {@link #endRow()}; and {@link #finish()} whenever the batch is large enough. Not
 * thread-safe; one writer serves batch after batch.
 */
public final class TensorBatchWriter {

  static final int MAGIC = 'B' | 'M' << 8 | 'T' << 16 | 'B' << 24;
  static final int VERSION = 1;
  static final int PRELUDE_BYTES = 12;
  static final int ALIGNMENT = 64;

  private final ColumnWriter[] columns;
  private int rows;

  /** Creates a writer of batches with these columns. */
  public TensorBatchWriter(List<Field> fields) {
    columns = fields.stream().map(ColumnWriter::new).toArray(ColumnWriter[]::new);
  }

  /** The column at a position of the list that the writer was created with. */
  public ColumnWriter column(int index) {
    return columns[index];
  }

  /** Finished rows of the batch so far. */
  public int rows() {
    return rows;
  }

  /** Bytes of the columns so far, the open row included. */
  public long size() {
    long size = 0;
    for (ColumnWriter column : columns) {
      size += column.size();
    }
    return size;
  }

  /** Bytes of the open row. */
  public long sizeOfRow() {
    long size = 0;
    for (ColumnWriter column : columns) {
      size += column.sizeOfRow();
    }
    return size;
  }

  /** Opens a row. */
  public void beginRow() {
    for (ColumnWriter column : columns) {
      column.mark();
    }
  }

  /**
   * Ends the open row.
   *
   * @throws IllegalStateException if a column's row was not ended
   */
  public void endRow() {
    rows++;
    for (ColumnWriter column : columns) {
      if (column.rows() != rows) {
        throw new IllegalStateException(
            "row " + (rows - 1) + " of column " + column.field().getName() + " was not ended");
      }
    }
  }

  /** Takes the open row back. */
  public void rollback() {
    for (ColumnWriter column : columns) {
      column.rollback(rows);
    }
  }

  /** Forgets every row. */
  public void clear() {
    rows = 0;
    for (ColumnWriter column : columns) {
      column.clear();
    }
  }

  /** Returns the finished rows as one TensorBatch and starts the next one. No row may be open. */
  public byte[] finish() {
    // Where buffers start depends on the header's length, and the header's length on where they
    // start: its varints grow.
    int firstBuffer = ALIGNMENT;
    Layout layout = new Layout(firstBuffer);
    while (!layout.buffers.isEmpty() && PRELUDE_BYTES + layout.header.length > firstBuffer) {
      firstBuffer = align(PRELUDE_BYTES + layout.header.length);
      layout = new Layout(firstBuffer);
    }
    byte[] batch = new byte[Math.toIntExact(layout.end)];
    LittleEndian.INT.set(batch, 0, MAGIC);
    LittleEndian.INT.set(batch, 4, VERSION);
    LittleEndian.INT.set(batch, 8, layout.header.length);
    System.arraycopy(layout.header, 0, batch, PRELUDE_BYTES, layout.header.length);
    for (int i = 0; i < layout.buffers.size(); i++) {
      GrowableBytes buffer = layout.buffers.get(i);
      System.arraycopy(buffer.array(), 0, batch, layout.starts.get(i), buffer.size());
    }
    clear();
    return batch;
  }

  private static int align(long position) {
    return Math.toIntExact((position + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
  }

  /** A header, and where it says that the buffers are. */
  private final class Layout {
    final List<GrowableBytes> buffers = new ArrayList<>();
    final List<Integer> starts = new ArrayList<>();
    final byte[] header;
    long end;

    Layout(int firstBuffer) {
      end = firstBuffer;
      TensorBatchHeader.Builder builder = TensorBatchHeader.newBuilder().setRows(rows);
      for (ColumnWriter column : columns) {
        TensorBatchColumn.Builder part = builder.addColumnsBuilder().setField(column.field());
        if (column.values.size() > 0) {
          part.setValues(place(column.values));
        }
        if (column.offsets.size() > 0) {
          part.setOffsets(place(column.offsets));
        }
        if (column.shapes.size() > 0) {
          part.setShapes(place(column.shapes));
        }
        if (column.validity.size() > 0) {
          part.setValidity(place(column.validity));
        }
      }
      header = builder.build().toByteArray();
      if (buffers.isEmpty()) {
        end = PRELUDE_BYTES + header.length;
      }
    }

    private TensorBatchBuffer place(GrowableBytes buffer) {
      int start = align(end);
      buffers.add(buffer);
      starts.add(start);
      end = (long) start + buffer.size();
      return TensorBatchBuffer.newBuilder().setOffset(start).setLength(buffer.size()).build();
    }
  }
}
