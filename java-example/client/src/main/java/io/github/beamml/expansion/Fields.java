// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.Field;
import java.util.Arrays;

/** Declares columns of models and hooks that do not say by themselves what they take and return. */
public final class Fields {

  private Fields() {}

  /**
   * A named column.
   *
   * @param shape of one row; nothing is a scalar, -1 a size that varies
   */
  public static Field of(String name, Datatype datatype, long... shape) {
    Field.Builder field = Field.newBuilder().setName(name).setDatatype(datatype.name());
    Arrays.stream(shape).forEach(field::addShape);
    return field.build();
  }
}
