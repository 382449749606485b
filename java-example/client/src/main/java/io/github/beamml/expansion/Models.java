// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
import io.github.beamml.expansion.v1.Arm;
import io.github.beamml.expansion.v1.CustomModel;
import io.github.beamml.expansion.v1.EmbeddingServiceModel;
import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.HuggingFaceModel;
import io.github.beamml.expansion.v1.Model;
import io.github.beamml.expansion.v1.OnnxModel;
import io.github.beamml.expansion.v1.OpenInferenceModel;
import io.github.beamml.expansion.v1.PyTorchModel;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import io.github.beamml.expansion.v1.SklearnModel;
import io.github.beamml.expansion.v1.Step;
import io.github.beamml.expansion.v1.TensorFlowModel;
import io.github.beamml.expansion.v1.TensorRtModel;
import io.github.beamml.expansion.v1.VertexAiModel;
import io.github.beamml.expansion.v1.VllmModel;
import io.github.beamml.expansion.v1.XGBoostModel;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Models, by framework.
 *
 * <p>A uri is a path or anything that Beam's filesystems read ({@code gs://…}). It is read where
 * the service and the workers run; a relative path is relative to their working directory. Of a
 * remote model it is an address, which workers call.
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
   * A PyTorch model that says itself what it takes and returns: an exported program ({@code .pt2}).
   * TorchScript, weights and everything else: {@link #of(PyTorchModel)}.
   */
  public static Model pytorch(String uri) {
    return of(PyTorchModel.newBuilder().setUri(uri).build());
  }

  /** A PyTorch model with every setting that the message has. */
  public static Model of(PyTorchModel model) {
    return Model.newBuilder().setPytorch(model).build();
  }

  /**
   * An XGBoost model in a JSON or UBJSON file. It has one input, {@code X}, and one output for each
   * method.
   *
   * @param methods what to compute: predict, margin; none means predict
   */
  public static Model xgboost(String uri, String... methods) {
    return Model.newBuilder()
        .setXgboost(XGBoostModel.newBuilder().setUri(uri).addAllMethods(Arrays.asList(methods)))
        .build();
  }

  /** A TensorFlow SavedModel, a directory, by its signature {@code serving_default}. */
  public static Model tensorflow(String uri) {
    return of(TensorFlowModel.newBuilder().setUri(uri).build());
  }

  /** A TensorFlow or Keras model with every setting that the message has. */
  public static Model of(TensorFlowModel model) {
    return Model.newBuilder().setTensorflow(model).build();
  }

  /** An ONNX model, run by an engine of TensorRT that workers build for their GPU. */
  public static Model tensorrt(String uri) {
    return of(TensorRtModel.newBuilder().setUri(uri).build());
  }

  /** A TensorRT engine, or an ONNX model to build one from, with every setting. */
  public static Model of(TensorRtModel model) {
    return Model.newBuilder().setTensorrt(model).build();
  }

  /**
   * A model of Hugging Face transformers.
   *
   * @param uri its directory, or {@code hf://ORGANISATION/NAME}
   * @param task sentence-embedding, text-classification, image-classification, text-generation
   */
  public static Model huggingface(String uri, String task) {
    return of(HuggingFaceModel.newBuilder().setUri(uri).setTask(task).build());
  }

  /** A model of Hugging Face transformers with every setting that the message has. */
  public static Model of(HuggingFaceModel model) {
    return Model.newBuilder().setHuggingface(model).build();
  }

  /**
   * A model on a server of the Open Inference Protocol: Triton, KServe, MLServer and others. Workers
   * call it; what is declared is compared with what the server says when they start.
   *
   * @param uri {@code grpc://HOST:PORT/MODEL} or, with TLS, {@code grpcs://…}; {@code
   *     /versions/VERSION} behind it for one version
   * @param inputs what the model takes; {@link Fields} makes them
   * @param outputs what it returns
   */
  public static Model openInference(String uri, List<Field> inputs, List<Field> outputs) {
    return of(
        OpenInferenceModel.newBuilder()
            .setUri(uri)
            .addAllInputs(inputs)
            .addAllOutputs(outputs)
            .build());
  }

  /**
   * A model on a server of the Open Inference Protocol with every setting that the message has, such
   * as time-out, attempts and rate.
   */
  public static Model of(OpenInferenceModel model) {
    return Model.newBuilder().setOpenInference(model).build();
  }

  /**
   * A model on an endpoint of Google's Vertex AI, which workers call with their own credentials.
   *
   * @param endpoint {@code projects/PROJECT/locations/LOCATION/endpoints/ENDPOINT}
   * @param inputs what the model takes; {@link Fields} makes them
   * @param outputs what it returns
   */
  public static Model vertexAi(String endpoint, List<Field> inputs, List<Field> outputs) {
    return of(
        VertexAiModel.newBuilder()
            .setUri(endpoint)
            .addAllInputs(inputs)
            .addAllOutputs(outputs)
            .build());
  }

  /**
   * A model on an endpoint of Vertex AI with every setting that the message has, such as time-out,
   * attempts and rate.
   */
  public static Model of(VertexAiModel model) {
    return Model.newBuilder().setVertexAi(model).build();
  }

  /**
   * A large language model, run by vLLM on the GPUs of workers: from {@code prompt} to {@code text}.
   *
   * @param uri its directory, or {@code hf://ORGANISATION/NAME}
   * @param task chat, completions
   */
  public static Model vllm(String uri, String task) {
    return of(VllmModel.newBuilder().setUri(uri).setTask(task).build());
  }

  /**
   * A large language model with every setting that the message has, such as the system's message,
   * sampling and the server's arguments.
   */
  public static Model of(VllmModel model) {
    return Model.newBuilder().setVllm(model).build();
  }

  /**
   * Text embeddings of a provider, which workers call with their own keys: {@code OPENAI_API_KEY},
   * {@code HF_TOKEN}, or what Google's libraries find. Input {@code text}, prediction {@code
   * embedding}.
   *
   * @param provider openai, hugging_face or vertex_ai
   * @param model as the provider names it: {@code text-embedding-3-small}, {@code
   *     ORGANISATION/NAME}, {@code
   *     projects/PROJECT/locations/LOCATION/publishers/google/models/MODEL}
   * @param size how many numbers its vectors have
   */
  public static Model embeddingService(String provider, String model, long size) {
    return of(
        EmbeddingServiceModel.newBuilder()
            .setProvider(provider)
            .setUri(model)
            .setSize(size)
            .build());
  }

  /**
   * Text embeddings of a provider with every setting that the message has, such as another address,
   * attempts and rate.
   */
  public static Model of(EmbeddingServiceModel model) {
    return Model.newBuilder().setEmbeddingService(model).build();
  }

  /**
   * A class of your own that workers import: a Beam ModelHandler, or a class with {@code predict}.
   * The operator of the service must allow it.
   *
   * @param modelClass as "package.module.Class"
   * @param inputs what it takes; {@link Fields} makes them
   * @param outputs what it returns
   */
  public static Model custom(String modelClass, List<Field> inputs, List<Field> outputs) {
    return of(
        CustomModel.newBuilder()
            .setModelClass(modelClass)
            .addAllInputs(inputs)
            .addAllOutputs(outputs)
            .build());
  }

  /** A class of your own with every setting that the message has, such as its arguments. */
  public static Model of(CustomModel model) {
    return Model.newBuilder().setCustom(model).build();
  }

  /**
   * One of the models of {@link RunInference#split}.
   *
   * @param name what prediction column {@code arm} says
   * @param weight its share is this ÷ the sum of all weights
   */
  public static Arm arm(String name, double weight, Model model) {
    return Arm.newBuilder().setName(name).setWeight(weight).setModel(model).build();
  }

  /** What elements say that never reached a model: the ids of those that run first, or nothing. */
  static String idOf(RunInferenceConfig config) {
    switch (config.getRoutingCase()) {
      case ROUTING_NOT_SET:
        return idOf(config.getModel());
      case ENSEMBLE:
        return config.getEnsemble().getModelsList().stream()
            .map(Models::idOf)
            .collect(Collectors.joining(", "));
      default:
        return "";
    }
  }

  /** What elements say that went to all models of a chain. */
  public static String idOfAll(RunInferenceConfig config) {
    return Stream.concat(
            Stream.of(idOf(config)), config.getThenList().stream().map(step -> idOf(step.getModel())))
        .collect(Collectors.joining(", "));
  }

  /** The columns of results that say which model it was: its id and, of refreshed ones, version. */
  public static List<String> columnsOf(RunInferenceConfig config) {
    return areRefreshed(config) ? List.of("model_id", "model_version") : List.of("model_id");
  }

  private static boolean areRefreshed(RunInferenceConfig config) {
    return Stream.of(
            Stream.of(config.getModel()),
            config.getSplit().getArmsList().stream().map(Arm::getModel),
            config.getEnsemble().getModelsList().stream(),
            config.getThenList().stream().map(Step::getModel))
        .flatMap(models -> models)
        .anyMatch(model -> model.getRefreshIntervalSecs() > 0);
  }

  /**
   * What predictions and errors of a model carry as its id: {@code model_id} or, without one, the
   * uri or, of a custom model without one, the class; empty if there is none of them.
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
    String uri = (String) file.getField(uriField(file));
    return uri.isEmpty() && model.hasCustom() ? model.getCustom().getModelClass() : uri;
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
