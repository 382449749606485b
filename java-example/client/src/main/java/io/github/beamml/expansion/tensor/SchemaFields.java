// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import com.google.common.primitives.Bytes;
import io.github.beamml.expansion.v1.Field;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Collectors;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.schemas.SchemaTranslation;

/**
 * Columns as fields of a Beam schema, and back: a tensor is nested arrays, with a dimension of
 * unknown size for each.
 */
public final class SchemaFields {

  private SchemaFields() {}

  /**
   * The column that holds a field of this type; none for rows, maps, logical types and other types
   * that no tensor holds. Arrays get unknown dimensions.
   */
  public static Optional<Field> column(String name, FieldType type) {
    Field.Builder column = Field.newBuilder().setName(name);
    FieldType element = type;
    while (element.getTypeName().isCollectionType()) {
      column.addShape(-1);
      element = element.getCollectionElementType();
    }
    return Datatype.ofFieldType(element)
        .map(datatype -> column.setDatatype(datatype.name()).build());
  }

  /**
   * The field type that holds a column.
   *
   * @throws TensorBatchException if this version of the client does not know its datatype
   */
  public static FieldType fieldType(Field column) {
    FieldType type = Datatype.named(column.getDatatype()).fieldType();
    for (int axis = 0; axis < column.getShapeCount(); axis++) {
      type = FieldType.array(type);
    }
    return type;
  }

  /** The schema of a row of these columns. */
  public static Schema schema(List<Field> columns) {
    Schema.Builder schema = Schema.builder();
    for (Field column : columns) {
      schema.addField(column.getName(), fieldType(column));
    }
    return identified(schema.build());
  }

  /**
   * Gives a schema an id that follows from its content, and from all of it. Beam gives a random one
   * otherwise, and then two expansions of one pipeline differ and a streaming job cannot be updated;
   * and Beam takes schemas of one id for the same, so that others must not share it.
   */
  public static Schema identified(Schema schema) {
    // Without ids, its own and those of schemas within it: Beam makes up new ones for each object.
    byte[] proto = SchemaTranslation.schemaToProto(schema, false, false).toByteArray();
    byte[] names = logicalTypes(FieldType.row(schema)).getBytes(StandardCharsets.UTF_8);
    schema.setUUID(UUID.nameUUIDFromBytes(Bytes.concat(proto, names)));
    return schema;
  }

  /** The names of logical types, of which Beam's proto has only those that other languages know. */
  private static String logicalTypes(FieldType type) {
    switch (type.getTypeName()) {
      case ROW:
        return type.getRowSchema().getFields().stream()
            .map(field -> logicalTypes(field.getType()))
            .collect(Collectors.joining(",", "(", ")"));
      case ARRAY:
      case ITERABLE:
        return logicalTypes(type.getCollectionElementType());
      case MAP:
        return logicalTypes(type.getMapKeyType()) + ":" + logicalTypes(type.getMapValueType());
      case LOGICAL_TYPE:
        return type.getLogicalType().getIdentifier()
            + logicalTypes(type.getLogicalType().getBaseType());
      default:
        return "";
    }
  }
}
