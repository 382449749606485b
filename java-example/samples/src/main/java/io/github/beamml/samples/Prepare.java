// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.InferenceError;
import io.github.beamml.expansion.MLTransform;
import io.github.beamml.expansion.Transformed;
import io.github.beamml.expansion.v1.MLTransformConfig;
import java.io.IOException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.extensions.avro.coders.AvroCoder;
import org.apache.beam.sdk.extensions.avro.schemas.utils.AvroUtils;
import org.apache.beam.sdk.io.FileIO;
import org.apache.beam.sdk.io.TFRecordIO;
import org.apache.beam.sdk.io.parquet.ParquetIO;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * Prepares penguins for training: CSV → MLTransform → prepared.parquet and prepared.tfrecord, and
 * an artifact of what was learned, with which {@link Serve} goes on.
 *
 * <p>From the repository, once examples/penguins/split.py has made the data:
 *
 * <pre>
 * gradle -p java-example :samples:run -Psample=Prepare
 * </pre>
 */
public final class Prepare {

  private Prepare() {}

  /** Options of this pipeline; paths are relative to the working directory. */
  public interface Options extends ExpansionOptions {
    @Description("CSV file with a header, as examples/penguins/split.py writes it")
    @Default.String("build/penguins/train.csv")
    String getInput();

    void setInput(String value);

    @Description("What to do: a YAML or JSON file, the same that the Python sample reads")
    @Default.String("examples/penguins/prepare.yaml")
    String getConfig();

    void setConfig(String value);

    @Description("Directory of an artifact to apply. Default: learn, and write what was learned")
    String getArtifact();

    void setArtifact(String value);

    @Description("Where to write prepared.parquet, prepared.tfrecord and errors.csv")
    @Default.String("build/penguins")
    String getOutput();

    void setOutput(String value);
  }

  /** Runs the sample; {@link Launcher} says where. */
  public static void main(String[] args) throws IOException {
    Launcher.launch(args, Options.class, Prepare::run);
  }

  private static void run(Options options) {
    Pipeline pipeline = Pipeline.create(options);
    Transformed<Penguin> prepared =
        Penguin.read(pipeline, options.getInput()).apply("Prepare", transform(options));

    writeParquet(prepared.output(), options.getOutput());
    prepared
        .output()
        .apply("ToExamples", MapElements.into(new TypeDescriptor<byte[]>() {}).via(TfExample::of))
        .apply(
            "WriteTfRecord",
            TFRecordIO.write()
                .to(options.getOutput() + "/prepared")
                .withSuffix(".tfrecord")
                .withoutSharding());
    prepared
        .errors()
        .apply("FormatErrors", MapElements.into(TypeDescriptors.strings()).via(Prepare::format))
        .apply("WriteErrors", Csv.write(options.getOutput(), "errors.csv", "id,stage,message"));
    Launcher.finish(pipeline);
  }

  private static MLTransform<Penguin> transform(Options options) {
    MLTransform<Penguin> transform = MLTransform.fromConfig(options.getConfig());
    if (options.getArtifact() == null) {
      return transform;
    }
    MLTransformConfig.Builder read = transform.config().toBuilder();
    read.clearWriteArtifactLocation().clearOverwrite();
    return MLTransform.of(read.setReadArtifactLocation(options.getArtifact()).build());
  }

  private static void writeParquet(PCollection<Row> rows, String folder) {
    Schema schema = AvroUtils.toAvroSchema(rows.getSchema());
    rows.apply(
            "ToRecords",
            MapElements.into(TypeDescriptor.of(GenericRecord.class))
                .via(AvroUtils.getRowToGenericRecordFunction(schema)))
        .setCoder(AvroCoder.of(schema))
        .apply(
            "WriteParquet",
            FileIO.<GenericRecord>write()
                .via(ParquetIO.sink(schema))
                .to(folder)
                .withNaming((window, pane, shards, shard, compression) -> "prepared.parquet")
                .withNumShards(1));
  }

  /** A line of errors.csv; {@link Serve} writes the same. */
  static String format(InferenceError<Penguin> error) {
    return error.element().id + "," + error.stage() + "," + Csv.quoted(error.message());
  }
}
