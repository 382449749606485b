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

  private final Packing<?, C> packing;
  private final boolean hasVersions;

  RestoreFn(Packing<?, C> packing, boolean hasVersions) {
    this.packing = packing;
    this.hasVersions = hasVersions;
  }

  /** Reads the version of the model, which is a column only where models are refreshed. */
  final IntFunction<String> modelVersions(TensorBatchReader batch) {
    return hasVersions ? batch.column("model_version")::string : row -> "";
  }

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
    Carry.Reader<C> carried = packing.carry.reader(batch);
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

  /** Restores predictions. */
  static final class Predictions<C> extends RestoreFn<C, Prediction<C>> {
    private static final long serialVersionUID = 1L;

    private final Schema schema;

    Predictions(Packing<?, C> packing, boolean hasVersions, Schema schema) {
      super(packing, hasVersions);
      this.schema = schema;
    }

    @Override
    RowFunction<C, Prediction<C>> rows(TensorBatchReader batch) {
      List<String> names = schema.getFieldNames();
      ColumnReader[] columns = names.stream().map(batch::column).toArray(ColumnReader[]::new);
      ColumnReader modelId = batch.column("model_id");
      IntFunction<String> modelVersion = modelVersions(batch);
      return (carried, row) -> {
        Object[] values = new Object[columns.length];
        for (int i = 0; i < values.length; i++) {
          values[i] = columns[i].value(row);
        }
        Row prediction = Row.withSchema(schema).attachValues(Arrays.asList(values));
        return Prediction.of(
            carried, prediction, modelId.string(row), modelVersion.apply(row));
      };
    }
  }

  /** Restores errors. */
  static final class Errors<C> extends RestoreFn<C, InferenceError<C>> {
    private static final long serialVersionUID = 1L;

    Errors(Packing<?, C> packing, boolean hasVersions) {
      super(packing, hasVersions);
    }

    @Override
    RowFunction<C, InferenceError<C>> rows(TensorBatchReader batch) {
      ColumnReader stage = batch.column("stage");
      ColumnReader errorType = batch.column("error_type");
      ColumnReader message = batch.column("message");
      ColumnReader modelId = batch.column("model_id");
      IntFunction<String> modelVersion = modelVersions(batch);
      return (carried, row) ->
          InferenceError.of(
              carried,
              stage.string(row),
              errorType.string(row),
              message.string(row),
              modelId.string(row),
              modelVersion.apply(row));
    }
  }
}
