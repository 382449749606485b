// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.coders.StructuredCoder;

/** The coder of {@link InferenceError}: the element in its own coder, then five texts. */
final class InferenceErrorCoder<T> extends StructuredCoder<InferenceError<T>> {

  private static final long serialVersionUID = 1L;
  private static final StringUtf8Coder TEXT = StringUtf8Coder.of();

  private final Coder<T> elementCoder;

  InferenceErrorCoder(Coder<T> elementCoder) {
    this.elementCoder = elementCoder;
  }

  @Override
  public void encode(InferenceError<T> value, OutputStream out) throws IOException {
    elementCoder.encode(value.element(), out);
    TEXT.encode(value.stage(), out);
    TEXT.encode(value.errorType(), out);
    TEXT.encode(value.message(), out);
    TEXT.encode(value.modelId(), out);
    TEXT.encode(value.modelVersion(), out);
  }

  @Override
  public InferenceError<T> decode(InputStream in) throws IOException {
    return InferenceError.of(
        elementCoder.decode(in),
        TEXT.decode(in),
        TEXT.decode(in),
        TEXT.decode(in),
        TEXT.decode(in),
        TEXT.decode(in));
  }

  @Override
  public List<? extends Coder<?>> getCoderArguments() {
    return List.of(elementCoder);
  }

  @Override
  public void verifyDeterministic() throws NonDeterministicException {
    elementCoder.verifyDeterministic();
  }
}
