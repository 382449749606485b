// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.coders.StructuredCoder;
import org.apache.beam.sdk.schemas.Schema;

/**
 * The coder of {@link Prediction}: the element in its own coder, then the values as a row, then the
 * model's id and version.
 */
final class PredictionCoder<T> extends StructuredCoder<Prediction<T>> {

  private static final long serialVersionUID = 1L;
  private static final StringUtf8Coder TEXT = StringUtf8Coder.of();

  private final Coder<T> elementCoder;
  private final RowCoder valuesCoder;

  PredictionCoder(Coder<T> elementCoder, Schema schema) {
    this.elementCoder = elementCoder;
    this.valuesCoder = RowCoder.of(schema);
  }

  Coder<T> elementCoder() {
    return elementCoder;
  }

  Schema schema() {
    return valuesCoder.getSchema();
  }

  @Override
  public void encode(Prediction<T> value, OutputStream out) throws IOException {
    elementCoder.encode(value.element(), out);
    valuesCoder.encode(value.values(), out);
    TEXT.encode(value.modelId(), out);
    TEXT.encode(value.modelVersion(), out);
  }

  @Override
  public Prediction<T> decode(InputStream in) throws IOException {
    return Prediction.of(
        elementCoder.decode(in), valuesCoder.decode(in), TEXT.decode(in), TEXT.decode(in));
  }

  @Override
  public List<? extends Coder<?>> getCoderArguments() {
    return List.of(elementCoder, valuesCoder);
  }

  @Override
  public void verifyDeterministic() throws NonDeterministicException {
    elementCoder.verifyDeterministic();
    valuesCoder.verifyDeterministic();
  }
}
