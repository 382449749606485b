// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.v1.Model;
import io.github.beamml.expansion.v1.OnnxModel;
import io.github.beamml.expansion.v1.SklearnModel;
import java.util.Arrays;

/**
 * Models, by framework.
 *
 * <p>A uri is a path or anything that Beam's filesystems read ({@code gs://…}). It is read where
 * the service and the workers run; a relative path is relative to their working directory.
 */
public final class Models {

  private Models() {}

  /**
   * An ONNX model, run by ONNX Runtime. Its inputs and outputs have the names that the graph gives
   * them.
   */
  public static Model onnx(String uri) {
    return of(OnnxModel.newBuilder().setUri(uri).build());
  }

  /** An ONNX model with every setting that the message has. */
  public static Model of(OnnxModel model) {
    return Model.newBuilder().setOnnx(model).build();
  }

  /**
   * A scikit-learn estimator or pipeline in a skops file. It has one input, {@code X}, and one
   * output for each method.
   *
   * @param methods what to call: predict, predict_proba, transform, decision_function; none means
   *     predict
   */
  public static Model sklearn(String uri, String... methods) {
    return of(SklearnModel.newBuilder().setUri(uri).addAllMethods(Arrays.asList(methods)).build());
  }

  /**
   * A scikit-learn model with every setting that the message has, such as the file format and
   * trusted types.
   */
  public static Model of(SklearnModel model) {
    return Model.newBuilder().setSklearn(model).build();
  }
}
