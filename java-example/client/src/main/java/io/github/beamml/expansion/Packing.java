// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.ColumnWriter;
import io.github.beamml.expansion.tensor.TensorBatchWriter;
import io.github.beamml.expansion.v1.Field;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.values.Row;

/**
 * What a TensorBatch of these elements holds, in columns: the features, then one BYTES column with
 * the element's {@link Placement} and, up to the end of the value, what is carried: its coder may
 * read to the end of its stream. Packing and restoring share it.
 */
final class Packing<T, C> implements Serializable {

  private static final long serialVersionUID = 1L;

  final List<Feature<? super T>> features;
  final Carry<T, C> carry;

  /** The element as a row, or null where no one reads it as one. */
  final SerializableFunction<T, Row> toRow;

  final Coder<BoundedWindow> windowCoder;
  final String opaqueColumn;

  Packing(
      List<Feature<? super T>> features,
      Carry<T, C> carry,
      SerializableFunction<T, Row> toRow,
      Coder<BoundedWindow> windowCoder) {
    this.features = new ArrayList<>(features);
    this.carry = carry;
    this.toRow = toRow;
    this.windowCoder = windowCoder;
    this.opaqueColumn = freeName("element");
  }

  /** A name that no feature has. */
  private String freeName(String name) {
    for (Feature<? super T> feature : features) {
      if (feature.field().getName().equals(name)) {
        return freeName("_" + name);
      }
    }
    return name;
  }

  /** The feature columns. */
  List<Field> fields() {
    List<Field> fields = new ArrayList<>();
    for (Feature<? super T> feature : features) {
      fields.add(feature.field());
    }
    return fields;
  }

  /** Returns a writer of batches, to be used by one thread. */
  Rows rows() {
    return new Rows();
  }

  /**
   * The batch under construction. A row is opened by {@link #putFeatures} and {@link #putCarried},
   * and closed by {@link #close} once all the windows of its element are known, or taken back by
   * {@link #rollback}.
   */
  final class Rows {
    private final TensorBatchWriter writer;
    private final ColumnWriter opaque;
    private final Placement.Writer placements = new Placement.Writer(windowCoder);
    private Row row;
    private boolean hasNulls;

    private Rows() {
      List<Field> fields = fields();
      fields.add(Field.newBuilder().setName(opaqueColumn).setDatatype("BYTES").build());
      writer = new TensorBatchWriter(fields);
      opaque = writer.column(fields.size() - 1);
    }

    void putFeatures(T element) {
      writer.beginRow();
      row = toRow == null ? null : toRow.apply(element);
      hasNulls = false;
      for (int i = 0; i < features.size(); i++) {
        ColumnWriter column = writer.column(i);
        features.get(i).write(element, row, column);
        hasNulls |= column.lastIsNull();
      }
    }

    void putCarried(T element) throws IOException {
      carry.write(element, row, hasNulls, opaque.stream());
      row = null;
    }

    void close(Placement placement) throws IOException {
      opaque.endElement(placements.encode(placement));
      opaque.endRow();
      writer.endRow();
    }

    void rollback() {
      row = null;
      writer.rollback();
    }

    void clear() {
      row = null;
      writer.clear();
    }

    /** Closed rows. */
    int count() {
      return writer.rows();
    }

    /** Bytes of all rows, the open one included. */
    long size() {
      return writer.size();
    }

    /** Bytes of the open row. */
    long sizeOfRow() {
      return writer.sizeOfRow();
    }

    /** The closed rows as one TensorBatch; the next one is empty. */
    byte[] finish() {
      return writer.finish();
    }
  }
}
