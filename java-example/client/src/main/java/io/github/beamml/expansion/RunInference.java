// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.Arm;
import io.github.beamml.expansion.v1.Batching;
import io.github.beamml.expansion.v1.ErrorHandling;
import io.github.beamml.expansion.v1.Hook;
import io.github.beamml.expansion.v1.InputFeature;
import io.github.beamml.expansion.v1.Model;
import io.github.beamml.expansion.v1.OutputColumn;
import io.github.beamml.expansion.v1.PerKeyModels;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import io.github.beamml.expansion.v1.Split;
import java.io.Serializable;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.VoidCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TupleTag;

/**
 * Runs a model over a collection: features → pre hooks → model → post hooks → predictions.
 *
 * <pre>{@code
 * Predictions<Flower> predictions = flowers.apply(
 *     RunInference.<Flower>of(Models.onnx("models/iris.onnx"))
 *         .features("sepal_length", "sepal_width", "petal_length", "petal_width")
 *         .postHooks(Hooks.labels("class", "species", List.of("setosa", "versicolor", "virginica"))));
 * predictions.output().apply(MapElements.into(strings()).via(p -> p.element() + " is " + p.getString("species")));
 * }</pre>
 *
 * <p>Elements may be of any type, with any coder, in any windows. They come back as they went in,
 * beside their predictions. One that cannot be predicted becomes an {@link InferenceError}; its
 * neighbours are not affected.
 *
 * <p>Immutable: each method returns a changed copy.
 *
 * @param <T> the type of the elements
 * @param <C> the type of what comes back of them: {@code T}, unless {@link #carry} says otherwise
 */
public final class RunInference<T, C> extends PTransform<PCollection<T>, Predictions<C>> {

  private static final long serialVersionUID = 1L;

  static final TupleTag<byte[]> BATCHES = new TupleTag<>("batches");

  private final RunInferenceConfig config;
  private final List<FeatureChoice<T>> features;
  private final CarryChoice<T, C> carry;
  private final String expansionService;
  private final long wireBatchBytes;

  private RunInference(
      RunInferenceConfig config,
      List<FeatureChoice<T>> features,
      CarryChoice<T, C> carry,
      String expansionService,
      long wireBatchBytes) {
    this.config = config;
    this.features = features;
    this.carry = carry;
    this.expansionService = expansionService;
    this.wireBatchBytes = wireBatchBytes;
  }

  /** A feature, once the schema of the elements is known; null where they have none. */
  private interface FeatureChoice<T> extends Serializable {
    Feature<? super T> of(Schema schema);
  }

  /**
   * What is carried, once the coder of the elements and the features that are fields of their
   * schema are known.
   */
  interface CarryChoice<T, C> extends Serializable {
    Carry<T, C> of(Coder<T> coder, List<String> featureFields);
  }

  /** Runs a model; {@link Models} has them. */
  public static <T> RunInference<T, T> of(Model model) {
    return of(RunInferenceConfig.newBuilder().setModel(model).build());
  }

  /** Runs what a configuration says; features are added to it here. */
  public static <T> RunInference<T, T> of(RunInferenceConfig config) {
    if (config.hasTensorBatch()) {
      throw new ExpansionException("tensor_batch: the client sets it; got a value; leave it out");
    }
    return new RunInference<>(config, List.of(), CarryRow::choose, null, BatchLimits.DEFAULT_BYTES);
  }

  /**
   * An A/B test: runs one of several models on each element, as a hash of the element's value in a
   * column decides, by weight. Prediction column {@code arm} says which.
   *
   * @param column a feature (text, bytes or integer); elements of one value go to one arm
   * @param arms {@link Models#arm} makes them
   */
  public static <T> RunInference<T, T> split(String column, Arm... arms) {
    return of(Split.newBuilder().setColumn(column).addAllArms(Arrays.asList(arms)).build());
  }

  /** An A/B test with every setting that the message has, such as the name of its column. */
  public static <T> RunInference<T, T> of(Split split) {
    return of(RunInferenceConfig.newBuilder().setSplit(split).build());
  }

  /**
   * Runs what a YAML or JSON file says, the same that Python reads; features are added to it here.
   *
   * <p>{@code error_handling.output} of the file names a row output of Python's, and has no effect
   * here: elements that cannot be predicted always are {@link Predictions#errors()}.
   *
   * @throws ExpansionException with one problem a line, if the file cannot be read or is no
   *     configuration
   */
  public static <T> RunInference<T, T> fromConfig(String path) {
    return of(ConfigFile.read(Path.of(path)));
  }

  /** The configuration as it stands. */
  public RunInferenceConfig config() {
    return config;
  }

