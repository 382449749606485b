// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.schemas.JavaFieldSchema;
import org.apache.beam.sdk.schemas.annotations.DefaultSchema;
import org.apache.beam.sdk.schemas.annotations.SchemaCreate;
import org.apache.beam.sdk.schemas.annotations.SchemaFieldName;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.checkerframework.checker.nullness.qual.Nullable;

/** A penguin, and which one it is in the data. */
@DefaultSchema(JavaFieldSchema.class)
public final class Penguin {

  public final long id;
  public final String species;
  public final String island;

  @SchemaFieldName("bill_length_mm")
  public final @Nullable Double billLength;

  @SchemaFieldName("bill_depth_mm")
  public final @Nullable Double billDepth;

  @SchemaFieldName("flipper_length_mm")
  public final @Nullable Double flipperLength;

  @SchemaFieldName("body_mass_g")
  public final @Nullable Double bodyMass;

  public final @Nullable String sex;
  public final long year;

  @SchemaCreate
  public Penguin(
      long id,
      String species,
      String island,
      @Nullable Double billLength,
      @Nullable Double billDepth,
      @Nullable Double flipperLength,
      @Nullable Double bodyMass,
      @Nullable String sex,
      long year) {
    this.id = id;
    this.species = species;
    this.island = island;
    this.billLength = billLength;
    this.billDepth = billDepth;
    this.flipperLength = flipperLength;
    this.bodyMass = bodyMass;
    this.sex = sex;
    this.year = year;
  }

  /** Reads penguins from a CSV file with a header. */
  static PCollection<Penguin> read(Pipeline pipeline, String path) {
    return pipeline
        .apply("Read", TextIO.read().from(path))
        .apply("SkipHeader", Filter.by(line -> !line.startsWith("id,")))
        .apply("Parse", MapElements.into(TypeDescriptor.of(Penguin.class)).via(Penguin::parse));
  }

  private static Penguin parse(String line) {
    List<String> columns = Csv.columns(line);
    return new Penguin(
        Long.parseLong(columns.get(0)),
        columns.get(1),
        columns.get(2),
        measure(columns.get(3)),
        measure(columns.get(4)),
        measure(columns.get(5)),
        measure(columns.get(6)),
        columns.get(7).isEmpty() ? null : columns.get(7),
        Long.parseLong(columns.get(8)));
  }

  private static @Nullable Double measure(String text) {
    return text.isEmpty() ? null : Double.valueOf(text);
  }
}
