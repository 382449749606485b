// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.PCollection;

/** MapElements, with a coder instead of type descriptors. */
final class Mapped<T, R> extends PTransform<PCollection<T>, PCollection<R>> {

  private static final long serialVersionUID = 1L;

  private final SerializableFunction<T, R> function;
  private final Coder<R> coder;

  Mapped(SerializableFunction<T, R> function, Coder<R> coder) {
    this.function = function;
    this.coder = coder;
  }

  @Override
  public PCollection<R> expand(PCollection<T> input) {
    return input
        .apply(MapElements.into(coder.getEncodedTypeDescriptor()).via(function))
        .setCoder(coder);
  }
}
