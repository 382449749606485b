// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.apache.beam.model.expansion.v1.ExpansionApi.DiscoverSchemaTransformRequest;
import org.apache.beam.model.expansion.v1.ExpansionApi.SchemaTransformConfig;
import org.apache.beam.model.pipeline.v1.Endpoints.ApiServiceDescriptor;
import org.apache.beam.model.pipeline.v1.ExternalTransforms.SchemaTransformPayload;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaTranslation;
import org.apache.beam.sdk.schemas.utils.YamlUtils;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.util.CoderUtils;
import org.apache.beam.sdk.util.construction.DefaultExpansionServiceClientFactory;
import org.apache.beam.sdk.util.construction.ExpansionServiceClientFactory;
import org.apache.beam.sdk.util.construction.External;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.ByteString;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ManagedChannel;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ManagedChannelBuilder;

/**
 * Classifies handwritten digits with Beam's own classes only, as any Beam program can call any
 * schema transform: it asks the service for the schema of a transform's configuration, fills it in
 * from YAML, and gets rows back. Rows cross the language boundary one by one, where the client
 * library sends columns: this is many times slower than {@link Digits}.
 *
 * <pre>
 * gradle -p java-example :samples:run -Psample=SchemaTransforms
 * gradle -p java-example :samples:run -Psample=SchemaTransforms \
 *   -Pargs='--transform=beamml:schematransform:preset:digits:v1 --config=CONFIG.yaml'
 * </pre>
 */
public final class SchemaTransforms {

  private static final String SCHEMA_TRANSFORM = "beam:expansion:payload:schematransform:v1";
  private static final Schema DIGIT =
      Schema.builder().addStringField("id").addArrayField("pixels", Schema.FieldType.FLOAT).build();

  private SchemaTransforms() {}

  /** Options of this pipeline; paths are relative to the working directory. */
  public interface Options extends ExpansionOptions {
    @Description("CSV file with a header: id, label, p0 … p63")
    @Default.String("build/demo/digits_test.csv")
    String getInput();

    void setInput(String value);

    @Description("Identifier of the schema transform")
    @Default.String("beamml:schematransform:run_inference:v1")
    String getTransform();

    void setTransform(String value);

    @Description("YAML file with the transform's configuration")
    @Default.String("examples/digits/onnx.yaml")
    String getConfig();

    void setConfig(String value);

    @Description(
        "Where to write predictions.csv and, where the configuration says error_handling:"
            + " {output: errors}, errors.csv")
    @Default.String("build/demo")
    String getOutput();

    void setOutput(String value);
  }

  /** Runs the sample; {@link Launcher} says where. */
  public static void main(String[] args) throws IOException {
    Launcher.launch(args, Options.class, SchemaTransforms::run);
  }

  private static void run(Options options) throws IOException {
    Pipeline pipeline = Pipeline.create(options);
    PCollection<Row> digits =
        pipeline
            .apply("Read", TextIO.read().from(options.getInput()))
            .apply("SkipHeader", Filter.by(line -> !line.startsWith(Digit.HEADER_START)))
            .apply("Parse", MapElements.into(TypeDescriptors.rows()).via(SchemaTransforms::parse))
            .setRowSchema(DIGIT);

    String yaml = new String(Files.readAllBytes(Paths.get(options.getConfig())), "UTF-8");
    PCollectionTuple results =
        apply(digits, options.getExpansionService(), options.getTransform(), yaml);

    PCollection<Row> predictions = results.get("output");
    predictions
        .apply(
            "Format", MapElements.into(TypeDescriptors.strings()).via(SchemaTransforms::format))
        .apply("WritePredictions", Csv.write(options.getOutput(), "predictions.csv", "id,predicted"));
    if (results.has("errors")) {
      PCollection<Row> errors = results.get("errors");
      errors
          .apply(
              "FormatErrors",
              MapElements.into(TypeDescriptors.strings()).via(SchemaTransforms::formatError))
          .apply("WriteErrors", Csv.write(options.getOutput(), "errors.csv", "id,stage,message"));
    }
    Launcher.finish(pipeline);
  }

  /** Applies a schema transform of a service to rows; returns its outputs by name. */
  private static PCollectionTuple apply(
      PCollection<Row> rows, String address, String identifier, String yaml) throws IOException {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(address).usePlaintext().build();
    try {
      ExpansionServiceClientFactory clients =
          DefaultExpansionServiceClientFactory.create(endpoint -> channel);
      Schema schema = discover(clients, address, identifier);
      Row config = YamlUtils.toBeamRow(yaml, schema);
      SchemaTransformPayload payload =
          SchemaTransformPayload.newBuilder()
              .setIdentifier(identifier)
              .setConfigurationSchema(SchemaTranslation.schemaToProto(schema, true))
              .setConfigurationRow(
                  ByteString.copyFrom(CoderUtils.encodeToByteArray(RowCoder.of(schema), config)))
              .build();
      return rows.apply(
          "Classify",
          External.<PCollection<Row>, Row>of(
                  SCHEMA_TRANSFORM, payload.toByteArray(), address, clients)
              .withMultiOutputs());
    } finally {
      channel.shutdownNow();
    }
  }

  private static Schema discover(
      ExpansionServiceClientFactory clients, String address, String identifier) {
    SchemaTransformConfig config =
        clients
            .getExpansionServiceClient(ApiServiceDescriptor.newBuilder().setUrl(address).build())
            .discover(DiscoverSchemaTransformRequest.getDefaultInstance())
            .getSchemaTransformConfigsMap()
            .get(identifier);
    if (config == null) {
      throw new IllegalArgumentException("the service has no schema transform " + identifier);
    }
    return SchemaTranslation.schemaFromProto(config.getConfigSchema());
  }

  private static Row parse(String line) {
    Digit digit = Digit.parse(line);
    return Row.withSchema(DIGIT)
        .addValue(digit.id)
        .addArray(
            Arrays.stream(digit.values.split(",")).map(Float::valueOf).collect(Collectors.toList()))
        .build();
  }

  private static String format(Row row) {
    return row.getString("id") + "," + row.getString("predicted");
  }

  private static String formatError(Row row) {
    String id = row.getRow("element").getString("id");
    return id + "," + row.getString("stage") + "," + Csv.quoted(row.getString("message"));
  }
}
