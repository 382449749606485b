// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.ColumnWriter;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.Field;
import java.io.Serializable;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.Row;

/**
 * One feature column and how an element gives it: what a type without a Beam schema needs, and the
 * fast way for any type.
 *
 * <p>A function that returns null makes its element an error row, unless an impute hook fills it
 * in; so does one that throws. NaN is data.
 *
 * <p>{@code shape} is that of one row; -1 is a dimension whose size differs from row to row, of
 * which there may be one. No shape means a vector of any length. Tensors are flat, in row-major
 * order.
 *
 * @param <T> the type of the elements
 */
public final class Feature<T> implements Serializable {

  private static final long serialVersionUID = 1L;

  private final Field field;
  private final Source<T> source;

  Feature(Field field, Source<T> source) {
    this.field = field;
    this.source = source;
  }

  /** A scalar FP64. */
  public static <T> Feature<T> ofDouble(String name, SerializableFunction<T, Double> function) {
    return scalar(name, Datatype.FP64, function, ColumnWriter::put);
  }

  /** A scalar FP32. */
  public static <T> Feature<T> ofFloat(String name, SerializableFunction<T, Float> function) {
    return scalar(name, Datatype.FP32, function, ColumnWriter::put);
  }

  /** A scalar INT64. */
  public static <T> Feature<T> ofLong(String name, SerializableFunction<T, Long> function) {
    return scalar(name, Datatype.INT64, function, ColumnWriter::put);
  }

  /** A scalar INT32. */
  public static <T> Feature<T> ofInt(String name, SerializableFunction<T, Integer> function) {
    return scalar(name, Datatype.INT32, function, ColumnWriter::put);
  }

  /** A scalar BOOL. */
  public static <T> Feature<T> ofBoolean(String name, SerializableFunction<T, Boolean> function) {
    return scalar(name, Datatype.BOOL, function, ColumnWriter::put);
  }

  /** A scalar STRING. */
  public static <T> Feature<T> ofString(String name, SerializableFunction<T, String> function) {
    return scalar(name, Datatype.STRING, function, ColumnWriter::put);
  }

  /** A scalar BYTES, such as an encoded image. */
  public static <T> Feature<T> ofBytes(String name, SerializableFunction<T, byte[]> function) {
    return scalar(name, Datatype.BYTES, function, ColumnWriter::putBytes);
  }

  /** A tensor of FP64. */
  public static <T> Feature<T> ofDoubles(
      String name, SerializableFunction<T, double[]> function, long... shape) {
    return tensor(name, Datatype.FP64, function, ColumnWriter::putAll, shape);
  }

  /** A tensor of FP32. */
  public static <T> Feature<T> ofFloats(
      String name, SerializableFunction<T, float[]> function, long... shape) {
    return tensor(name, Datatype.FP32, function, ColumnWriter::putAll, shape);
  }

  /** A tensor of INT64. */
  public static <T> Feature<T> ofLongs(
      String name, SerializableFunction<T, long[]> function, long... shape) {
    return tensor(name, Datatype.INT64, function, ColumnWriter::putAll, shape);
  }

  /** A tensor of INT32. */
  public static <T> Feature<T> ofInts(
      String name, SerializableFunction<T, int[]> function, long... shape) {
    return tensor(name, Datatype.INT32, function, ColumnWriter::putAll, shape);
  }

  /** A tensor of UINT8, such as the pixels of an image: each byte counts from 0 to 255. */
  public static <T> Feature<T> ofUnsignedBytes(
      String name, SerializableFunction<T, byte[]> function, long... shape) {
    return tensor(name, Datatype.UINT8, function, ColumnWriter::putAll, shape);
  }

  /** A tensor of STRING. */
  public static <T> Feature<T> ofStrings(
      String name, SerializableFunction<T, String[]> function, long... shape) {
    return tensor(
        name,
        Datatype.STRING,
        function,
        (column, texts) -> {
          for (String text : texts) {
            column.put(text);
          }
        },
        shape);
  }

  private static <T, V> Feature<T> scalar(
      String name, Datatype datatype, SerializableFunction<T, V> function, Put<V> put) {
    Field field = Field.newBuilder().setName(name).setDatatype(datatype.name()).build();
    return new Feature<>(field, new Extractor<>(function, put));
  }

  private static <T, V> Feature<T> tensor(
      String name,
      Datatype datatype,
      SerializableFunction<T, V> function,
      Put<V> put,
      long... shape) {
    Field.Builder field = Field.newBuilder().setName(name).setDatatype(datatype.name());
    int unknown = shape.length == 0 ? 1 : 0;
    for (long size : shape) {
      if (size < -1) {
        throw new IllegalArgumentException(
            "feature \"" + name + "\": a dimension of " + size + "; expected -1 or more");
      }
      unknown += size < 0 ? 1 : 0;
      field.addShape(size);
    }
    if (shape.length == 0) {
      field.addShape(-1);
    }
    if (unknown > 1) {
      throw new IllegalArgumentException(
          "feature \"" + name + "\": " + unknown + " unknown dimensions; expected one at most");
    }
    return new Feature<>(field.build(), new Extractor<>(function, put));
  }

  /** What the column is called and holds. */
  Field field() {
    return field;
  }

  /** Whether it is a field of the elements' schema. */
  boolean isField() {
    return source instanceof FieldFeature;
  }

  /**
   * Puts one row into the column; {@code row} is the element as a row, or null if no feature needs
   * one.
   */
  void write(T element, Row row, ColumnWriter column) {
    source.write(element, row, column);
  }

  /** Where the values of a feature come from. */
  interface Source<T> extends Serializable {
    void write(T element, Row row, ColumnWriter column);
  }

  private interface Put<V> extends Serializable {
    void put(ColumnWriter column, V value);
  }

  private static final class Extractor<T, V> implements Source<T> {
    private static final long serialVersionUID = 1L;

    private final SerializableFunction<T, V> function;
    private final Put<V> put;

    Extractor(SerializableFunction<T, V> function, Put<V> put) {
      this.function = function;
      this.put = put;
    }

    @Override
    public void write(T element, Row row, ColumnWriter column) {
      V value = function.apply(element);
      if (value == null) {
        column.endNullRow();
      } else {
        put.put(column, value);
        column.endRow();
      }
    }
  }
}
