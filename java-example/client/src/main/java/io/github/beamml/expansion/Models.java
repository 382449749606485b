// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
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

  /**
   * What predictions and errors of a model carry as its id: {@code model_id} or, without one, the
   * uri; empty if there is neither.
   */
  public static String idOf(Model model) {
    if (!model.getModelId().isEmpty()) {
      return model.getModelId();
    }
    FieldDescriptor framework = framework(model);
    if (framework == null) {
      return "";
    }
    Message file = (Message) model.getField(framework);
    return (String) file.getField(uriField(file));
  }

  /** The same model, of the same framework, in another file. */
  static Model withUri(Model model, String uri) {
    FieldDescriptor framework = framework(model);
    if (framework == null) {
      throw new ExpansionException(
          "model: no framework is set; got a uri alone; start with RunInference.of(Models.…)");
    }
    Message.Builder file = ((Message) model.getField(framework)).toBuilder();
    file.setField(uriField(file), uri);
    return model.toBuilder().setField(framework, file.build()).build();
  }

  /** The framework that is set, or null. */
  private static FieldDescriptor framework(Model model) {
    return model.getOneofFieldDescriptor(Model.getDescriptor().getOneofs().get(0));
  }

  /** Every framework's message has one. */
  private static FieldDescriptor uriField(MessageOrBuilder file) {
    return file.getDescriptorForType().findFieldByName("uri");
  }
}
