// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.util.JsonFormat;
import io.github.beamml.expansion.RunInference;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.values.Row;

/**
 * One file of tests/conformance/run_inference: a configuration, rows, and what each row must
 * become.
 */
final class ConformanceCase {

  /** The field that tells rows apart, beside the features. */
  static final String NUMBER = "row_number";

  final String name;
  final JsonNode expected;

  /** A part of the reason for which the case is refused at expansion; null if it is not. */
  final String refused;

  /** Whether it needs an NVIDIA GPU. */
  final boolean needsGpu;

  private final JsonNode json;
  private final RunInferenceConfig config;

  /** Reads a case; {@code models} is where its model files are. */
  ConformanceCase(Path path, Path models) throws IOException {
    name = path.getFileName().toString().replace(".json", "");
    json =
        new ObjectMapper().readTree(Files.readString(path).replace("${models}", models.toString()));
    expected = json.get("expected");
    refused = json.has("refused") ? json.get("refused").asText() : null;
    needsGpu = json.has("needs") && json.get("needs").asText().equals("gpu");
    RunInferenceConfig.Builder builder = RunInferenceConfig.newBuilder();
    JsonFormat.parser().merge(json.get("config").toString(), builder);
    config = builder.build();
  }

  /** Cases of one stack can run in one process; TensorFlow and what else there is can not. */
  String stack() {
    return config.getModel().hasTensorflow() ? "tensorflow" : "others";
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
    return schema.addInt32Field(NUMBER).build();
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

  RunInference<Row, Row> inference() {
    RunInference<Row, Row> inference = RunInference.of(config);
    for (JsonNode column : json.get("columns")) {
      long[] shape = new long[column.get("shape").size()];
      for (int axis = 0; axis < shape.length; axis++) {
        shape[axis] = column.get("shape").get(axis).asLong();
      }
      inference = inference.feature(column.get("name").asText(), shape);
    }
    return inference;
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

  /** Whether a value of a prediction is what the case says: numbers to 1e-6. */
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
