// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.github.beamml.expansion.MLTransform;
import io.github.beamml.expansion.RunInference;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.MLTransformConfig;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.Row;

/**
 * One file of tests/conformance/run_inference or ml_transform: a configuration, rows, and what each
 * row must become.
 */
final class ConformanceCase {

  static final String RUN_INFERENCE = "run_inference";
  static final String ML_TRANSFORM = "ml_transform";

  /** Such as "run_inference/onnx". */
  final String name;

  /** Whether it is one of MLTransform. */
  final boolean isTransform;

  final JsonNode expected;

  /** A part of the reason for which the case is refused at expansion; null if it is not. */
  final String refused;

  /** Whether it needs an NVIDIA GPU. */
  final boolean needsGpu;

  private final JsonNode json;
  private final Message config;

  /** Reads a case; {@code models} is where its model files are. */
  ConformanceCase(Path path, Path models) throws IOException {
    String folder = path.getParent().getFileName().toString();
    name = folder + "/" + path.getFileName().toString().replace(".json", "");
    isTransform = folder.equals(ML_TRANSFORM);
    json =
        new ObjectMapper().readTree(Files.readString(path).replace("${models}", models.toString()));
    expected = json.get("expected");
    refused = json.has("refused") ? json.get("refused").asText() : null;
    needsGpu = json.has("needs") && json.get("needs").asText().equals("gpu");
    Message.Builder builder =
        isTransform ? MLTransformConfig.newBuilder() : RunInferenceConfig.newBuilder();
    JsonFormat.parser().merge(json.get("config").toString(), builder);
    config = builder.build();
  }

  /** Cases of one stack can run in one process; TensorFlow and what else there is can not. */
  String stack() {
    return !isTransform && ((RunInferenceConfig) config).getModel().hasTensorflow()
        ? "tensorflow"
        : "others";
  }

  Schema schema() {
    Schema.Builder schema = Schema.builder();
    for (JsonNode column : json.get("columns")) {
      FieldType type = datatype(column).fieldType();
      for (int axis = 0; axis < column.get("shape").size(); axis++) {
        type = FieldType.array(type);
      }
      schema.addNullableField(column.get("name").asText(), type);
    }
    return schema.addInt32Field(KeepFn.NUMBER).build();
  }

  List<Row> rows() {
    List<Row> rows = new ArrayList<>();
    for (JsonNode values : json.get("rows")) {
      Row.Builder row = Row.withSchema(schema());
      for (JsonNode column : json.get("columns")) {
        row.addValue(value(values.get(column.get("name").asText()), datatype(column)));
      }
      rows.add(row.addValue(rows.size()).build());
    }
    return rows;
  }

  /** Applied to a collection in a pipeline, where the second input is made, if there is one. */
  RunInference<Row, Row> inference(Pipeline pipeline) {
    RunInference<Row, Row> inference = RunInference.of((RunInferenceConfig) config);
    if (json.has("model_uris")) {
      List<String> uris = new ArrayList<>();
      json.get("model_uris").forEach(uri -> uris.add(uri.asText()));
      inference = inference.modelUrisFrom(pipeline.apply("Uris of " + name, Create.of(uris)));
    }
    for (JsonNode column : json.get("columns")) {
      inference = inference.feature(column.get("name").asText(), shape(column));
    }
    return inference;
  }

  /** What it learns goes to a directory. */
  MLTransform<Row> transform(Path artifact) {
    MLTransform<Row> transform =
        MLTransform.<Row>of((MLTransformConfig) config).writeArtifact(artifact.toString());
    for (JsonNode column : json.get("columns")) {
      transform = transform.shape(column.get("name").asText(), shape(column));
    }
    return transform;
  }

  private static long[] shape(JsonNode column) {
    long[] shape = new long[column.get("shape").size()];
    for (int axis = 0; axis < shape.length; axis++) {
      shape[axis] = column.get("shape").get(axis).asLong();
    }
    return shape;
  }

  private static Datatype datatype(JsonNode column) {
    return Datatype.valueOf(column.get("datatype").asText());
  }

  private static Object value(JsonNode json, Datatype datatype) {
    if (json.isNull()) {
      return null;
    }
    if (json.isArray()) {
      List<Object> list = new ArrayList<>();
      json.forEach(item -> list.add(value(item, datatype)));
      return list;
    }
    switch (datatype) {
      case INT32:
        return json.intValue();
      case INT64:
        return json.longValue();
      case FP32:
        return Float.parseFloat(json.asText());
      case FP64:
        return Double.parseDouble(json.asText());
      case STRING:
        return json.asText();
      case BYTES:
        return Base64.getDecoder().decode(json.asText());
      default:
        throw new IllegalArgumentException("no case had " + datatype + " yet");
    }
  }

  /** Whether a value of a result is what the case says: numbers to 1e-6. */
  static boolean equal(JsonNode expected, Object actual) {
    if (!expected.isArray()) {
      return actual instanceof Number
          ? close(Double.parseDouble(expected.asText()), ((Number) actual).doubleValue())
          : expected.asText().equals(String.valueOf(actual));
    }
    int size = 0;
    for (Object item : (Iterable<?>) actual) {
      if (size >= expected.size() || !equal(expected.get(size++), item)) {
        return false;
      }
    }
    return size == expected.size();
  }

  private static boolean close(double expected, double actual) {
    return Double.compare(expected, actual) == 0 || Math.abs(expected - actual) <= 1e-6;
  }
}
