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
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Says what sentences are about: lines of text → RunInference of a chain, a tokenizer, a network
 * that makes embeddings and a classifier of them → predictions.csv and errors.csv, then accuracy
 * and a confusion matrix.
 *
 * <p>From the repository, once examples/topics/prepare.py has made the data and the models:
 *
 * <pre>
 * gradle -p java-example :samples:run -Psample=Topics
 * </pre>
 */
public final class Topics {

  private static final char TAB = '\t';

  private Topics() {}

  /** Options of this pipeline; paths are relative to the working directory. */
  public interface Options extends ExpansionOptions {
    @Description("Text file with a topic, a tab and a sentence on each line")
    @Default.String("build/topics/test.tsv")
    String getInput();

    void setInput(String value);

    @Description(
        "Which models to run, and how: a YAML or JSON file, the same that the Python sample reads")
    @Default.String("examples/topics/chain.yaml")
    String getConfig();

    void setConfig(String value);

    @Description("Where to write predictions.csv and errors.csv")
    @Default.String("build/topics")
    String getOutput();

    void setOutput(String value);
  }

  /** Runs the sample; {@link Launcher} says where. */
  public static void main(String[] args) throws IOException {
    Launcher.launch(args, Options.class, Topics::run);
  }

  private static void run(Options options) throws IOException {
    Pipeline pipeline = Pipeline.create(options);
    PCollection<String> lines = pipeline.apply("Read", TextIO.read().from(options.getInput()));

    Predictions<String> predictions =
        lines.apply(
            "Classify",
            RunInference.<String>fromConfig(options.getConfig())
                .feature(Feature.ofString("sentence", Topics::sentence)));

    predictions
        .output()
        .apply("Format", MapElements.into(TypeDescriptors.strings()).via(Topics::format))
        .apply(
            "WritePredictions",
            Csv.write(options.getOutput(), "predictions.csv", "sentence,topic,predicted,score"));
    predictions
        .errors()
        .apply("FormatErrors", MapElements.into(TypeDescriptors.strings()).via(Topics::formatError))
        .apply(
            "WriteErrors",
            Csv.write(options.getOutput(), "errors.csv", "sentence,stage,message"));

    PipelineResult result = Launcher.finish(pipeline);
    System.out.print(Evaluation.read(options.getOutput() + "/predictions.csv"));
    System.out.print(ModelMetrics.describe(result));
  }

  /** The topic of a line; empty where it says none. */
  private static String topic(String line) {
    return line.substring(0, Math.max(0, line.indexOf(TAB)));
  }

  private static String sentence(String line) {
    return line.substring(line.indexOf(TAB) + 1);
  }

  private static String format(Prediction<String> prediction) {
    String line = prediction.element();
    return String.join(
        ",",
        Csv.quoted(sentence(line)),
        Csv.quoted(topic(line)),
        Csv.quoted(prediction.getString("predicted")),
        String.valueOf(prediction.getDouble("score")));
  }

  private static String formatError(InferenceError<String> error) {
    return String.join(
        ",", Csv.quoted(sentence(error.element())), error.stage(), Csv.quoted(error.message()));
  }
}
