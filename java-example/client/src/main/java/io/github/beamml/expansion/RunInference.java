// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.Arm;
import io.github.beamml.expansion.v1.Batching;
import io.github.beamml.expansion.v1.Ensemble;
import io.github.beamml.expansion.v1.ErrorHandling;
import io.github.beamml.expansion.v1.Hook;
import io.github.beamml.expansion.v1.InputFeature;
import io.github.beamml.expansion.v1.Model;
import io.github.beamml.expansion.v1.ModelUris;
import io.github.beamml.expansion.v1.OutputColumn;
import io.github.beamml.expansion.v1.PerKeyModels;
import io.github.beamml.expansion.v1.ResourceHints;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import io.github.beamml.expansion.v1.Split;
import io.github.beamml.expansion.v1.Step;
import java.io.Serializable;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.VoidCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PValue;
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


  private final RunInferenceConfig config;
  private final List<FeatureChoice<T>> features;
  private final CarryChoice<T, C> carry;
  private final String expansionService;
  private final long wireBatchBytes;
  private final transient PCollection<String> modelUris;

  private RunInference(
      RunInferenceConfig config,
      List<FeatureChoice<T>> features,
      CarryChoice<T, C> carry,
      String expansionService,
      long wireBatchBytes,
      PCollection<String> modelUris) {
    this.config = config;
    this.features = features;
    this.carry = carry;
    this.expansionService = expansionService;
    this.wireBatchBytes = wireBatchBytes;
    this.modelUris = modelUris;
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
    return new RunInference<>(
        config, List.of(), CarryRow::choose, null, BatchLimits.DEFAULT_BYTES, null);
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
   * Runs several models on each element; predictions are the averages of theirs. All take and return
   * the same; {@link #output} says what to keep, if some of it cannot be averaged.
   */
  public static <T> RunInference<T, T> ensemble(Model... models) {
    return of(Ensemble.newBuilder().addAllModels(Arrays.asList(models)).build());
  }

  /** Several models, averaged, with every setting that the message has, such as weights. */
  public static <T> RunInference<T, T> of(Ensemble ensemble) {
    return of(RunInferenceConfig.newBuilder().setEnsemble(ensemble).build());
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
    return of(ConfigFile.read(Path.of(path), RunInferenceConfig.getDefaultInstance()));
  }

  /**
   * Runs what the operator of the service has published under a name; the service must be a running
   * one. Everything is decided but what becomes of elements that fail. Features are those that the
   * published configuration reads; default: every field of the elements' schema that can be one.
   */
  public static <T> RunInference<T, T> preset(String name) {
    return of(RunInferenceConfig.newBuilder().setPreset(name).build());
  }

  /** The configuration as it stands. */
  public RunInferenceConfig config() {
    return config;
  }

  /** Takes the model file from elsewhere than the configuration says. */
  public RunInference<T, C> modelUri(String uri) {
    return model(model -> Models.withUri(model, uri));
  }

  /** Sets the id that predictions and errors carry. Default: the model's uri. */
  public RunInference<T, C> modelId(String id) {
    return model(model -> model.toBuilder().setModelId(id).build());
  }

  /**
   * Sets where the model runs: {@code cpu}, {@code cuda}, {@code cuda:1} and so on, or {@code auto}.
   * Workers choose; the service needs no GPU. Default: {@code auto}, a GPU where there is one.
   */
  public RunInference<T, C> device(String device) {
    return model(model -> model.toBuilder().setDevice(device).build());
  }

  /**
   * Sets the threads that one call of the model may use on the CPU. Default: the worker's cores
   * divided by its processes; 1 for scikit-learn.
   */
  public RunInference<T, C> threads(int threads) {
    return model(model -> model.toBuilder().setThreads(threads).build());
  }

  /** Runs the model once on this many rows of zeros when it is loaded. Default: 0, not at all. */
  public RunInference<T, C> warmUpRows(int rows) {
    return model(model -> model.toBuilder().setWarmUpRows(rows).build());
  }

  /**
   * Runs the model in another environment than the service has for its framework: one that the
   * operator of the service has given this name. Of a chain, that is said of the model named last.
   */
  public RunInference<T, C> environment(String name) {
    return last(first -> first.setEnvironment(name), step -> step.setEnvironment(name));
  }

  /**
   * Asks for an accelerator, such as {@code type:nvidia-l4;count:1;install-nvidia-driver}, for the
   * workers that run the model, and for no others. Beam's own {@link #setResourceHints} does not
   * reach steps of other languages.
   */
  public RunInference<T, C> accelerator(String accelerator) {
    return hints(hints -> hints.setAccelerator(accelerator));
  }

  /** Asks for so much memory, at least, such as {@code 16GB}, for the workers that run the model. */
  public RunInference<T, C> minRam(String size) {
    return hints(hints -> hints.setMinRam(size));
  }

  /** Sets all that the workers that run the model need, instead of what was said of it before. */
  public RunInference<T, C> resourceHints(ResourceHints hints) {
    return hints(builder -> builder.clear().mergeFrom(hints));
  }

  private RunInference<T, C> hints(Consumer<ResourceHints.Builder> change) {
    return last(
        first -> change.accept(first.getResourceHintsBuilder()),
        step -> change.accept(step.getResourceHintsBuilder()));
  }

  /**
   * Sets an environment variable of the process that loads the model. Services take those that
   * decide on threads, devices and logs; others their operator must allow.
   */
  public RunInference<T, C> envVar(String name, String value) {
    return model(model -> model.toBuilder().putEnvVars(name, value).build());
  }

  /**
   * Has workers load the model only if its file has this SHA-256, in hexadecimal digits. Only for
   * models of one file. A service may allow files by it that have workers run code.
   */
  public RunInference<T, C> sha256(String sha256) {
    return model(model -> model.toBuilder().setSha256(sha256).build());
  }

  /** Shares one copy of the model among all worker processes of a machine. */
  public RunInference<T, C> largeModel() {
    return model(model -> model.toBuilder().setLargeModel(true).build());
  }

  /** Shares exactly so many copies of the model among all worker processes of a machine. */
  public RunInference<T, C> modelCopies(int copies) {
    return model(model -> model.toBuilder().setModelCopies(copies).build());
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
    return model(model -> model.toBuilder().setRefreshIntervalSecs(seconds).build());
  }

  /**
   * Takes the model from where another collection says, such as a training step of this pipeline
   * makes it: the model at the newest uri, by timestamp, runs on all elements. In batch, elements
   * wait for the uris; in a stream, a newer model is taken into use between two batches. {@link
   * Prediction#modelId} says which it was.
   *
   * <p>The model's own uri is read when the pipeline is built: it says what all of them take and
   * return. A model that does not load, has another signature, or is where the operator of the
   * service allows none, is logged and counted, and the one before it stays in use.
   *
   * @param uris of models of the same kind, with StringUtf8Coder, in any windows
   */
  public RunInference<T, C> modelUrisFrom(PCollection<String> uris) {
    return new RunInference<>(
        config.toBuilder().setModelUris(ModelUris.getDefaultInstance()).build(),
        features,
        carry,
        expansionService,
        wireBatchBytes,
        uris);
  }

  /**
   * Runs another model on what the ones before it have predicted: a chain. It reads predictions and
   * features by name; one with a single input takes what the model before it has added. What is said
   * after this of a model, its inputs, outputs and hooks, is of this one; its post hooks work on all
   * predictions so far.
   */
  public RunInference<T, C> then(Model model) {
    return then(Step.newBuilder().setModel(model).build());
  }

  /** Runs another model of a chain, with its hooks. */
  public RunInference<T, C> then(Step step) {
    return with(config.toBuilder().addThen(step));
  }

  private RunInference<T, C> model(UnaryOperator<Model> change) {
    return last(
        first -> first.setModel(change.apply(first.getModel())),
        step -> step.setModel(change.apply(step.getModel())));
  }

  /** Changes what is said of the model that was named last: the only one, or one after then. */
  private RunInference<T, C> last(
      Consumer<RunInferenceConfig.Builder> ofFirst, Consumer<Step.Builder> ofStep) {
    RunInferenceConfig.Builder changed = config.toBuilder();
    if (changed.getThenCount() == 0) {
      ofFirst.accept(changed);
    } else {
      ofStep.accept(changed.getThenBuilder(changed.getThenCount() - 1));
    }
    return with(changed);
  }

  /**
   * Adds features that are fields of the elements' schema: numbers, booleans, strings, bytes, and
   * arrays of them.
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
   *     another size becomes an error. Default: any size
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
    InputFeature input =
        InputFeature.newBuilder().setName(name).addAllColumns(Arrays.asList(columns)).build();
    return last(first -> first.addInputs(input), step -> step.addInputs(input));
  }

  /**
   * Keeps an output of the model, as a prediction column of this name. Default: all outputs, under
   * their own names.
   */
  public RunInference<T, C> output(String source, String name) {
    return output(OutputColumn.newBuilder().setSource(source).setName(name).build());
  }

  /**
   * Keeps an output of the model, and says what it holds, where the model's own signature does not.
   */
  public RunInference<T, C> output(String source, String name, Datatype datatype, long... shape) {
    OutputColumn.Builder output =
        OutputColumn.newBuilder().setSource(source).setName(name).setDatatype(datatype.name());
    Arrays.stream(shape).forEach(output::addShape);
    return output(output.build());
  }

  private RunInference<T, C> output(OutputColumn output) {
    return last(first -> first.addOutputs(output), step -> step.addOutputs(output));
  }

  /** Adds operations on features, before the model; {@link Hooks} has them. */
  public RunInference<T, C> preHooks(Hook... hooks) {
    List<Hook> added = Arrays.asList(hooks);
    return last(first -> first.addAllPreHooks(added), step -> step.addAllPreHooks(added));
  }

  /** Adds operations on predictions, after the model; {@link Hooks} has them. */
  public RunInference<T, C> postHooks(Hook... hooks) {
    List<Hook> added = Arrays.asList(hooks);
    return last(first -> first.addAllPostHooks(added), step -> step.addAllPostHooks(added));
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

  /**
   * Sets the bytes of the batches that cross the wire, at most. Default: 4 MiB.
   *
   * @throws IllegalArgumentException if it is less than 1 byte or more than 1 GiB
   */
  public RunInference<T, C> wireBatchBytes(long bytes) {
    if (bytes < 1 || bytes > BatchLimits.MAX_BYTES) {
      throw new IllegalArgumentException(
          "wireBatchBytes: got " + bytes + "; expected 1 to " + BatchLimits.MAX_BYTES);
    }
    return new RunInference<>(config, features, carry, expansionService, bytes, modelUris);
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
    return new RunInference<>(config, features, carry, address, wireBatchBytes, modelUris);
  }

  @Override
  public Predictions<C> expand(PCollection<T> input) {
    Schema schema = InferenceGraph.schemaOf(input);
    List<Feature<? super T>> chosen = new ArrayList<>();
    for (FeatureChoice<T> feature : features) {
      chosen.add(feature.of(schema));
    }
    if (chosen.isEmpty() && schema != null && !config.getPreset().isEmpty()) {
      chosen = FieldFeature.all(schema, Map.of());
    }
    String address = Expanders.address(expansionService, input.getPipeline().getOptions());
    if (config.hasModelUris() && modelUris == null) {
      throw new ExpansionException(
          "model_uris: got no collection of uris; give it with modelUrisFrom(…)");
    }
    return new InferenceGraph<>(input, config, chosen, carry, wireBatchBytes)
        .expand(Expanders.at(address), modelUris());
  }

  /** The second input, so that it is one for Beam too. */
  @Override
  public Map<TupleTag<?>, PValue> getAdditionalInputs() {
    return modelUris()
        .<Map<TupleTag<?>, PValue>>map(uris -> Map.of(Expander.MODEL_URIS, uris))
        .orElse(Map.of());
  }

  /** None where another choice of models came later. */
  private Optional<PCollection<String>> modelUris() {
    return Optional.ofNullable(modelUris).filter(uris -> config.hasModelUris());
  }

  @Override
  public void populateDisplayData(DisplayData.Builder builder) {
    builder.add(DisplayData.item("config", config.toString()).withLabel("Configuration"));
  }

  private RunInference<T, C> with(RunInferenceConfig.Builder changed) {
    return new RunInference<>(
        changed.build(), features, carry, expansionService, wireBatchBytes, modelUris);
  }

  private RunInference<T, C> with(FeatureChoice<T> feature) {
    List<FeatureChoice<T>> more = new ArrayList<>(features);
    more.add(feature);
    return new RunInference<>(config, more, carry, expansionService, wireBatchBytes, modelUris);
  }

  private <D> RunInference<T, D> carry(CarryChoice<T, D> choice) {
    return new RunInference<>(
        config, features, choice, expansionService, wireBatchBytes, modelUris);
  }
}
