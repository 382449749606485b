// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Collection;
import java.util.List;
import org.apache.beam.sdk.coders.AtomicCoder;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.NonMergingWindowFn;
import org.apache.beam.sdk.transforms.windowing.WindowFn;
import org.apache.beam.sdk.transforms.windowing.WindowMappingFn;
import org.joda.time.Instant;

/**
 * Windows that only Java knows: elements of even and of odd seconds, until seconds 1000 and 1001.
 */
final class ParityWindows extends NonMergingWindowFn<Object, ParityWindows.Parity> {

  private static final long serialVersionUID = 1L;

  @Override
  public Collection<Parity> assignWindows(AssignContext context) {
    return List.of(new Parity((int) (context.timestamp().getMillis() / 1000 % 2)));
  }

  @Override
  @Deprecated
  public boolean isCompatible(WindowFn<?, ?> other) {
    return other instanceof ParityWindows;
  }

  @Override
  public Coder<Parity> windowCoder() {
    return new ParityCoder();
  }

  @Override
  public WindowMappingFn<Parity> getDefaultWindowMappingFn() {
    throw new UnsupportedOperationException("no side inputs here");
  }

  /** One of two windows. */
  static final class Parity extends BoundedWindow {
    private final int bit;

    Parity(int bit) {
      this.bit = bit;
    }

    @Override
    public Instant maxTimestamp() {
      return Instant.ofEpochMilli((1000 + bit) * 1000L - 1);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Parity && ((Parity) other).bit == bit;
    }

    @Override
    public int hashCode() {
      return bit;
    }
  }

  private static final class ParityCoder extends AtomicCoder<Parity> {
    private static final long serialVersionUID = 1L;

    @Override
    public void encode(Parity value, OutputStream out) throws IOException {
      out.write(value.bit);
    }

    @Override
    public Parity decode(InputStream in) throws IOException {
      return new Parity(in.read());
    }

    @Override
    public void verifyDeterministic() {}
  }
}
