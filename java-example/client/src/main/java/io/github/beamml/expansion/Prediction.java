// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.util.Collection;
import java.util.Objects;
import org.apache.beam.sdk.values.Row;

/**
 * An element and what the model says of it.
 *
 * <p>The getters widen: {@link #getDouble} reads FLOAT and integers too, {@link #getLong} every
 * integer, {@link #getDoubles} every tensor of numbers. {@link #values()} has the prediction as it
 * is.
 *
 * @param <T> the type of the element, or of what {@link RunInference#carry} makes of it
 */
public final class Prediction<T> {

  private final T element;
  private final Row values;
  private final String modelId;
  private final String modelVersion;

  private Prediction(T element, Row values, String modelId, String modelVersion) {
    this.element = element;
    this.values = values;
    this.modelId = modelId;
    this.modelVersion = modelVersion;
  }

  /** Creates a prediction, for tests of what comes after one. */
  public static <T> Prediction<T> of(T element, Row values, String modelId) {
    return of(element, values, modelId, "");
  }

  /** Creates a prediction of a model that is refreshed, for tests of what comes after one. */
  public static <T> Prediction<T> of(T element, Row values, String modelId, String modelVersion) {
    return new Prediction<>(element, values, modelId, modelVersion);
  }

  /** The element, as it went in; null after {@link RunInference#carryNothing}. */
  public T element() {
    return element;
  }

  /** The prediction columns; their schema is {@link Predictions#schema()}. */
  public Row values() {
    return values;
  }

  /** The model that answered: the configured id, else its uri. */
  public String modelId() {
    return modelId;
  }

  /**
   * The version of the model that answered: when its files were last modified, in UTC, and a
   * fingerprint; empty without {@link RunInference#refreshIntervalSecs}.
   */
  public String modelVersion() {
    return modelVersion;
  }

  /** A prediction column that is text. */
  public String getString(String column) {
    return values.getString(column);
  }

  /** A prediction column that is true or false. */
  public boolean getBoolean(String column) {
    return values.<Boolean>getValue(column);
  }

  /** A prediction column that is an integer of any width. */
  public long getLong(String column) {
    Object value = values.getValue(column);
    if (value instanceof Double || value instanceof Float) {
      throw new ClassCastException(
          "column \"" + column + "\" holds no integers; read it with getDouble");
    }
    return ((Number) value).longValue();
  }

  /** A prediction column that is a number. */
  public double getDouble(String column) {
    return values.<Number>getValue(column).doubleValue();
  }

  /** A prediction column that is a tensor of numbers, flat, in row-major order. */
  public double[] getDoubles(String column) {
    Collection<?> list = values.getValue(column);
    double[] doubles = new double[size(list)];
    fill(list, doubles, 0);
    return doubles;
  }

  private static int size(Collection<?> list) {
    int size = 0;
    for (Object value : list) {
      size += value instanceof Collection ? size((Collection<?>) value) : 1;
    }
    return size;
  }

  private static int fill(Collection<?> list, double[] doubles, int start) {
    int next = start;
    for (Object value : list) {
      if (value instanceof Collection) {
        next = fill((Collection<?>) value, doubles, next);
      } else {
        doubles[next++] = ((Number) value).doubleValue();
      }
    }
    return next;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Prediction
        && Objects.equals(element, ((Prediction<?>) other).element)
        && values.equals(((Prediction<?>) other).values)
        && modelId.equals(((Prediction<?>) other).modelId)
        && modelVersion.equals(((Prediction<?>) other).modelVersion);
  }

  @Override
  public int hashCode() {
    return Objects.hash(element, values, modelId, modelVersion);
  }

  @Override
  public String toString() {
    return "Prediction{element="
        + element
        + ", values="
        + values
        + ", modelId="
        + modelId
        + (modelVersion.isEmpty() ? "" : ", modelVersion=" + modelVersion)
        + "}";
  }
}
