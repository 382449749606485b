// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.testing;

import io.github.beamml.expansion.Expander;
import io.github.beamml.expansion.Expanders;
import io.github.beamml.expansion.Models;
import io.github.beamml.expansion.tensor.SchemaFields;
import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.beam.sdk.coders.ByteArrayCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;

/**
 * A model in this JVM that stands in for an expansion service, on DirectRunner, without Python. All
 * else is real: features are extracted, packed and carried, windows restored, errors told apart.
 *
 * <pre>{@code
 * Schema schema = Schema.builder().addStringField("species").build();
 * try (FakeRunInference fake =
 *     FakeRunInference.returning(schema, f -> Row.withSchema(schema).addValue("setosa").build())) {
 *   pipeline.getOptions().as(ExpansionOptions.class).setExpansionService(fake.address());
 *   …                              // the pipeline under test, unchanged
 * }
 * }</pre>
 *
 * <p>Models and hooks of the configuration are not run, nor checked: the function gets the features
 * as they are, as a row of one field for each, and returns what would be left after the post hooks.
 * If it throws, its element becomes an error of stage inference; a null feature makes one of stage
 * decode, as in the service where no impute hook fills it in. Of {@link
 * io.github.beamml.expansion.RunInference#modelUrisFrom} the newest is each row's model id.
 */
public final class FakeRunInference implements Expander, AutoCloseable {

  private static final AtomicInteger COUNT = new AtomicInteger();

  private final String address = "fake:" + COUNT.incrementAndGet();
  private final Schema predictions;
  private final SerializableFunction<Row, Row> model;

  private FakeRunInference(Schema predictions, SerializableFunction<Row, Row> model) {
    this.predictions = predictions;
    this.model = model;
  }

  /**
   * Creates a fake and makes it answer to its {@link #address}, until it is closed.
   *
   * @param predictions the schema of what the function returns: numbers, booleans, strings, bytes
   *     and arrays of them
   * @param model from a row of features to a row of predictions
   */
  public static FakeRunInference returning(
      Schema predictions, SerializableFunction<Row, Row> model) {
    FakeRunInference fake = new FakeRunInference(predictions, model);
    Expanders.register(fake.address, fake);
    return fake;
  }

  /** What to give to {@code withExpansionService} or {@code --expansionService}. */
  public String address() {
    return address;
  }

  @Override
  public Expansion expand(
      RunInferenceConfig config,
      PCollection<byte[]> batches,
      Optional<PCollection<String>> modelUris) {
    TupleTag<byte[]> output = new TupleTag<>("output");
    TupleTag<byte[]> errors = new TupleTag<>("errors");
    NewestUri newest = modelUris.map(NewestUri::of).orElse(null);
    FakeFn fn =
        new FakeFn(
            config.getTensorBatch(),
            columns(),
            model,
            modelColumns(config),
            newest,
            output,
            errors);
    ParDo.MultiOutput<byte[], byte[]> fake =
        ParDo.of(fn).withOutputTags(output, TupleTagList.of(errors));
    PCollectionTuple results =
        batches.apply("Fake", newest == null ? fake : fake.withSideInputs(newest.view()));
    return new Expansion(
        results.get(output).setCoder(ByteArrayCoder.of()),
        results.get(errors).setCoder(ByteArrayCoder.of()),
        columns(),
        List.of(),
        Models.columnsOf(config));
  }

  /** What each row says of the models; a version where models are refreshed, always the same. */
  private static Map<String, String> modelColumns(RunInferenceConfig config) {
    Map<String, String> columns = new LinkedHashMap<>();
    Models.columnsOf(config).forEach(column -> columns.put(column, "fake"));
    columns.put("model_id", Models.idOfAll(config));
    return columns;
  }

  private List<Field> columns() {
    List<Field> columns = new ArrayList<>();
    for (Schema.Field field : predictions.getFields()) {
      columns.add(
          SchemaFields.column(field.getName(), field.getType())
              .orElseThrow(
                  () ->
                      new IllegalArgumentException(
                          "no model returns a " + field.getType() + ": " + field.getName())));
    }
    return columns;
  }

  /** Makes the address unknown again. */
  @Override
  public void close() {
    Expanders.unregister(address);
  }
}
