// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import com.google.common.primitives.Booleans;
import com.google.common.primitives.Bytes;
import com.google.common.primitives.Doubles;
import com.google.common.primitives.Floats;
import com.google.common.primitives.Ints;
import com.google.common.primitives.Longs;
import com.google.common.primitives.Shorts;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/**
 * The elements of a column, as the Java values that {@link Datatype#fieldType()} says. Lists are
 * views of an array of primitives of their own, so that keeping one row does not keep the batch.
 */
final class Elements {

  private final Datatype datatype;
  private final byte[] batch;
  private final int values;
  private final int offsets;
  private final ByteBuffer buffer;
  private String lastString = "";
  private int lastStart;
  private int lastEnd;

  Elements(Datatype datatype, byte[] batch, int values, int offsets) {
    this.datatype = datatype;
    this.batch = batch;
    this.values = values;
    this.offsets = offsets;
    this.buffer = ByteBuffer.wrap(batch).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Where an element of variable length starts in the batch. */
  int start(int element) {
    return values + (int) LittleEndian.INT.get(batch, offsets + 4 * element);
  }

  /** Where an element of variable length ends in the batch. */
  int end(int element) {
    return start(element + 1);
  }

  Object scalar(int element) {
    int at = values + element * datatype.bytes();
    switch (datatype) {
      case BOOL:
        return batch[at] != 0;
      case UINT8:
        return (short) (batch[at] & 0xff);
      case UINT16:
        return (short) LittleEndian.SHORT.get(batch, at) & 0xffff;
      case UINT32:
        return (int) LittleEndian.INT.get(batch, at) & 0xffffffffL;
      case UINT64:
        return signed((long) LittleEndian.LONG.get(batch, at));
      case INT8:
        return batch[at];
      case INT16:
        return (short) LittleEndian.SHORT.get(batch, at);
      case INT32:
        return (int) LittleEndian.INT.get(batch, at);
      case INT64:
        return (long) LittleEndian.LONG.get(batch, at);
      case FP16:
        return LittleEndian.halfToFloat((short) LittleEndian.SHORT.get(batch, at));
      case FP32:
        return (float) LittleEndian.FLOAT.get(batch, at);
      case FP64:
        return (double) LittleEndian.DOUBLE.get(batch, at);
      case STRING:
        return string(element);
      default:
        return Arrays.copyOfRange(batch, start(element), end(element));
    }
  }

  /** The text of an element. A run of equal texts gives one String. */
  String string(int element) {
    int start = start(element);
    int end = end(element);
    if (!Arrays.equals(batch, start, end, batch, lastStart, lastEnd)) {
      lastString = new String(batch, start, end - start, StandardCharsets.UTF_8);
      lastStart = start;
      lastEnd = end;
    }
    return lastString;
  }

  List<?> list(int first, int count) {
    if (count == 0) {
      return List.of();
    }
    switch (datatype) {
      case INT64:
        long[] longs = new long[count];
        at(first).asLongBuffer().get(longs);
        return Longs.asList(longs);
      case INT32:
        int[] ints = new int[count];
        at(first).asIntBuffer().get(ints);
        return Ints.asList(ints);
      case INT16:
        short[] shorts = new short[count];
        at(first).asShortBuffer().get(shorts);
        return Shorts.asList(shorts);
      case INT8:
        byte[] bytes = new byte[count];
        at(first).get(bytes);
        return Bytes.asList(bytes);
      case FP32:
        float[] floats = new float[count];
        at(first).asFloatBuffer().get(floats);
        return Floats.asList(floats);
      case FP64:
        double[] doubles = new double[count];
        at(first).asDoubleBuffer().get(doubles);
        return Doubles.asList(doubles);
      default:
        return widened(first, count);
    }
  }

  private List<?> widened(int first, int count) {
    switch (datatype) {
      case BOOL:
        boolean[] booleans = new boolean[count];
        for (int i = 0; i < count; i++) {
          booleans[i] = (boolean) scalar(first + i);
        }
        return Booleans.asList(booleans);
      case UINT8:
        short[] shorts = new short[count];
        for (int i = 0; i < count; i++) {
          shorts[i] = (short) scalar(first + i);
        }
        return Shorts.asList(shorts);
      case UINT16:
        int[] ints = new int[count];
        for (int i = 0; i < count; i++) {
          ints[i] = (int) scalar(first + i);
        }
        return Ints.asList(ints);
      case UINT32:
      case UINT64:
        long[] longs = new long[count];
        for (int i = 0; i < count; i++) {
          longs[i] = (long) scalar(first + i);
        }
        return Longs.asList(longs);
      case FP16:
        float[] floats = new float[count];
        for (int i = 0; i < count; i++) {
          floats[i] = (float) scalar(first + i);
        }
        return Floats.asList(floats);
      default:
        Object[] objects = new Object[count];
        for (int i = 0; i < count; i++) {
          objects[i] = scalar(first + i);
        }
        return Arrays.asList(objects);
    }
  }

  private ByteBuffer at(int element) {
    buffer.position(values + element * datatype.bytes());
    return buffer;
  }

  private static long signed(long bits) {
    if (bits < 0) {
      throw new TensorBatchException(
          "the UINT64 "
              + Long.toUnsignedString(bits)
              + " is larger than Beam's INT64; cast the column in a post hook");
    }
    return bits;
  }
}
