// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.util.Objects;

/**
 * An element that got no prediction, and why.
 *
 * @param <T> the type of the element, or of what {@link RunInference#carry} makes of it
 */
public final class InferenceError<T> {

  private final T element;
  private final String stage;
  private final String errorType;
  private final String message;
  private final String modelId;
  private final String modelVersion;

  private InferenceError(
      T element,
      String stage,
      String errorType,
      String message,
      String modelId,
      String modelVersion) {
    this.element = element;
    this.stage = stage;
    this.errorType = errorType;
    this.message = message;
    this.modelId = modelId;
    this.modelVersion = modelVersion;
  }

  /** Creates an error, for tests of what comes after one. */
  public static <T> InferenceError<T> of(
      T element, String stage, String errorType, String message, String modelId) {
    return of(element, stage, errorType, message, modelId, "");
  }

  /** Creates an error of a model that is refreshed, for tests of what comes after one. */
  public static <T> InferenceError<T> of(
      T element,
      String stage,
      String errorType,
      String message,
      String modelId,
      String modelVersion) {
    return new InferenceError<>(element, stage, errorType, message, modelId, modelVersion);
  }

  /** The element, as it went in; null after {@link RunInference#carryNothing}. */
  public T element() {
    return element;
  }

  /** Where it failed: decode, preprocess, inference or postprocess. */
  public String stage() {
    return stage;
  }

  /** The class of the error, such as {@code ValueError}. */
  public String errorType() {
    return errorType;
  }

  /** What was wrong, in one line. */
  public String message() {
    return message;
  }

  /** The model that the element was for: the configured id, else its uri. */
  public String modelId() {
    return modelId;
  }

  /**
   * The version of the model that the element's batch went to; empty without {@link
   * RunInference#refreshIntervalSecs}, and where the element never left Java.
   */
  public String modelVersion() {
    return modelVersion;
  }

  @Override
  public boolean equals(Object other) {
    if (!(other instanceof InferenceError)) {
      return false;
    }
    InferenceError<?> that = (InferenceError<?>) other;
    return Objects.equals(element, that.element)
        && stage.equals(that.stage)
        && errorType.equals(that.errorType)
        && message.equals(that.message)
        && modelId.equals(that.modelId)
        && modelVersion.equals(that.modelVersion);
  }

  @Override
  public int hashCode() {
    return Objects.hash(element, stage, errorType, message, modelId, modelVersion);
  }

  @Override
  public String toString() {
    return "InferenceError{element="
        + element
        + ", stage="
        + stage
        + ", errorType="
        + errorType
        + ", message="
        + message
        + ", modelId="
        + modelId
        + (modelVersion.isEmpty() ? "" : ", modelVersion=" + modelVersion)
        + "}";
  }
}
