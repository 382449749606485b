// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import org.apache.beam.sdk.schemas.Schema.FieldType;

/**
 * The type of one element of a column: the datatypes of the Open Inference Protocol and {@code
 * STRING}, which is {@code BYTES} that hold UTF-8 text.
 */
public enum Datatype {
  /** True or false; Beam's BOOLEAN. */
  BOOL(1, FieldType.BOOLEAN),
  /** Unsigned, 8 bits; Beam's INT16. */
  UINT8(1, FieldType.INT16),
  /** Unsigned, 16 bits; Beam's INT32. */
  UINT16(2, FieldType.INT32),
  /** Unsigned, 32 bits; Beam's INT64. */
  UINT32(4, FieldType.INT64),
  /** Unsigned, 64 bits; Beam's INT64, which holds half of the values. */
  UINT64(8, FieldType.INT64),
  /** Signed, 8 bits; Beam's BYTE. */
  INT8(1, FieldType.BYTE),
  /** Signed, 16 bits; Beam's INT16. */
  INT16(2, FieldType.INT16),
  /** Signed, 32 bits; Beam's INT32. */
  INT32(4, FieldType.INT32),
  /** Signed, 64 bits; Beam's INT64. */
  INT64(8, FieldType.INT64),
  /** IEEE 754 binary16; Beam's FLOAT. */
  FP16(2, FieldType.FLOAT),
  /** IEEE 754 binary32; Beam's FLOAT. */
  FP32(4, FieldType.FLOAT),
  /** IEEE 754 binary64; Beam's DOUBLE. */
  FP64(8, FieldType.DOUBLE),
  /** Text; Beam's STRING. */
  STRING(0, FieldType.STRING),
  /** Bytes; Beam's BYTES. */
  BYTES(0, FieldType.BYTES);

  private final int bytes;
  private final FieldType fieldType;

  Datatype(int bytes, FieldType fieldType) {
    this.bytes = bytes;
    this.fieldType = fieldType;
  }

  /** Bytes of one element; 0 for {@link #STRING} and {@link #BYTES}, whose elements vary. */
  int bytes() {
    return bytes;
  }

  /** The type of a Beam schema that holds one element. */
  public FieldType fieldType() {
    return fieldType;
  }

  /** Whether each element has its own length. */
  boolean variableLength() {
    return bytes == 0;
  }

  /**
   * The datatype that Java values of a Beam type are sent as, if there is one: BOOLEAN, BYTE,
   * INT16, INT32, INT64, FLOAT, DOUBLE, STRING and BYTES have one.
   */
  public static Optional<Datatype> ofFieldType(FieldType type) {
    switch (type.getTypeName()) {
      case BOOLEAN:
        return Optional.of(BOOL);
      case BYTE:
        return Optional.of(INT8);
      case INT16:
        return Optional.of(INT16);
      case INT32:
        return Optional.of(INT32);
      case INT64:
        return Optional.of(INT64);
      case FLOAT:
        return Optional.of(FP32);
      case DOUBLE:
        return Optional.of(FP64);
      case STRING:
        return Optional.of(STRING);
      case BYTES:
        return Optional.of(BYTES);
      default:
        return Optional.empty();
    }
  }

  /**
   * The datatype of a name in a message.
   *
   * @throws TensorBatchException if this version of the client does not know it
   */
  static Datatype named(String name) {
    try {
      return valueOf(name.toUpperCase(Locale.ROOT));
    } catch (IllegalArgumentException e) {
      throw new TensorBatchException(
          "unknown datatype \"" + name + "\"; known are " + Arrays.toString(values()));
    }
  }
}
