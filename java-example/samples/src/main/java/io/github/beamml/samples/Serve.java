// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.Predictions;
import io.github.beamml.expansion.RunInference;
import java.io.IOException;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Says of which species penguins are: CSV → RunInference, whose hook does what {@link Prepare} did
 * to the penguins that the model was trained on → predictions.csv and errors.csv, then accuracy and
 * a confusion matrix.
 *
 * <p>From the repository, after {@link Prepare} and examples/penguins/train.py:
 *
 * <pre>
 * gradle -p java-example :samples:run -Psample=Serve
 * </pre>
 */
public final class Serve {

  private Serve() {}

  /** Options of this pipeline; paths are relative to the working directory. */
  public interface Options extends ExpansionOptions {
    @Description("CSV file with a header, as examples/penguins/split.py writes it")
    @Default.String("build/penguins/test.csv")
    String getInput();

    void setInput(String value);

    @Description(
        "Which model to run, and how: a YAML or JSON file, the same that the Python sample reads")
    @Default.String("examples/penguins/serve.yaml")
    String getConfig();

    void setConfig(String value);

    @Description("Where to write predictions.csv and errors.csv")
    @Default.String("build/penguins")
    String getOutput();

    void setOutput(String value);
  }

  /** Runs the sample; {@link Launcher} says where. */
  public static void main(String[] args) throws IOException {
    Launcher.launch(args, Options.class, Serve::run);
  }

  private static void run(Options options) throws IOException {
    Pipeline pipeline = Pipeline.create(options);
    Predictions<Penguin> predictions =
        Penguin.read(pipeline, options.getInput())
            .apply(
                "Classify",
                RunInference.<Penguin>fromConfig(options.getConfig())
                    .features(
                        "island",
                        "bill_length_mm",
                        "bill_depth_mm",
                        "flipper_length_mm",
                        "body_mass_g",
                        "sex"));

    predictions
        .output()
        .apply("Format", MapElements.into(TypeDescriptors.strings()).via(Serve::format))
        .apply(
            "WritePredictions",
            Csv.write(options.getOutput(), "predictions.csv", "id,species,predicted,score"));
    predictions
        .errors()
        .apply("FormatErrors", MapElements.into(TypeDescriptors.strings()).via(Prepare::format))
        .apply("WriteErrors", Csv.write(options.getOutput(), "errors.csv", "id,stage,message"));

    PipelineResult result = Launcher.finish(pipeline);
    System.out.print(Evaluation.read(options.getOutput() + "/predictions.csv"));
    System.out.print(ModelMetrics.describe(result));
  }

  private static String format(Prediction<Penguin> prediction) {
    Penguin penguin = prediction.element();
    return String.join(
        ",",
        String.valueOf(penguin.id),
        penguin.species,
        prediction.getString("predicted"),
        String.valueOf(prediction.getDouble("score")));
  }
}
