// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.Feature;
import io.github.beamml.expansion.InferenceError;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.Predictions;
import io.github.beamml.expansion.RunInference;
import java.io.IOException;
import java.util.Map;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.io.FileIO;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.ProcessFunction;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Classifies image files: JPEG → RunInference, which decodes them → predictions.csv and errors.csv,
 * then accuracy and a confusion matrix. Only the names of the files come back from the model.
 *
 * <p>From the repository, once examples/images/prepare.py has made the data and the model:
 *
 * <pre>
 * gradle -p java-example :samples:run -Psample=Images
 * </pre>
 */
public final class Images {

  private static final String HEADER = "file,label";

  private Images() {}

  /** Options of this pipeline; paths are relative to the working directory. */
  public interface Options extends ExpansionOptions {
    @Description("The image files: a pattern that Beam's filesystems match")
    @Default.String("build/images/test/*.jpg")
    String getInput();

    void setInput(String value);

    @Description("CSV file with a header: file, label; what to compare predictions with")
    @Default.String("build/images/labels.csv")
    String getLabels();

    void setLabels(String value);

    @Description(
        "Which model to run, and how: a YAML or JSON file, the same that the Python sample reads")
    @Default.String("examples/images/cnn.yaml")
    String getConfig();

    void setConfig(String value);

    @Description("Where the model file is. Default: where the configuration says")
    String getModelUri();

    void setModelUri(String value);

    @Description("Where to write predictions.csv and errors.csv")
    @Default.String("build/images")
    String getOutput();

    void setOutput(String value);
  }

  /** Runs the sample; {@link Launcher} says where. */
  public static void main(String[] args) throws IOException {
    Launcher.launch(args, Options.class, Images::run);
  }

  private static void run(Options options) throws IOException {
    Pipeline pipeline = Pipeline.create(options);
    PCollection<KV<String, byte[]>> images =
        pipeline
            .apply("Match", FileIO.match().filepattern(options.getInput()))
            .apply("Open", FileIO.readMatches())
            .apply(
                "Read",
                MapElements.into(new TypeDescriptor<KV<String, byte[]>>() {})
                    .via((ProcessFunction<FileIO.ReadableFile, KV<String, byte[]>>) Images::read));

    Predictions<String> predictions = images.apply("Classify", classify(options));

    PCollectionView<Map<String, String>> labels = labels(pipeline, options);
    predictions
        .output()
        .apply("Format", ParDo.of(new FormatFn(labels)).withSideInputs(labels))
        .apply(
            "WritePredictions",
            Csv.write(options.getOutput(), "predictions.csv", HEADER + ",predicted,score"));
    predictions
        .errors()
        .apply("FormatErrors", MapElements.into(TypeDescriptors.strings()).via(Images::formatError))
        .apply("WriteErrors", Csv.write(options.getOutput(), "errors.csv", "file,stage,message"));

    PipelineResult result = Launcher.finish(pipeline);
    System.out.print(Evaluation.read(options.getOutput() + "/predictions.csv"));
    System.out.print(ModelMetrics.describe(result));
  }

  private static RunInference<KV<String, byte[]>, String> classify(Options options) {
    RunInference<KV<String, byte[]>, KV<String, byte[]>> classify =
        RunInference.<KV<String, byte[]>>fromConfig(options.getConfig())
            .feature(Feature.ofBytes("image", KV::getValue));
    return (options.getModelUri() == null ? classify : classify.modelUri(options.getModelUri()))
        .carry(KV::getKey, StringUtf8Coder.of());
  }

  private static KV<String, byte[]> read(FileIO.ReadableFile file) throws IOException {
    return KV.of(file.getMetadata().resourceId().getFilename(), file.readFullyAsBytes());
  }

  private static PCollectionView<Map<String, String>> labels(Pipeline pipeline, Options options) {
    return pipeline
        .apply("ReadLabels", TextIO.read().from(options.getLabels()))
        .apply("SkipHeader", Filter.by(line -> !line.equals(HEADER)))
        .apply(
            "Split",
            MapElements.into(new TypeDescriptor<KV<String, String>>() {})
                .via(line -> KV.of(line.split(",")[0], line.split(",")[1])))
        .apply("LabelOfFile", View.asMap());
  }

  /** Puts the label of a file beside its prediction. */
  private static final class FormatFn extends DoFn<Prediction<String>, String> {
    private static final long serialVersionUID = 1L;

    private final PCollectionView<Map<String, String>> labels;

    FormatFn(PCollectionView<Map<String, String>> labels) {
      this.labels = labels;
    }

    @ProcessElement
    public void process(
        @Element Prediction<String> prediction,
        OutputReceiver<String> out,
        ProcessContext context) {
      String file = prediction.element();
      String label = context.sideInput(labels).get(file);
      double score = prediction.getDoubles("top_scores")[0];
      out.output(file + "," + label + "," + prediction.getString("predicted") + "," + score);
    }
  }

  private static String formatError(InferenceError<String> error) {
    return error.element()
        + ","
        + error.stage()
        + ","
        + Csv.quoted(error.message());
  }
}