  /** Takes the model file from elsewhere than the configuration says. */
  public RunInference<T, C> modelUri(String uri) {
    return with(config.toBuilder().setModel(Models.withUri(config.getModel(), uri)));
  }

  /** Sets the id that predictions and errors carry. Default: the model's uri. */
  public RunInference<T, C> modelId(String id) {
    return model(config.getModel().toBuilder().setModelId(id));
  }

  /**
   * Sets where the model runs: {@code cpu}, {@code cuda}, {@code cuda:1} and so on, or {@code auto}.
   * Workers choose; the service needs no GPU. Default: {@code auto}, a GPU where there is one.
   */
  public RunInference<T, C> device(String device) {
    return model(config.getModel().toBuilder().setDevice(device));
  }

  /**
   * Sets the threads that one call of the model may use on the CPU. Default: the worker's cores
   * divided by its processes; 1 for scikit-learn.
   */
  public RunInference<T, C> threads(int threads) {
    return model(config.getModel().toBuilder().setThreads(threads));
  }

  /** Runs the model once on this many rows of zeros when it is loaded. Default: 0, not at all. */
  public RunInference<T, C> warmUpRows(int rows) {
    return model(config.getModel().toBuilder().setWarmUpRows(rows));
  }

  /** Sets an environment variable of the process that loads the model. */
  public RunInference<T, C> envVar(String name, String value) {
    return model(config.getModel().toBuilder().putEnvVars(name, value));
  }

  /** Shares one copy of the model among all worker processes of a machine. */
  public RunInference<T, C> largeModel() {
    return model(config.getModel().toBuilder().setLargeModel(true));
  }

  /** Shares exactly so many copies of the model among all worker processes of a machine. */
  public RunInference<T, C> modelCopies(int copies) {
    return model(config.getModel().toBuilder().setModelCopies(copies));
  }

  /**
   * Runs a model of its own for each key: the same kind of model, from another file. Elements whose
   * key has none become errors, as do those of a key whose model does not load.
   *
   * @param column a feature (text or integer) that holds the key
   * @param uris the files, by key; the model's own uri is not read
   */
  public RunInference<T, C> perKey(String column, Map<String, String> uris) {
    return perKey(PerKeyModels.newBuilder().setColumn(column).putAllUris(uris).build());
  }

  /**
   * Runs a model of its own for each key, from a file that is named after it: the model's uri holds
   * <code>{key}</code>.
   *
   * @param column a feature (text or integer) that holds the key
   * @param signatureKey the key whose model says, at expansion, what all of them take and return
   */
  public RunInference<T, C> perKeyTemplate(String column, String signatureKey) {
    return perKey(
        PerKeyModels.newBuilder().setColumn(column).setSignatureKey(signatureKey).build());
  }

  /** Runs a model of its own for each key, with every setting, such as how many are in memory. */
  public RunInference<T, C> perKey(PerKeyModels models) {
    return with(config.toBuilder().setPerKey(models));
  }

  /**
   * Looks so often for another version of the model's files, and takes it into use between two
   * batches; {@link Prediction#modelVersion} says which it was. Default: 0, never.
   */
  public RunInference<T, C> refreshIntervalSecs(double seconds) {
    return model(config.getModel().toBuilder().setRefreshIntervalSecs(seconds));
  }

  private RunInference<T, C> model(Model.Builder model) {
    return with(config.toBuilder().setModel(model));
  }

  /**
   * Adds features that are fields of the elements' schema: numbers, booleans, strings, bytes, and
   * arrays of numbers and booleans. Arrays of strings or bytes need a size: {@link #feature(String,
   * long...)}.
   */
  public RunInference<T, C> features(String... fields) {
    RunInference<T, C> changed = this;
    for (String field : fields) {
      changed = changed.feature(field);
    }
    return changed;
  }

  /**
   * Adds a feature that is a field of the elements' schema.
   *
   * @param shape of one row, for an array field whose size is the same in all rows; a row of
   *     another size becomes an error. Default: any size; required for arrays of strings and bytes
   */
  public RunInference<T, C> feature(String field, long... shape) {
    long[] known = shape.clone();
    return with(
        schema -> {
          if (schema == null) {
            throw new IllegalArgumentException(
                "feature \""
                    + field
                    + "\": the elements have no Beam schema; give it with Feature.of…");
          }
          return FieldFeature.of(schema, field, known);
        });
  }

  /** Adds a feature that a function makes of an element. */
  public RunInference<T, C> feature(Feature<? super T> feature) {
    return with(schema -> feature);
  }

  /**
   * Says which columns feed an input of the model. Default: the column of its name; a model with
   * one input of another name takes all features, joined in order.
   */
  public RunInference<T, C> input(String name, String... columns) {
    return with(
        config.toBuilder()
            .addInputs(
                InputFeature.newBuilder().setName(name).addAllColumns(Arrays.asList(columns))));
  }

