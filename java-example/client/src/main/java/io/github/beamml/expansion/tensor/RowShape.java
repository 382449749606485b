// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

import io.github.beamml.expansion.v1.Field;
import java.util.Arrays;

/** The shape of one row of a column, of which some dimensions may differ from row to row. */
final class RowShape {

  private final int[] sizes;
  private final int unknowns;

  /** The product of the known dimensions. */
  private final int knownElements;

  RowShape(Field field) {
    sizes = new int[field.getShapeCount()];
    int product = 1;
    int negative = 0;
    for (int axis = 0; axis < sizes.length; axis++) {
      sizes[axis] = Math.toIntExact(field.getShape(axis));
      if (sizes[axis] < 0) {
        negative++;
      } else {
        product = Math.multiplyExact(product, sizes[axis]);
      }
    }
    unknowns = negative;
    knownElements = product;
  }

  int rank() {
    return sizes.length;
  }

  /** Whether a dimension differs from row to row. */
  boolean ragged() {
    return unknowns > 0;
  }

  /** Elements of a row; of a ragged column, of its known dimensions. */
  int elements() {
    return knownElements;
  }

  /** The shape with 0 for unknown dimensions. */
  int[] known() {
    int[] known = sizes.clone();
    for (int axis = 0; axis < known.length; axis++) {
      known[axis] = Math.max(0, known[axis]);
    }
    return known;
  }

  /** Whether a row of a shape belongs to the column. */
  boolean admits(int[] shape) {
    boolean fits = shape.length == sizes.length;
    for (int axis = 0; fits && axis < sizes.length; axis++) {
      fits = sizes[axis] < 0 || sizes[axis] == shape[axis];
    }
    return fits;
  }

  /**
   * The shape of a row of this many elements, or null if it does not follow: exactly one dimension
   * is unknown.
   */
  int[] ofElements(int count) {
    if (unknowns != 1 || (knownElements == 0 ? count != 0 : count % knownElements != 0)) {
      return null;
    }
    int[] shape = sizes.clone();
    for (int axis = 0; axis < shape.length; axis++) {
      if (shape[axis] < 0) {
        shape[axis] = knownElements == 0 ? 0 : count / knownElements;
      }
    }
    return shape;
  }

  @Override
  public String toString() {
    return Arrays.toString(sizes);
  }
}
