// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor.JavaType;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.constructor.SafeConstructor;
import org.yaml.snakeyaml.error.YAMLException;

/**
 * A configuration in YAML or JSON, under the names of the proto messages: the file that Python
 * reads too.
 *
 * <p>A field without a value is unset, and 256.0 is an integer, as in Python. Only what a message
 * cannot say is checked here, names and kinds of values; the service checks the rest.
 */
final class ConfigFile {

  private final List<String> problems = new ArrayList<>();

  private ConfigFile() {}

  /**
   * Reads a file.
   *
   * @param type any message of the type that it holds
   * @throws ExpansionException with one problem a line, if it cannot be read or is no configuration
   */
  static <M extends Message> M read(Path path, M type) {
    try {
      return parse(path.toString(), Files.readString(path), type);
    } catch (NoSuchFileException e) {
      throw new ExpansionException(
          path + ": there is no such file in " + Path.of("").toAbsolutePath(), e);
    } catch (IOException e) {
      throw new ExpansionException(path + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /** Parses text; {@code name} stands for it in messages. */
  @SuppressWarnings("unchecked")
  static <M extends Message> M parse(String name, String text, M type) {
    Object value;
    try {
      // JSON is YAML, so one parser reads both.
      value = new Yaml(new SafeConstructor(new LoaderOptions())).load(text);
    } catch (YAMLException e) {
      throw new ExpansionException(name + ": neither YAML nor JSON: " + e.getMessage(), e);
    }
    ConfigFile file = new ConfigFile();
    file.checkMessage("", value, type.getDescriptorForType());
    if (!file.problems.isEmpty()) {
      throw new ExpansionException(
          file.problems.stream().map(p -> name + ": " + p).collect(Collectors.joining("\n")));
    }
    Message.Builder config = type.newBuilderForType();
    try {
      JsonFormat.parser().merge(new ObjectMapper().writeValueAsString(value), config);
    } catch (InvalidProtocolBufferException | JsonProcessingException e) {
      throw new ExpansionException(name + ": " + e.getMessage(), e);
    }
    return (M) config.build();
  }

  private void checkMessage(String path, Object value, Descriptor type) {
    if (!(value instanceof Map)) {
      problem(path, "expected a mapping with " + names(type) + "; got " + show(value));
      return;
    }
    for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
      String name = String.valueOf(entry.getKey());
      FieldDescriptor field = type.findFieldByName(name);
      if (field == null) {
        problem(join(path, name), "there is no such field; expected one of " + names(type));
      } else if (entry.getValue() != null) {
        checkField(join(path, name), entry.getValue(), field);
      }
    }
    // JsonFormat would count an unset member of a oneof as a second one.
    ((Map<?, ?>) value).values().removeIf(Objects::isNull);
  }

  private void checkField(String path, Object value, FieldDescriptor field) {
    if (field.isMapField()) {
      if (!(value instanceof Map)) {
        problem(path, "expected a mapping; got " + show(value));
        return;
      }
      FieldDescriptor keyField = field.getMessageType().findFieldByName("key");
      FieldDescriptor valueField = field.getMessageType().findFieldByName("value");
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        // YAML reads the key no as false, and 010 as 8.
        checkOne(path, entry.getKey(), keyField);
        checkOne(join(path, String.valueOf(entry.getKey())), entry.getValue(), valueField);
      }
    } else if (field.isRepeated()) {
      if (!(value instanceof List)) {
        problem(path, "expected a list; got " + show(value));
        return;
      }
      int index = 0;
      for (Object item : (List<?>) value) {
        checkOne(path + "[" + index++ + "]", item, field);
      }
    } else {
      checkOne(path, value, field);
    }
  }

  private void checkOne(String path, Object value, FieldDescriptor field) {
    JavaType type = field.getJavaType();
    if (type == JavaType.MESSAGE) {
      checkMessage(path, value, field.getMessageType());
    } else if (type == JavaType.STRING && !(value instanceof String)) {
      problem(path, "expected text; got " + show(value) + "; put it in quotes");
    } else if (type == JavaType.BOOLEAN && !(value instanceof Boolean)) {
      problem(path, "expected true or false; got " + show(value));
    } else if (type == JavaType.INT && !isInteger(value, 0x1p31)
        || type == JavaType.LONG && !isInteger(value, 0x1p63)) {
      problem(path, "expected an integer; got " + show(value));
    } else if ((type == JavaType.DOUBLE || type == JavaType.FLOAT) && !(value instanceof Number)) {
      problem(path, "expected a number; got " + show(value));
    }
  }

  private static boolean isInteger(Object value, double limit) {
    if (value instanceof Double) {
      double number = (Double) value;
      return Math.abs(number) < limit && number == Math.rint(number);
    }
    return value instanceof Integer
        || value instanceof Long && (limit == 0x1p63 || Math.abs((double) (Long) value) < limit);
  }

  private void problem(String path, String message) {
    problems.add((path.isEmpty() ? "" : path + ": ") + message);
  }

  private static String join(String path, String name) {
    return path.isEmpty() ? name : path + "." + name;
  }

  private static String names(Descriptor type) {
    return type.getFields().stream()
        .map(FieldDescriptor::getName)
        .collect(Collectors.joining(", "));
  }

  private static String show(Object value) {
    return value == null
        ? "nothing"
        : value instanceof String ? "\"" + value + "\"" : value.toString();
  }
}
