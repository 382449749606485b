// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.transforms.windowing.PaneInfo.PaneInfoCoder;
import org.apache.beam.sdk.util.VarInt;
import org.joda.time.Duration;
import org.joda.time.Instant;

/**
 * Where an element is in event time. It travels with the element, because batches travel in the
 * global window: 8 bytes of big-endian milliseconds, the pane, the number of windows and the
 * windows, each in its own coder. It says itself where it ends, which elements need not; so it is
 * before them.
 */
final class Placement {

  /**
   * Allows every timestamp. Beam subtracts it from the input's timestamp for each output: with
   * Long.MAX_VALUE, which other code has for it, that overflows, and the exception inside costs
   * more than all else that is done for an element.
   */
  static final Duration ANY_SKEW =
      new Duration(BoundedWindow.TIMESTAMP_MIN_VALUE, BoundedWindow.TIMESTAMP_MAX_VALUE);

  final Instant timestamp;
  final List<BoundedWindow> windows;
  final PaneInfo pane;

  Placement(Instant timestamp, List<BoundedWindow> windows, PaneInfo pane) {
    this.timestamp = timestamp;
    this.windows = windows;
    this.pane = pane;
  }

  /**
   * Encodes placements. Neighbours often share one, whose bytes are then given again without
   * encoding it again.
   */
  static final class Writer {
    private final Coder<BoundedWindow> windowCoder;
    private byte[] lastBytes;
    private Placement last;

    Writer(Coder<BoundedWindow> windowCoder) {
      this.windowCoder = windowCoder;
    }

    /** The bytes of a placement, not to be changed. */
    byte[] encode(Placement placement) throws IOException {
      if (last == null || !same(placement, last)) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        long millis = placement.timestamp.getMillis();
        for (int shift = 56; shift >= 0; shift -= 8) {
          bytes.write((int) (millis >>> shift));
        }
        PaneInfoCoder.of().encode(placement.pane, bytes);
        VarInt.encode(placement.windows.size(), bytes);
        for (BoundedWindow window : placement.windows) {
          windowCoder.encode(window, bytes);
        }
        lastBytes = bytes.toByteArray();
        last = placement;
      }
      return lastBytes;
    }

    private static boolean same(Placement one, Placement other) {
      return one.timestamp.getMillis() == other.timestamp.getMillis()
          && one.pane.equals(other.pane)
          && one.windows.equals(other.windows);
    }
  }

  /** Reads placements. A run of equal ones gives one object. */
  static final class Reader {
    private final Coder<BoundedWindow> windowCoder;
    private byte[] lastBytes = new byte[0];
    private byte[] nextBytes = new byte[0];
    private Placement last;

    Reader(Coder<BoundedWindow> windowCoder) {
      this.windowCoder = windowCoder;
    }

    /** Reads the placement that {@code in} begins with, and leaves the rest. */
    Placement read(ByteArrayInputStream in) throws IOException {
      in.mark(0);
      // No placement's bytes begin another's: the same bytes are the same placement.
      int count = in.readNBytes(nextBytes, 0, nextBytes.length);
      if (last == null || count < nextBytes.length || !Arrays.equals(nextBytes, lastBytes)) {
        in.reset();
        int available = in.available();
        last = decode(in);
        int length = available - in.available();
        in.reset();
        lastBytes = in.readNBytes(length);
        nextBytes = new byte[length];
      }
      return last;
    }

    private Placement decode(InputStream in) throws IOException {
      long millis = 0;
      for (int i = 0; i < 8; i++) {
        millis = millis << 8 | in.read();
      }
      PaneInfo pane = PaneInfoCoder.of().decode(in);
      int count = VarInt.decodeInt(in);
      List<BoundedWindow> windows = new ArrayList<>(count);
      for (int i = 0; i < count; i++) {
        windows.add(windowCoder.decode(in));
      }
      return new Placement(Instant.ofEpochMilli(millis), windows, pane);
    }
  }
}
