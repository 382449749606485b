// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.Feature;
import io.github.beamml.expansion.InferenceError;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.Predictions;
import io.github.beamml.expansion.RunInference;
import java.io.IOException;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Classifies handwritten digits: CSV → RunInference with hooks → predictions.csv and errors.csv,
 * then accuracy and a confusion matrix.
 *
 * <p>From the repository, once examples/digits/prepare.py has made the data and the models:
 *
 * <pre>
 * gradle -p java-example :samples:run
 * gradle -p java-example :samples:run -Pargs='--config=examples/digits/sklearn.yaml'
 * gradle -p java-example :samples:run -Pargs='--jobEndpoint=localhost:8073 --expansionService=localhost:8097'
 * </pre>
 */
public final class Digits {

  private Digits() {}

  /** Options of this pipeline; paths are relative to the working directory. */
  public interface Options extends ExpansionOptions {
    @Description("CSV file with a header: id, label, p0 … p63")
    @Default.String("build/demo/digits_test.csv")
    String getInput();

    void setInput(String value);

    @Description(
        "Which model to run, and how: a YAML or JSON file, the same that the Python sample reads")
    @Default.String("examples/digits/onnx.yaml")
    String getConfig();

    void setConfig(String value);

    @Description("Where the model file is. Default: where the configuration says")
    String getModelUri();

    void setModelUri(String value);

    @Description("Where to write predictions.csv and errors.csv")
    @Default.String("build/demo")
    String getOutput();

    void setOutput(String value);
  }

  /** Runs the sample; {@link Launcher} says where. */
  public static void main(String[] args) throws IOException {
    Launcher.launch(args, Options.class, Digits::run);
  }

  private static void run(Options options) throws IOException {
    Pipeline pipeline = Pipeline.create(options);
    PCollection<Digit> digits =
        pipeline
            .apply("Read", TextIO.read().from(options.getInput()))
            .apply("SkipHeader", Filter.by(line -> !line.startsWith(Digit.HEADER_START)))
            .apply("Parse", MapElements.into(TypeDescriptor.of(Digit.class)).via(Digit::parse));

    Predictions<Digit> predictions = digits.apply("Classify", classify(options));

    predictions
        .output()
        .apply("Format", MapElements.into(TypeDescriptors.strings()).via(Digits::format))
        .apply(
            "WritePredictions",
            Csv.write(options.getOutput(), "predictions.csv", "id,label,predicted,score"));
    predictions
        .errors()
        .apply("FormatErrors", MapElements.into(TypeDescriptors.strings()).via(Digits::formatError))
        .apply("WriteErrors", Csv.write(options.getOutput(), "errors.csv", "id,stage,message"));

    PipelineResult result = Launcher.finish(pipeline);
    System.out.print(Evaluation.read(options.getOutput() + "/predictions.csv"));
    System.out.print(ModelMetrics.describe(result));
  }

  static RunInference<Digit, Digit> classify(Options options) {
    RunInference<Digit, Digit> classify =
        RunInference.<Digit>fromConfig(options.getConfig())
            .feature(Feature.ofFloats("pixels", Digit::pixels, Digit.PIXELS));
    return options.getModelUri() == null ? classify : classify.modelUri(options.getModelUri());
  }

  private static String format(Prediction<Digit> prediction) {
    Digit digit = prediction.element();
    double score = prediction.getDoubles("top_scores")[0];
    return digit.id + "," + digit.label + "," + prediction.getString("predicted") + "," + score;
  }

  private static String formatError(InferenceError<Digit> error) {
    return error.element().id
        + ","
        + error.stage()
        + ","
        + Csv.quoted(error.message());
  }
}
