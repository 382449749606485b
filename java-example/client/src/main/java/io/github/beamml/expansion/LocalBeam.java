// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.beam.fn.harness.ExternalWorkerService;
import org.apache.beam.sdk.PipelineRunner;
import org.apache.beam.sdk.fn.server.GrpcFnServer;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.options.PortablePipelineOptions;
import org.apache.beam.sdk.options.SdkHarnessOptions;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ManagedChannel;

/**
 * A complete Beam on this machine: an expansion service with its local runner, and workers for Java
 * steps in this JVM. For development and small batch jobs.
 *
 * <pre>{@code
 * try (LocalBeam beam = LocalBeam.start()) {
 *   Pipeline pipeline = Pipeline.create(beam.options());
 *   …
 *   pipeline.run().waitUntilFinish();
 * }
 * }</pre>
 *
 * <p>Needs {@code org.apache.beam:beam-runners-portability-java}, {@code
 * org.apache.beam:beam-sdks-java-harness} and {@code com.github.jbellis:jamm} at run time.
 */
public final class LocalBeam implements AutoCloseable {

  private static final String RUNNER = "org.apache.beam.runners.portability.PortableRunner";

  /**
   * Beam's harness leaves gRPC channels to the garbage collector, and gRPC calls that a severe
   * error. It is none.
   */
  private static final Logger ORPHANED_CHANNELS =
      Logger.getLogger(
          ManagedChannel.class.getPackage().getName() + ".internal.ManagedChannelOrphanWrapper");

  static {
    ORPHANED_CHANNELS.setLevel(Level.OFF);
  }

  private final ServiceProcess service;
  private final String expansionService;
  private final String jobEndpoint;
  private final GrpcFnServer<ExternalWorkerService> workers;
  private final Path nothingToStage;

  private LocalBeam(ServiceProcess service, String expansionService, String jobEndpoint) {
    this.service = service;
    this.expansionService = expansionService;
    this.jobEndpoint = jobEndpoint;
    try {
      this.workers = new ExternalWorkerService(workerOptions()).start();
      this.nothingToStage = Files.createTempFile("beam-ml-expansion-", ".txt");
    } catch (Exception e) {
      throw new ExpansionException("cannot start workers for Java steps: " + e.getMessage(), e);
    }
  }

  /**
   * Starts {@code beam-ml-expansion serve --local-runner} and workers.
   *
   * @param serveArguments further arguments of {@code serve}
   * @throws ExpansionException if the command or a library is missing, or does not start
   */
  public static LocalBeam start(String... serveArguments) {
    checkLibraries();
    List<String> arguments = new ArrayList<>(List.of("--local-runner"));
    arguments.addAll(List.of(serveArguments));
    ServiceProcess service = ServiceProcess.start(arguments);
    try {
      return new LocalBeam(service, service.expansionAddress(), service.jobAddress());
    } catch (ExpansionException e) {
      service.close();
      throw e;
    }
  }

  /**
   * Starts workers only, for a service and a runner that run already.
   *
   * @param expansionService host:port of the expansion service; null makes {@link RunInference}
   *     start one, whose Python steps then run in Beam's stock image: that lacks the package
   *     beam-ml-expansion and the model's framework, so they fail. Start {@code serve} with an
   *     {@code --environment} that has them, and give its address
   * @param jobEndpoint host:port of a job service on this machine: of {@code serve --local-runner},
   *     Prism or Flink
   */
  public static LocalBeam attach(String expansionService, String jobEndpoint) {
    checkLibraries();
    return new LocalBeam(null, expansionService, jobEndpoint);
  }

  /** Options for a pipeline that runs here. */
  public PipelineOptions options() {
    return configure(PipelineOptionsFactory.create());
  }

  /** Makes the pipeline of these options run here; returns them. */
  public PipelineOptions configure(PipelineOptions options) {
    options.setRunner(runner());
    options.as(ExpansionOptions.class).setExpansionService(expansionService);
    PortablePipelineOptions portable = options.as(PortablePipelineOptions.class);
    portable.setJobEndpoint(jobEndpoint);
    // LOOPBACK says the same, but then Beam fails as soon as a pipeline has a Python step.
    portable.setDefaultEnvironmentType("EXTERNAL");
    portable.setDefaultEnvironmentConfig(workers.getApiServiceDescriptor().getUrl());
    // The workers have this JVM's classes. Without a file to stage, Beam would stage the whole
    // class path for each run.
    portable.setFilesToStage(List.of(nothingToStage.toString()));
    return options;
  }

  /** host:port of the expansion service. */
  public String expansionService() {
    return expansionService;
  }

  /** host:port of the job service. */
  public String jobEndpoint() {
    return jobEndpoint;
  }

  /** Stops what was started. */
  @Override
  public void close() {
    try {
      workers.close();
      Files.deleteIfExists(nothingToStage);
    } catch (IOException e) {
      throw new ExpansionException("cannot delete " + nothingToStage + ": " + e.getMessage(), e);
    } catch (Exception e) {
      throw new ExpansionException("cannot stop the workers for Java steps: " + e.getMessage(), e);
    } finally {
      if (service != null) {
        service.close();
      }
    }
  }

  /**
   * Options of the workers. What they log goes where all of this JVM does: sent through the runner,
   * it would take the JVM's logging over, and end with errors when a job does.
   */
  private static PipelineOptions workerOptions() {
    PipelineOptions options = PipelineOptionsFactory.create();
    options.as(SdkHarnessOptions.class).setEnableLogViaFnApi(false);
    return options;
  }

  private static void checkLibraries() {
    checkLibrary(RUNNER, "org.apache.beam:beam-runners-portability-java");
    checkLibrary("org.apache.beam.fn.harness.FnHarness", "org.apache.beam:beam-sdks-java-harness");
    checkLibrary("org.github.jamm.MemoryMeter", "com.github.jbellis:jamm");
  }

  private static void checkLibrary(String className, String artifact) {
    try {
      Class.forName(className, false, LocalBeam.class.getClassLoader());
    } catch (ClassNotFoundException e) {
      throw new ExpansionException(
          "LocalBeam needs " + artifact + " on the class path at run time; add it to the build", e);
    }
  }

  @SuppressWarnings("unchecked")
  private static Class<? extends PipelineRunner<?>> runner() {
    try {
      return (Class<? extends PipelineRunner<?>>) Class.forName(RUNNER);
    } catch (ClassNotFoundException e) {
      throw new ExpansionException(
          "LocalBeam needs org.apache.beam:beam-runners-portability-java", e);
    }
  }
}
