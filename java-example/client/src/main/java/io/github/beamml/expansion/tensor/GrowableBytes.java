// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * A byte array that grows and takes primitives, little-endian; coders write to it as to any stream.
 * Not thread-safe.
 */
final class GrowableBytes extends OutputStream {

  /** The largest array that every JVM gives. */
  private static final int MAX_SIZE = Integer.MAX_VALUE - 64;

  /** Arrays up to this size are kept for the next batch. */
  private static final int KEPT_SIZE = 8 << 20;

  private byte[] array = new byte[256];
  private int size;

  int size() {
    return size;
  }

  byte[] array() {
    return array;
  }

  /** Forgets what was written from position {@code size} on. */
  void truncate(int size) {
    this.size = size;
    if (size == 0 && array.length > KEPT_SIZE) {
      array = new byte[256];
    }
  }

  @Override
  public void write(int value) {
    int at = reserve(1);
    array[at] = (byte) value;
  }

  @Override
  public void write(byte[] bytes, int offset, int length) {
    int at = reserve(length);
    System.arraycopy(bytes, offset, array, at, length);
  }

  /** Moves what was written from position {@code at} on, and puts bytes before it. */
  void insert(int at, byte[] bytes) {
    int end = reserve(bytes.length);
    System.arraycopy(array, at, array, at + bytes.length, end - at);
    System.arraycopy(bytes, 0, array, at, bytes.length);
  }

  void putShort(short value) {
    int at = reserve(2);
    LittleEndian.SHORT.set(array, at, value);
  }

  void putInt(int value) {
    int at = reserve(4);
    LittleEndian.INT.set(array, at, value);
  }

  void putLong(long value) {
    int at = reserve(8);
    LittleEndian.LONG.set(array, at, value);
  }

  void putFloat(float value) {
    int at = reserve(4);
    LittleEndian.FLOAT.set(array, at, value);
  }

  void putDouble(double value) {
    int at = reserve(8);
    LittleEndian.DOUBLE.set(array, at, value);
  }

  void putZeros(int length) {
    int at = reserve(length);
    Arrays.fill(array, at, at + length, (byte) 0);
  }

  /** Appends {@code length} bytes and returns a view of them for a bulk put. */
  ByteBuffer view(int length) {
    int at = reserve(length);
    return ByteBuffer.wrap(array, at, length).slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  private int reserve(int length) {
    int start = size;
    if (length > array.length - start) {
      grow((long) start + length);
    }
    size = start + length;
    return start;
  }

  private void grow(long needed) {
    if (needed > MAX_SIZE) {
      throw new TensorBatchException(
          "a column of " + needed + " bytes; a TensorBatch holds at most 2 GiB");
    }
    array = Arrays.copyOf(array, (int) Math.min(MAX_SIZE, Math.max(needed, array.length * 2L)));
  }
}
