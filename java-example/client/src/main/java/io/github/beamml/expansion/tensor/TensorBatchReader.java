// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import com.google.protobuf.InvalidProtocolBufferException;
import io.github.beamml.expansion.v1.TensorBatchColumn;
import io.github.beamml.expansion.v1.TensorBatchHeader;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;

/**
 * Reads a TensorBatch, the columnar wire format that proto/beamml/expansion/v1/tensor.proto
 * describes. The bytes are viewed, not copied, and must not change.
 */
public final class TensorBatchReader {

  private final int rows;
  private final Map<String, ColumnReader> columns = new HashMap<>();

  /**
   * Opens a batch.
   *
   * @throws TensorBatchException if the bytes are no TensorBatch of a version that this client
   *     knows
   */
  public TensorBatchReader(byte[] batch) {
    if (batch.length < TensorBatchWriter.PRELUDE_BYTES
        || (int) LittleEndian.INT.get(batch, 0) != TensorBatchWriter.MAGIC) {
      throw new TensorBatchException("not a TensorBatch: it does not start with BMTB");
    }
    int version = (int) LittleEndian.INT.get(batch, 4);
    if (version != TensorBatchWriter.VERSION) {
      throw new TensorBatchException(
          "a TensorBatch of version "
              + version
              + "; this client reads version "
              + TensorBatchWriter.VERSION);
    }
    TensorBatchHeader header = header(batch);
    rows = Math.toIntExact(header.getRows());
    for (TensorBatchColumn column : header.getColumnsList()) {
      columns.put(column.getField().getName(), new ColumnReader(column, batch, rows));
    }
  }

  private static TensorBatchHeader header(byte[] batch) {
    int length = (int) LittleEndian.INT.get(batch, 8);
    if (length < 0 || length > batch.length - TensorBatchWriter.PRELUDE_BYTES) {
      throw new TensorBatchException(
          "a truncated TensorBatch: its header has " + length + " bytes");
    }
    try {
      return TensorBatchHeader.parseFrom(
          ByteBuffer.wrap(batch, TensorBatchWriter.PRELUDE_BYTES, length));
    } catch (InvalidProtocolBufferException e) {
      throw new TensorBatchException("a TensorBatch with a broken header", e);
    }
  }

  /** Number of rows. */
  public int rows() {
    return rows;
  }

  /**
   * A column.
   *
   * @throws TensorBatchException if there is none of this name
   */
  public ColumnReader column(String name) {
    ColumnReader column = columns.get(name);
    if (column == null) {
      throw new TensorBatchException(
          "the TensorBatch has no column \"" + name + "\"; it has " + columns.keySet());
    }
    return column;
  }
}
