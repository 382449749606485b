// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.v1.ErrorHandling;
import io.github.beamml.expansion.v1.Hook;
import io.github.beamml.expansion.v1.MLTransformConfig;
import io.github.beamml.expansion.v1.Operation;
import io.github.beamml.expansion.v1.ResourceHints;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.PCollection;

/**
 * Prepares data for a model: learns of the whole data set what operations need, such as means and
 * vocabularies, leaves it in a directory, and transforms each element; or transforms elements with
 * what a job before has learned.
 *
 * <pre>{@code
 * Transformed<Visit> prepared = visits.apply(
 *     MLTransform.<Visit>of(Operations.scaleToZScore("age"), Operations.vocabulary("city"))
 *         .writeArtifact("gs://features/visits"));
 * prepared.output();                    // rows: the fields of Visit, age and city transformed
 * prepared.errors();                    // elements that failed, one by one, with the reason
 *
 * visits.apply(MLTransform.<Visit>readArtifact("gs://features/visits"));
 * }</pre>
 *
 * <p>Elements need a Beam schema. Its numbers, booleans, texts, bytes and arrays of them are columns
 * that operations and hooks can name; fields of other types, such as rows, maps and dates, come
 * through untouched. An element with a null fails where an operation or hook reads it, unless that
 * is one that fills it in. An array that is no tensor, for there is a null or arrays of unequal
 * sizes in it, counts as a null: it comes through untouched where none reads it.
 *
 * @param <T> the type of the elements
 */
public final class MLTransform<T> extends PTransform<PCollection<T>, Transformed<T>> {

  private static final long serialVersionUID = 1L;

  private final MLTransformConfig config;
  private final Map<String, long[]> shapes;
  private final String expansionService;

  private MLTransform(
      MLTransformConfig config, Map<String, long[]> shapes, String expansionService) {
    this.config = config;
    this.shapes = shapes;
    this.expansionService = expansionService;
  }

  /** Applies operations, in order; {@link Operations} has them. */
  public static <T> MLTransform<T> of(Operation... operations) {
    return of(
        MLTransformConfig.newBuilder().addAllOperations(Arrays.asList(operations)).build());
  }

  /** Applies what a configuration says. */
  public static <T> MLTransform<T> of(MLTransformConfig config) {
    if (config.hasTensorBatch()) {
      throw new ExpansionException("tensor_batch: the client sets it; got a value; leave it out");
    }
    return new MLTransform<>(config, Map.of(), null);
  }

  /** Applies the operations that a job before has written, with what it has learned. */
  public static <T> MLTransform<T> readArtifact(String location) {
    return of(MLTransformConfig.newBuilder().setReadArtifactLocation(location).build());
  }

  /**
   * Applies what a YAML or JSON file says, the same that Python reads.
   *
   * @throws ExpansionException with one problem a line, if the file cannot be read or is no
   *     configuration
   */
  public static <T> MLTransform<T> fromConfig(String path) {
    return of(ConfigFile.read(Path.of(path), MLTransformConfig.getDefaultInstance()));
  }

  /**
   * Applies what the operator of the service has published under a name; the service must be a
   * running one. Everything is decided but what becomes of elements that fail.
   */
  public static <T> MLTransform<T> preset(String name) {
    return of(MLTransformConfig.newBuilder().setPreset(name).build());
  }

  /** The configuration as it stands. */
  public MLTransformConfig config() {
    return config;
  }

  /**
   * Sets the directory in which workers leave what operations learn of these elements. There must
   * be no artifact in it yet.
   */
  public MLTransform<T> writeArtifact(String location) {
    return with(config.toBuilder().setWriteArtifactLocation(location));
  }

  /** Writes over an artifact that is there. */
  public MLTransform<T> overwrite() {
    return with(config.toBuilder().setOverwrite(true));
  }

  /** Adds hooks on columns before the operations; {@link Hooks} has them. */
  public MLTransform<T> preHooks(Hook... hooks) {
    return with(config.toBuilder().addAllPreHooks(Arrays.asList(hooks)));
  }

  /** Adds hooks on columns after the operations; {@link Hooks} has them. */
  public MLTransform<T> postHooks(Hook... hooks) {
    return with(config.toBuilder().addAllPostHooks(Arrays.asList(hooks)));
  }

  /** Sets what runs the operations: {@code native} or {@code TFT}. Default: {@code native}. */
  public MLTransform<T> engine(String engine) {
    return with(config.toBuilder().setEngine(engine));
  }

  /** Sets the rows that are worked on together, at most. Default: 4096. */
  public MLTransform<T> maxBatchSize(long rows) {
    return with(config.toBuilder().setMaxBatchSize(rows));
  }

  /**
   * Sets from when on errors fail the job. {@code output} has no effect here: errors always are
   * {@link Transformed#errors()}.
   */
  public MLTransform<T> errorHandling(ErrorHandling errorHandling) {
    return with(config.toBuilder().setErrorHandling(errorHandling));
  }

  /**
   * Runs the operations in another environment than the service's own: one that the operator of the
   * service has given this name.
   */
  public MLTransform<T> environment(String name) {
    return with(config.toBuilder().setEnvironment(name));
  }

  /** Sets what the workers need that run the models of {@link Operations} that embed texts. */
  public MLTransform<T> resourceHints(ResourceHints hints) {
    return with(config.toBuilder().setResourceHints(hints));
  }

  /**
   * Says the shape of an array field that is the same in all rows, as elementwise operations need
   * it; a row of another shape becomes an error. Default: any size.
   */
  public MLTransform<T> shape(String field, long... shape) {
    Map<String, long[]> more = new LinkedHashMap<>(shapes);
    more.put(field, shape.clone());
    return new MLTransform<>(config, more, expansionService);
  }

  /**
   * Sets the address of the expansion service, host:port. Default: pipeline option {@code
   * --expansionService}; without it, the client starts one.
   */
  public MLTransform<T> withExpansionService(String address) {
    return new MLTransform<>(config, shapes, address);
  }

  @Override
  public Transformed<T> expand(PCollection<T> input) {
    String address = Expanders.address(expansionService, input.getPipeline().getOptions());
    return new TransformGraph<>(input, config, shapes).expand(Expanders.at(address));
  }

  @Override
  public void populateDisplayData(DisplayData.Builder builder) {
    builder.add(DisplayData.item("config", config.toString()).withLabel("Configuration"));
  }

  private MLTransform<T> with(MLTransformConfig.Builder changed) {
    return new MLTransform<>(changed.build(), shapes, expansionService);
  }
}
