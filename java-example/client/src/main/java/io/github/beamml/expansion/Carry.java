// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.TensorBatchReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.util.List;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.Row;

/**
 * What of an element travels beside its features, and comes back beside its prediction.
 *
 * @param <T> the type of the elements
 * @param <C> the type of what is carried
 */
abstract class Carry<T, C> implements Serializable {

  private static final long serialVersionUID = 1L;

  /** The coder of what is carried. */
  abstract Coder<C> coder();

  /** Feature columns that come back because what is carried is rebuilt from them. */
  abstract List<String> returnColumns();

  /** What is carried of an element. */
  abstract C of(T element);

  /**
   * Writes what does not come back as a feature column.
   *
   * @param row the element as a row, if it has a schema
   * @param hasNulls whether some feature was sent without a value
   */
  abstract void write(T element, Row row, boolean hasNulls, OutputStream out) throws IOException;

  /** Returns a reader of the rows of one batch. */
  abstract Reader<C> reader(TensorBatchReader batch);

  /** Rebuilds what was carried. */
  interface Reader<C> {
    /**
     * Reads from {@code in}, which ends there, what {@link Carry#write} wrote, and from the batch
     * the columns that came back.
     */
    C read(int row, InputStream in) throws IOException;
  }

  /** Carries what a function makes of an element, in that thing's own coder. */
  static <T, C> Carry<T, C> function(SerializableFunction<? super T, C> function, Coder<C> coder) {
    return new CarryFunction<>(function, coder);
  }

  private static final class CarryFunction<T, C> extends Carry<T, C> {
    private static final long serialVersionUID = 1L;

    private final SerializableFunction<? super T, C> function;
    private final Coder<C> coder;

    CarryFunction(SerializableFunction<? super T, C> function, Coder<C> coder) {
      this.function = function;
      this.coder = coder;
    }

    @Override
    Coder<C> coder() {
      return coder;
    }

    @Override
    List<String> returnColumns() {
      return List.of();
    }

    @Override
    C of(T element) {
      try {
        return function.apply(element);
      } catch (RuntimeException e) {
        // Not even an error could say which element this is.
        throw new ExpansionException(
            "the function given to RunInference.carry threw "
                + e
                + "; expected a result for every element, also for one that cannot be predicted",
            e);
      }
    }

    @Override
    void write(T element, Row row, boolean hasNulls, OutputStream out) throws IOException {
      coder.encode(of(element), out);
    }

    @Override
    Reader<C> reader(TensorBatchReader batch) {
      return (row, in) -> coder.decode(in);
    }
  }
}