  /**
   * Keeps an output of the model, as a prediction column of this name. Default: all outputs, under
   * their own names.
   */
  public RunInference<T, C> output(String source, String name) {
    return with(
        config.toBuilder().addOutputs(OutputColumn.newBuilder().setSource(source).setName(name)));
  }

  /**
   * Keeps an output of the model, and says what it holds, where the model's own signature does not.
   */
  public RunInference<T, C> output(String source, String name, Datatype datatype, long... shape) {
    OutputColumn.Builder output =
        OutputColumn.newBuilder().setSource(source).setName(name).setDatatype(datatype.name());
    Arrays.stream(shape).forEach(output::addShape);
    return with(config.toBuilder().addOutputs(output));
  }

  /** Adds operations on features, before the model; {@link Hooks} has them. */
  public RunInference<T, C> preHooks(Hook... hooks) {
    return with(config.toBuilder().addAllPreHooks(Arrays.asList(hooks)));
  }

  /** Adds operations on predictions, after the model; {@link Hooks} has them. */
  public RunInference<T, C> postHooks(Hook... hooks) {
    return with(config.toBuilder().addAllPostHooks(Arrays.asList(hooks)));
  }

  /** Sets the rows in one batch of the model, at most. Default: 1024. */
  public RunInference<T, C> maxBatchSize(int rows) {
    return batching(config.getBatching().toBuilder().setMaxBatchSize(rows).build());
  }

  /** Sets how rows are grouped for the model. */
  public RunInference<T, C> batching(Batching batching) {
    return with(config.toBuilder().setBatching(batching));
  }

  /**
   * Sets from when on errors fail the job, and how long a call of the model may take. {@code output}
   * has no effect here: errors always are {@link Predictions#errors()}.
   */
  public RunInference<T, C> errorHandling(ErrorHandling errorHandling) {
    return with(config.toBuilder().setErrorHandling(errorHandling));
  }

  /** Sets the bytes of the batches that cross the wire, at most. Default: 4 MiB. */
  public RunInference<T, C> wireBatchBytes(long bytes) {
    return new RunInference<>(config, features, carry, expansionService, bytes);
  }

  /** Gives the elements back as they are. This is the default. */
  public RunInference<T, T> carryElement() {
    return carry(CarryRow::choose);
  }

  /**
   * Gives back what a function makes of an element, such as its key, instead of all of it.
   *
   * @param function must not throw, also for an element that cannot be predicted: there would be
   *     nothing to say which one that is, so an {@link ExpansionException} fails the bundle
   */
  public <D> RunInference<T, D> carry(SerializableFunction<? super T, D> function, Coder<D> coder) {
    return carry((elementCoder, featureFields) -> Carry.function(function, coder));
  }

  /** Gives back nothing: {@link Prediction#element()} is null. */
  public RunInference<T, Void> carryNothing() {
    return carry(element -> null, VoidCoder.of());
  }

  /**
   * Sets the address of the expansion service, host:port. Default: pipeline option {@code
   * --expansionService}; without it, the client starts one.
   */
  public RunInference<T, C> withExpansionService(String address) {
    return new RunInference<>(config, features, carry, address, wireBatchBytes);
  }

  @Override
  public Predictions<C> expand(PCollection<T> input) {
    Schema schema = InferenceGraph.schemaOf(input);
    List<Feature<? super T>> chosen = new ArrayList<>();
    for (FeatureChoice<T> feature : features) {
      chosen.add(feature.of(schema));
    }
    String address =
        expansionService != null
            ? expansionService
            : input.getPipeline().getOptions().as(ExpansionOptions.class).getExpansionService();
    return new InferenceGraph<>(input, config, chosen, carry, wireBatchBytes)
        .expand(Expanders.at(address));
  }

  @Override
  public void populateDisplayData(DisplayData.Builder builder) {
    builder.add(DisplayData.item("config", config.toString()).withLabel("Configuration"));
  }

  private RunInference<T, C> with(RunInferenceConfig.Builder changed) {
    return new RunInference<>(changed.build(), features, carry, expansionService, wireBatchBytes);
  }

  private RunInference<T, C> with(FeatureChoice<T> feature) {
    List<FeatureChoice<T>> more = new ArrayList<>(features);
    more.add(feature);
    return new RunInference<>(config, more, carry, expansionService, wireBatchBytes);
  }

  private <D> RunInference<T, D> carry(CarryChoice<T, D> choice) {
    return new RunInference<>(config, features, choice, expansionService, wireBatchBytes);
  }
}
