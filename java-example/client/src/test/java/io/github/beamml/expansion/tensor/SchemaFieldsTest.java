// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;

import java.util.UUID;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.schemas.logicaltypes.EnumerationType;
import org.apache.beam.sdk.schemas.logicaltypes.FixedBytes;
import org.apache.beam.sdk.schemas.logicaltypes.OneOfType;
import org.apache.beam.sdk.schemas.logicaltypes.PassThroughLogicalType;
import org.junit.Test;

/** What Beam knows schemas by. */
public class SchemaFieldsTest {

  /** A logical type that Beam's proto has no name for. */
  private static final class Named extends PassThroughLogicalType<String> {
    private static final long serialVersionUID = 1L;

    Named(String identifier) {
      super(identifier, FieldType.STRING, "", FieldType.STRING);
    }
  }

  private static UUID id(FieldType type) {
    return SchemaFields.identified(Schema.builder().addField("a", type).build()).getUUID();
  }

  @Test
  public void schemasThatDifferInAnArgumentOfALogicalTypeHaveOtherIds() {
    FieldType sixteen = FieldType.logicalType(FixedBytes.of(16));
    FieldType other = FieldType.logicalType(FixedBytes.of(32));
    assertEquals(id(sixteen), id(FieldType.logicalType(FixedBytes.of(16))));
    assertNotEquals(id(sixteen), id(other));
    assertNotEquals(id(FieldType.array(sixteen)), id(FieldType.array(other)));
    assertNotEquals(
        id(FieldType.map(FieldType.STRING, sixteen)), id(FieldType.map(FieldType.STRING, other)));
    assertNotEquals(
        id(FieldType.logicalType(EnumerationType.create("x", "y"))),
        id(FieldType.logicalType(EnumerationType.create("x", "z"))));
  }

  @Test
  public void schemasThatDifferInTheNameOfALogicalTypeHaveOtherIds() {
    FieldType mine = FieldType.logicalType(new Named("mine"));
    FieldType other = FieldType.logicalType(new Named("other"));
    assertEquals(id(mine), id(FieldType.logicalType(new Named("mine"))));
    assertNotEquals(id(mine), id(other));
    assertNotEquals(id(FieldType.iterable(mine)), id(FieldType.iterable(other)));
    assertNotEquals(
        id(FieldType.map(FieldType.STRING, mine)), id(FieldType.map(FieldType.STRING, other)));
  }

  @Test
  public void schemasOfOneContentHaveOneIdWhateverTheIdsOfSchemasWithin() {
    assertEquals(id(FieldType.STRING), id(FieldType.STRING));
    assertNotEquals(id(FieldType.STRING), id(FieldType.STRING.withNullable(true)));
    assertEquals(id(FieldType.row(inner())), id(FieldType.row(inner())));
    assertEquals(
        id(FieldType.array(FieldType.row(inner()))), id(FieldType.array(FieldType.row(inner()))));
    FieldType oneOf =
        FieldType.logicalType(OneOfType.create(Schema.Field.of("row", FieldType.row(inner()))));
    FieldType again =
        FieldType.logicalType(OneOfType.create(Schema.Field.of("row", FieldType.row(inner()))));
    assertEquals(id(oneOf), id(again));
    assertNotEquals(id(FieldType.row(inner())), id(FieldType.row(Schema.builder().build())));
  }

  private static Schema inner() {
    Schema schema = Schema.builder().addStringField("city").build();
    schema.setUUID(UUID.randomUUID());
    return schema;
  }
}
