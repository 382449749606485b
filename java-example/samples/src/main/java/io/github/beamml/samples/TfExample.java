// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import com.google.protobuf.UnknownFieldSet.Field;
import java.util.List;
import org.apache.beam.sdk.values.Row;

/**
 * Rows as messages tf.train.Example, which TensorFlow's input pipelines read.
 *
 * <p>Its fields are written by their numbers, as <a
 * href="https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto">
 * feature.proto</a> has them: generated classes would bring a library for these four.
 */
final class TfExample {

  private static final int FIRST = 1;
  private static final int FLOATS = 2;
  private static final int INT64S = 3;

  private TfExample() {}

  /** An Example of a row of integers, floating numbers, texts and lists of them, none of it null. */
  static byte[] of(Row row) {
    Field.Builder features = Field.newBuilder();
    for (String name : row.getSchema().getFieldNames()) {
      Object value = row.getValue(name);
      // An entry of a map: its key, then its value.
      UnknownFieldSet entry =
          UnknownFieldSet.newBuilder()
              .addField(FIRST, bytes(ByteString.copyFromUtf8(name)))
              .addField(FIRST + 1, bytes(feature(value).toByteString()))
              .build();
      features.addLengthDelimited(entry.toByteString());
    }
    return message(FIRST, bytes(message(FIRST, features.build()).toByteString())).toByteArray();
  }

  private static UnknownFieldSet feature(Object value) {
    List<?> values = value instanceof List ? (List<?>) value : List.of(value);
    Field.Builder list = Field.newBuilder();
    int kind = INT64S;
    for (Object item : values) {
      if (item instanceof Double || item instanceof Float) {
        kind = FLOATS;
        list.addFixed32(Float.floatToIntBits(((Number) item).floatValue()));
      } else if (item instanceof Number) {
        list.addVarint(((Number) item).longValue());
      } else {
        kind = FIRST;
        list.addLengthDelimited(ByteString.copyFromUtf8((String) item));
      }
    }
    return message(kind, bytes(message(FIRST, list.build()).toByteString()));
  }

  private static UnknownFieldSet message(int number, Field field) {
    return UnknownFieldSet.newBuilder().addField(number, field).build();
  }

  private static Field bytes(ByteString bytes) {
    return Field.newBuilder().addLengthDelimited(bytes).build();
  }
}
