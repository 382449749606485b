// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assume.assumeFalse;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.util.JsonFormat;
import io.github.beamml.expansion.v1.Field;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameters;

/** The cases in tests/conformance/tensor_batch, which Python reads too. */
@RunWith(Parameterized.class)
public class TensorBatchConformanceTest {

  private final JsonNode json;
  private final List<Field> fields = new ArrayList<>();
  private final byte[] bytes;

  public TensorBatchConformanceTest(String name, Path path) throws IOException {
    json = new ObjectMapper().readTree(Files.readAllBytes(path));
    bytes = Base64.getDecoder().decode(json.get("base64").asText());
    for (JsonNode column : json.get("columns")) {
      Field.Builder field = Field.newBuilder();
      JsonFormat.parser().merge(column.get("field").toString(), field);
      fields.add(field.build());
    }
  }

  @Parameters(name = "{0}")
  public static List<Object[]> cases() throws IOException {
    try (Stream<Path> paths =
        Files.list(Paths.get(System.getProperty("conformance"), "tensor_batch"))) {
      return paths
          .filter(path -> path.toString().endsWith(".json"))
          .sorted()
          .map(path -> new Object[] {path.getFileName().toString(), path})
          .collect(Collectors.toList());
    }
  }

  @Test
  public void readingTheBytesGivesTheValues() {
    TensorBatchReader batch = new TensorBatchReader(bytes);
    assertEquals(json.get("rows").asInt(), batch.rows());
    for (int i = 0; i < fields.size(); i++) {
      ColumnReader column = batch.column(fields.get(i).getName());
      assertEquals(fields.get(i), column.field());
      for (int row = 0; row < batch.rows(); row++) {
        Object expected = value(json.get("columns").get(i).get("values").get(row), fields.get(i));
        assertEquals(
            fields.get(i).getName() + " of row " + row,
            comparable(expected),
            comparable(column.value(row)));
      }
    }
  }

  @Test
  public void writingTheValuesGivesTheBytes() {
    assumeFalse(
        "Java has no type that is sent as FP16",
        fields.stream().anyMatch(f -> f.getDatatype().equals("FP16")));
    TensorBatchWriter writer = new TensorBatchWriter(fields);
    for (int row = 0; row < json.get("rows").asInt(); row++) {
      writer.beginRow();
      for (int i = 0; i < fields.size(); i++) {
        RowValues.write(
            writer.column(i),
            value(json.get("columns").get(i).get("values").get(row), fields.get(i)));
      }
      writer.endRow();
    }
    assertArrayEquals(bytes, writer.finish());
  }

  private static Object value(JsonNode json, Field field) {
    if (json.isNull()) {
      return null;
    }
    if (json.isArray()) {
      List<Object> list = new ArrayList<>();
      json.forEach(item -> list.add(value(item, field)));
      return list;
    }
    switch (Datatype.valueOf(field.getDatatype())) {
      case BOOL:
        return json.asBoolean();
      case INT8:
        return (byte) json.intValue();
      case UINT8:
      case INT16:
        return (short) json.intValue();
      case UINT16:
      case INT32:
        return json.intValue();
      case UINT32:
      case UINT64:
      case INT64:
        return json.longValue();
      case FP16:
      case FP32:
        return Float.parseFloat(json.asText());
      case FP64:
        return Double.parseDouble(json.asText());
      case STRING:
        return json.asText();
      default:
        return Base64.getDecoder().decode(json.asText());
    }
  }

  /** byte[] has no equals of its own. */
  private static Object comparable(Object value) {
    if (value instanceof List) {
      return ((List<?>) value)
          .stream().map(TensorBatchConformanceTest::comparable).collect(Collectors.toList());
    }
    return value instanceof byte[] ? Base64.getEncoder().encodeToString((byte[]) value) : value;
  }
}
