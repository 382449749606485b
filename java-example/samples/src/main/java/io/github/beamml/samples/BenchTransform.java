// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.LocalBeam;
import io.github.beamml.expansion.MLTransform;
import io.github.beamml.expansion.Operations;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.options.PortablePipelineOptions;
import org.apache.beam.sdk.options.Validation;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Impulse;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Times MLTransform from Java: min-max, z-score and a vocabulary on three columns, learned and
 * applied. Rows are those of a file, again and again.
 *
 * <p>Runs each number of rows of {@code --rows} in turn, in this one JVM, and prints a line of JSON
 * for each. The time is of the whole run, start-up included: compare two sizes.
 */
public final class BenchTransform {

  private static final Schema VISIT =
      Schema.builder()
          .addDoubleField("age")
          .addDoubleField("income")
          .addStringField("city")
          .build();

  private BenchTransform() {}

  /** Options of this benchmark, beside {@code --jobEndpoint} and {@code --expansionService}. */
  public interface Options extends ExpansionOptions {
    @Description("Rows to transform, one run for each number; such as 20000,200000")
    @Validation.Required
    List<Long> getRows();

    void setRows(List<Long> value);

    @Description("File of age, income and city, separated by tabs; a row on each line")
    @Validation.Required
    String getData();

    void setData(String value);

    @Description("An empty directory, for what is learned and the sums")
    @Validation.Required
    String getFolder();

    void setFolder(String value);
  }

  /** Runs and prints the results. */
  public static void main(String[] args) throws Exception {
    Options options = PipelineOptionsFactory.fromArgs(args).as(Options.class);
    try (LocalBeam beam =
        LocalBeam.attach(
            options.getExpansionService(),
            options.as(PortablePipelineOptions.class).getJobEndpoint())) {
      beam.configure(options);
      for (int run = 0; run < options.getRows().size(); run++) {
        run(options, options.getRows().get(run), options.getFolder() + "/" + run);
      }
    }
  }

  private static void run(Options options, long rows, String folder)
      throws IOException, InterruptedException {
    Pipeline pipeline = Pipeline.create(options);
    pipeline
        .apply(Impulse.create())
        .apply("Rows", ParDo.of(new RowsFn(rows, options.getData())))
        .setRowSchema(VISIT)
        .apply(
            "Prepare",
            MLTransform.<Row>of(
                    Operations.scaleTo01("age"),
                    Operations.scaleToZScore("income"),
                    Operations.vocabulary("city"))
                .writeArtifact(folder + "/artifact"))
        .output()
        .apply("Sums", ParDo.of(new SumsFn()))
        .apply("Sum", Combine.globally(BenchTransform::add))
        .apply("Text", MapElements.into(TypeDescriptors.strings()).via(List::toString))
        .apply("Write", TextIO.write().to(folder + "/sums").withoutSharding());
    long start = System.nanoTime();
    Bench.waitUntilDone(pipeline.run());
    double seconds = (System.nanoTime() - start) / 1e9;
    System.out.printf(
        "{\"rows\": %d, \"seconds\": %.3f, \"sums\": %s}%n",
        rows, seconds, Files.readString(Path.of(folder, "sums")).trim());
  }

  private static List<Double> add(Iterable<List<Double>> parts) {
    double[] sums = new double[3];
    for (List<Double> part : parts) {
      for (int i = 0; i < part.size(); i++) {
        sums[i] += part.get(i);
      }
    }
    return List.of(sums[0], sums[1], sums[2]);
  }

  /** Adds up each bundle's columns: the same work on each side, and little. */
  private static final class SumsFn extends DoFn<Row, List<Double>> {
    private static final long serialVersionUID = 1L;

    private transient double[] sums;

    @StartBundle
    public void startBundle() {
      sums = new double[3];
    }

    @ProcessElement
    public void process(@Element Row row) {
      sums[0] += row.getDouble(0);
      sums[1] += Math.abs(row.getDouble(1));
      sums[2] += row.getInt64(2);
    }

    @FinishBundle
    public void finishBundle(FinishBundleContext context) {
      context.output(
          List.of(sums[0], sums[1], sums[2]),
          GlobalWindow.INSTANCE.maxTimestamp(),
          GlobalWindow.INSTANCE);
    }
  }

  /** Makes the rows of the file, as often as it takes. */
  private static final class RowsFn extends DoFn<byte[], Row> {
    private static final long serialVersionUID = 1L;

    private final long rows;
    private final String data;

    RowsFn(long rows, String data) {
      this.rows = rows;
      this.data = data;
    }

    @ProcessElement
    public void process(OutputReceiver<Row> out) throws IOException {
      List<Row> lines = new ArrayList<>();
      for (String line : Files.readAllLines(Path.of(data))) {
        String[] parts = line.split("\t");
        double age = Double.parseDouble(parts[0]);
        double income = Double.parseDouble(parts[1]);
        lines.add(Row.withSchema(VISIT).addValues(age, income, parts[2]).build());
      }
      for (long row = 0; row < rows; row++) {
        out.output(lines.get((int) (row % lines.size())));
      }
    }
  }
}
