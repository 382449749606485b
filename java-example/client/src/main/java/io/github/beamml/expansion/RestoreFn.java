// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.ColumnReader;
import io.github.beamml.expansion.tensor.TensorBatchReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.Row;
import org.joda.time.Duration;

/**
 * Unpacks the TensorBatches that come back, and puts each row where its element was: in its
 * windows, at its timestamp, in its pane.
 *
 * @param <C> what was carried
 * @param <R> what a row becomes
 */
abstract class RestoreFn<C, R> extends DoFn<byte[], R> {

  private static final long serialVersionUID = 1L;

  private final Packing<?, ?> packing;

  RestoreFn(Packing<?, ?> packing) {
    this.packing = packing;
  }

  /** Reads what was carried. */
  abstract Carry.Reader<C> carried(TensorBatchReader batch);

  /** Makes something of the rows of one batch. */
  abstract RowFunction<C, R> rows(TensorBatchReader batch);

  /** Makes something of a row and what was carried for it. */
  interface RowFunction<C, R> {
    R apply(C carried, int row);
  }

  /**
   * Rows are later than their batch, which is at the earliest of them; a service that joins batches
   * need not know that.
   */
  @Override
  @Deprecated
  public Duration getAllowedTimestampSkew() {
    return Placement.ANY_SKEW;
  }

  /** Restores the rows of one batch. */
  @ProcessElement
  public void process(@Element byte[] bytes, OutputReceiver<R> out) throws IOException {
    TensorBatchReader batch = new TensorBatchReader(bytes);
    ColumnReader opaque = batch.column(packing.opaqueColumn);
    Carry.Reader<C> carried = carried(batch);
    Placement.Reader placements = new Placement.Reader(packing.windowCoder);
    RowFunction<C, R> rows = rows(batch);
    for (int row = 0; row < batch.rows(); row++) {
      ByteArrayInputStream in = opaque.stream(row);
      Placement placement = placements.read(in);
      C element = carried.read(row, in);
      out.outputWindowedValue(
          rows.apply(element, row), placement.timestamp, placement.windows, placement.pane);
    }
  }

  /** Reads one of some columns of texts; empty texts if there are not so many. */
  private static IntFunction<String> texts(
      TensorBatchReader batch, List<String> columns, int index) {
    return index < columns.size() ? batch.column(columns.get(index))::string : row -> "";
  }

  /** Restores predictions. */
  static final class Predictions<C> extends RestoreFn<C, Prediction<C>> {
    private static final long serialVersionUID = 1L;

    private final Carry<?, C> carry;
    private final List<String> modelColumns;
    private final Schema schema;

    /** {@code modelColumns} are those that say which model it was: of its id, and its version. */
    Predictions(Packing<?, C> packing, List<String> modelColumns, Schema schema) {
      super(packing);
      this.carry = packing.carry;
      this.modelColumns = modelColumns;
      this.schema = schema;
    }

    @Override
    Carry.Reader<C> carried(TensorBatchReader batch) {
      return carry.reader(batch);
    }

    @Override
    RowFunction<C, Prediction<C>> rows(TensorBatchReader batch) {
      List<String> names = schema.getFieldNames();
      ColumnReader[] columns = names.stream().map(batch::column).toArray(ColumnReader[]::new);
      IntFunction<String> modelId = texts(batch, modelColumns, 0);
      IntFunction<String> modelVersion = texts(batch, modelColumns, 1);
      return (carried, row) -> {
        Object[] values = new Object[columns.length];
        for (int i = 0; i < values.length; i++) {
          values[i] = columns[i].value(row);
        }
        Row prediction = Row.withSchema(schema).attachValues(Arrays.asList(values));
        return Prediction.of(
            carried, prediction, modelId.apply(row), modelVersion.apply(row));
      };
    }
  }

  /** Restores errors. */
  static final class Errors<C> extends RestoreFn<C, InferenceError<C>> {
    private static final long serialVersionUID = 1L;

    private final Carry<?, C> carry;
    private final List<String> modelColumns;

    /** {@code modelColumns} are those that say which model it was: of its id, and its version. */
    Errors(Packing<?, C> packing, List<String> modelColumns) {
      super(packing);
      this.carry = packing.carry;
      this.modelColumns = modelColumns;
    }

    @Override
    Carry.Reader<C> carried(TensorBatchReader batch) {
      return carry.reader(batch);
    }

    @Override
    RowFunction<C, InferenceError<C>> rows(TensorBatchReader batch) {
      ColumnReader stage = batch.column("stage");
      ColumnReader errorType = batch.column("error_type");
      ColumnReader message = batch.column("message");
      IntFunction<String> modelId = texts(batch, modelColumns, 0);
      IntFunction<String> modelVersion = texts(batch, modelColumns, 1);
      return (carried, row) ->
          InferenceError.of(
              carried,
              stage.string(row),
              errorType.string(row),
              message.string(row),
              modelId.apply(row),
              modelVersion.apply(row));
    }
  }
}
