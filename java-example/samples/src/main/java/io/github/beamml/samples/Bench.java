// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.LocalBeam;
import io.github.beamml.expansion.Models;
import io.github.beamml.expansion.RunInference;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.coders.DoubleCoder;
import org.apache.beam.sdk.coders.IterableCoder;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.options.PortablePipelineOptions;
import org.apache.beam.sdk.options.Validation;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.Schema.FieldType;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Impulse;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Sum;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Times Java → model → Java, one way or the other: {@code --side=ours} is this library, {@code
 * --side=stock} Beam's own Java RunInference. Rows are made in the pipeline, carry as many doubles
 * as {@code --width} says, go through a scikit-learn classifier ({@code predict}) and come back as
 * Beam rows with their doubles and the class, which a checksum reads.
 *
 * <p>Runs each number of rows of {@code --rows} in turn, in this one JVM, and prints a line of JSON
 * for each. The time is of the whole run, start-up included: compare two sizes.
 */
public final class Bench {

  private static final Schema INPUT = Schema.builder().addArrayField("x", FieldType.DOUBLE).build();

  private Bench() {}

  /** Options of this benchmark, beside {@code --jobEndpoint} and {@code --expansionService}. */
  public interface Options extends ExpansionOptions {
    @Description("ours or stock")
    @Default.String("ours")
    String getSide();

    void setSide(String value);

    @Description("Rows to infer, one run for each number; such as 20000,200000")
    @Validation.Required
    List<Long> getRows();

    void setRows(List<Long> value);

    @Description("Doubles in a row")
    @Default.Integer(4)
    int getWidth();

    void setWidth(int value);

    @Description("The classifier: a skops file for ours, a pickle file for stock")
    String getModel();

    void setModel(String value);

    @Description(
        "Rows in a batch of the model, at most; for stock also at least. Default: the side's own")
    @Default.Integer(0)
    int getBatch();

    void setBatch(int value);

    @Description("Where the checksum is written")
    @Default.String("build/bench/checksum.txt")
    String getChecksum();

    void setChecksum(String value);
  }

  /** Runs and prints the results. */
  public static void main(String[] args) throws Exception {
    Options options = PipelineOptionsFactory.fromArgs(args).as(Options.class);
    try (LocalBeam beam =
        LocalBeam.attach(
            options.getExpansionService(),
            options.as(PortablePipelineOptions.class).getJobEndpoint())) {
      beam.configure(options);
      for (long rows : options.getRows()) {
        run(options, rows);
      }
    }
  }

  private static void run(Options options, long rows) throws IOException, InterruptedException {
    Pipeline pipeline = Pipeline.create(options);
    PCollection<Row> input =
        pipeline
            .apply(Impulse.create())
            .apply("Rows", ParDo.of(new RowsFn(rows, options.getWidth())))
            .setRowSchema(INPUT);
    (options.getSide().equals("stock") ? stock(input, options) : ours(input, options))
        .apply("Weigh", ParDo.of(new WeighFn()))
        .apply("Sum", Sum.longsGlobally())
        .apply("Text", MapElements.into(TypeDescriptors.strings()).via(sum -> Long.toString(sum)))
        .apply("Write", TextIO.write().to(options.getChecksum()).withoutSharding());
    long start = System.nanoTime();
    waitUntilDone(pipeline.run());
    double seconds = (System.nanoTime() - start) / 1e9;
    System.out.printf(
        "{\"side\": \"%s\", \"rows\": %d, \"width\": %d, \"batch\": %d, \"seconds\": %.3f,"
            + " \"checksum\": %s}%n",
        options.getSide(),
        rows,
        options.getWidth(),
        options.getBatch(),
        seconds,
        checksum(options));
  }

  /** The runner's own wait looks every few seconds only, which is too coarse for a clock. */
  static void waitUntilDone(PipelineResult result) throws InterruptedException {
    while (!result.getState().isTerminal()) {
      Thread.sleep(20);
    }
    PipelineResult.State state = result.waitUntilFinish();
    if (state != PipelineResult.State.DONE) {
      throw new IllegalStateException("the pipeline ended as " + state);
    }
  }

  private static PCollection<Row> ours(PCollection<Row> rows, Options options) {
    RunInference<Row, Row> inference =
        RunInference.<Row>of(Models.sklearn(options.getModel(), "predict"))
            .feature("x", options.getWidth())
            .input("X", "x")
            .output("predict", "inference");
    if (options.getBatch() > 0) {
      inference = inference.maxBatchSize(options.getBatch());
    }
    return rows.apply("Infer", inference).outputRows();
  }

  private static PCollection<Row> stock(PCollection<Row> rows, Options options) {
    org.apache.beam.sdk.extensions.python.transforms.RunInference<Row> inference =
        org.apache.beam.sdk.extensions.python.transforms.RunInference.of(
                "apache_beam.ml.inference.sklearn_inference.SklearnModelHandlerNumpy",
                FieldType.array(FieldType.DOUBLE),
                FieldType.INT64)
            .withKwarg("model_uri", options.getModel())
            .withExpansionService(options.getExpansionService());
    if (options.getBatch() > 0) {
      inference =
          inference
              .withKwarg("min_batch_size", (long) options.getBatch())
              .withKwarg("max_batch_size", (long) options.getBatch());
    }
    return rows.apply(
            "Examples",
            MapElements.into(TypeDescriptors.iterables(TypeDescriptors.doubles()))
                .via(row -> row.getArray(0)))
        .setCoder(IterableCoder.of(DoubleCoder.of()))
        .apply("Infer", inference);
  }

  /**
   * Reads what came back: the first double of a row, and its class. One sum for a bundle, so that
   * reading costs as little as can be on either side.
   */
  private static final class WeighFn extends DoFn<Row, Long> {
    private static final long serialVersionUID = 1L;

    private transient long sum;

    @StartBundle
    public void startBundle() {
      sum = 0;
    }

    @ProcessElement
    public void process(@Element Row result) {
      Iterable<Double> x = result.getIterable(0); // the input: of both sides the first field
      sum += Math.round(x.iterator().next() * 1000) * (result.getInt64("inference") + 1);
    }

    @FinishBundle
    public void finishBundle(FinishBundleContext context) {
      context.output(sum, GlobalWindow.INSTANCE.maxTimestamp(), GlobalWindow.INSTANCE);
    }
  }

  private static String checksum(Options options) throws IOException {
    try (InputStream in =
        Channels.newInputStream(
            FileSystems.open(
                FileSystems.matchSingleFileSpec(options.getChecksum()).resourceId()))) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8).trim();
    }
  }

  /** Makes rows; those of equal number are equal, on either side and in every run. */
  private static final class RowsFn extends DoFn<byte[], Row> {
    private static final long serialVersionUID = 1L;
    private static final int DIFFERENT = 1024;

    private final long rows;
    private final int width;

    RowsFn(long rows, int width) {
      this.rows = rows;
      this.width = width;
    }

    @ProcessElement
    public void process(OutputReceiver<Row> out) {
      Double[][] values = new Double[DIFFERENT][width];
      Random random = new Random(7);
      for (Double[] row : values) {
        Arrays.setAll(row, i -> random.nextGaussian());
      }
      for (long row = 0; row < rows; row++) {
        out.output(
            Row.withSchema(INPUT)
                .attachValues((Object) Arrays.asList(values[(int) (row % DIFFERENT)])));
      }
    }
  }
}
