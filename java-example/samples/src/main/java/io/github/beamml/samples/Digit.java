// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import org.apache.beam.sdk.schemas.JavaFieldSchema;
import org.apache.beam.sdk.schemas.annotations.DefaultSchema;
import org.apache.beam.sdk.schemas.annotations.SchemaCreate;

/**
 * A handwritten digit: its id, what it is, and 8 × 8 pixels from 0 to 16, as one line of the CSV
 * file has them.
 */
@DefaultSchema(JavaFieldSchema.class)
public final class Digit {

  static final String HEADER_START = "id,";
  static final int PIXELS = 64;

  public final String id;
  public final String label;
  public final String values;

  @SchemaCreate
  public Digit(String id, String label, String values) {
    this.id = id;
    this.label = label;
    this.values = values;
  }

  static Digit parse(String line) {
    String[] parts = line.split(",", 3);
    return new Digit(parts[0], parts.length > 1 ? parts[1] : "", parts.length > 2 ? parts[2] : "");
  }

  /** The pixels; a line that does not hold numbers fails here, and its digit becomes an error. */
  float[] pixels() {
    String[] texts = values.split(",");
    float[] pixels = new float[texts.length];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = Float.parseFloat(texts[i]);
    }
    return pixels;
  }
}
