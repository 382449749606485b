// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import io.github.beamml.expansion.v1.MLTransformConfig;
import io.github.beamml.expansion.v1.MLTransformResult;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import io.github.beamml.expansion.v1.RunInferenceResult;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.apache.beam.model.expansion.v1.ExpansionApi.DiscoverSchemaTransformRequest;
import org.apache.beam.model.expansion.v1.ExpansionApi.DiscoverSchemaTransformResponse;
import org.apache.beam.model.expansion.v1.ExpansionApi.ExpansionRequest;
import org.apache.beam.model.expansion.v1.ExpansionApi.ExpansionResponse;
import org.apache.beam.model.expansion.v1.ExpansionServiceGrpc;
import org.apache.beam.model.pipeline.v1.Endpoints.ApiServiceDescriptor;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.util.construction.ExpansionServiceClient;
import org.apache.beam.sdk.util.construction.ExpansionServiceClientFactory;
import org.apache.beam.sdk.util.construction.External;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.PInput;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.ByteString;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ManagedChannel;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ManagedChannelBuilder;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.StatusRuntimeException;

/**
 * Expands transforms through a beam-ml-expansion service, over Beam's ExpansionService protocol.
 */
final class ServiceExpander implements Expander {

  private static final String RUN_INFERENCE = "beamml:transform:run_inference:v1";
  private static final String RUN_INFERENCE_RESULT = "beamml:run_inference_result:v1";
  private static final String ML_TRANSFORM = "beamml:transform:ml_transform:v1";
  private static final String ML_TRANSFORM_RESULT = "beamml:ml_transform_result:v1";
  static final String OUTPUT_TAG = "output";
  static final String ERRORS_TAG = "errors";

  private static final int CONNECT_TIMEOUT_MILLIS = 3_000;
  private static final int EXPAND_TIMEOUT_SECS = 120;

  private final String address;

  ServiceExpander(String address) {
    this.address = address;
  }

  @Override
  public Expansion expand(
      RunInferenceConfig config,
      PCollection<byte[]> batches,
      Optional<PCollection<String>> modelUris) {
    checkReachable();
    try (Client client = new Client(address)) {
      PCollectionTuple outputs =
          modelUris.isEmpty()
              ? batches.apply("Expand", client.transform(RUN_INFERENCE, config))
              : PCollectionTuple.of(INPUT, batches)
                  .and(MODEL_URIS, modelUris.get())
                  .apply("Expand", client.transform(RUN_INFERENCE, config));
      RunInferenceResult result = client.result(RUN_INFERENCE_RESULT, RunInferenceResult.parser());
      return new Expansion(
          outputs.get(OUTPUT_TAG),
          outputs.get(ERRORS_TAG),
          result.getPredictionsList(),
          List.of(),
          result.getModelColumnsList());
    }
  }

  @Override
  public Expansion expand(MLTransformConfig config, PCollection<byte[]> batches) {
    checkReachable();
    try (Client client = new Client(address)) {
      PCollectionTuple outputs = batches.apply("Expand", client.transform(ML_TRANSFORM, config));
      MLTransformResult result = client.result(ML_TRANSFORM_RESULT, MLTransformResult.parser());
      return new Expansion(
          outputs.get(OUTPUT_TAG),
          outputs.get(ERRORS_TAG),
          result.getColumnsList(),
          result.getDroppedList(),
          List.of());
    }
  }

  private void checkReachable() {
    int colon = address.lastIndexOf(':');
    if (colon <= 0 || !address.substring(colon + 1).matches("\\d{1,5}")) {
      throw new ExpansionException(
          "expansion service: no address; got \"" + address + "\"; expected host:port");
    }
    String host = address.substring(0, colon).replaceAll("^\\[|\\]$", "");
    int port = Integer.parseInt(address.substring(colon + 1));
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress(host, port), CONNECT_TIMEOUT_MILLIS);
    } catch (IOException | IllegalArgumentException e) {
      throw new ExpansionException(
          "no expansion service at "
              + address
              + "; start one with `beam-ml-expansion serve`, or leave the address out and "
              + "the client starts one",
          e);
    }
  }

  /**
   * One conversation with the service. It keeps the answer, of which {@link External} passes on
   * only the outputs.
   */
  private static final class Client
      implements ExpansionServiceClientFactory, ExpansionServiceClient {
    private final String address;
    private final ManagedChannel channel;
    private ExpansionResponse response;

    Client(String address) {
      this.address = address;
      this.channel =
          ManagedChannelBuilder.forTarget(address)
              .usePlaintext()
              .maxInboundMessageSize(Integer.MAX_VALUE)
              .build();
    }

    @Override
    public ExpansionServiceClient getExpansionServiceClient(ApiServiceDescriptor endpoint) {
      return this;
    }

    @Override
    public ExpansionResponse expand(ExpansionRequest request) {
      try {
        response = stub().expand(request);
      } catch (StatusRuntimeException e) {
        throw new ExpansionException(
            "the server at "
                + address
                + " did not answer as an expansion service: "
                + e.getStatus().getCode()
                + (e.getStatus().getDescription() == null
                    ? ""
                    : ", " + e.getStatus().getDescription()),
            e);
      }
      if (!response.getError().isEmpty()) {
        throw new ExpansionException(response.getError());
      }
      return response;
    }

    @Override
    public DiscoverSchemaTransformResponse discover(DiscoverSchemaTransformRequest request) {
      return stub().discoverSchemaTransform(request);
    }

    private ExpansionServiceGrpc.ExpansionServiceBlockingStub stub() {
      return ExpansionServiceGrpc.newBlockingStub(channel)
          .withDeadlineAfter(EXPAND_TIMEOUT_SECS, TimeUnit.SECONDS);
    }

    /** A transform of the service, which is expanded when it is applied; its outputs by tag. */
    <InputT extends PInput> PTransform<InputT, PCollectionTuple> transform(
        String urn, Message config) {
      return External.<InputT, byte[]>of(urn, config.toByteArray(), address, this)
          .withMultiOutputs();
    }

    /** What the service says of the results, in an annotation. */
    <M> M result(String name, Parser<M> parser) {
      ByteString annotation = response.getTransform().getAnnotationsMap().get(name);
      if (annotation == null) {
        throw new ExpansionException(
            "the service at "
                + address
                + " did not say what comes back (no annotation "
                + name
                + "); is it a beam-ml-expansion service of this client's version?");
      }
      try {
        return parser.parseFrom(annotation.toByteArray());
      } catch (InvalidProtocolBufferException e) {
        throw new ExpansionException(
            "the service at " + address + " sent a broken " + name, e);
      }
    }

    @Override
    public void close() {
      channel.shutdownNow();
    }
  }
}
