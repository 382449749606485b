// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import io.github.beamml.expansion.LocalBeam;
import java.io.IOException;
import java.util.Arrays;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.options.PortablePipelineOptions;

/** Runs samples: on this machine, unless their arguments say otherwise. */
final class Launcher {

  private Launcher() {}

  /** A pipeline that runs to its end. */
  interface Sample<O> {
    void run(O options) throws IOException;
  }

  /**
   * Runs a sample: with --runner, where that says; with --jobEndpoint, on that job service; else on
   * a LocalBeam of its own.
   */
  static <O extends ExpansionOptions> void launch(
      String[] args, Class<O> optionsType, Sample<O> sample) throws IOException {
    O options = PipelineOptionsFactory.fromArgs(args).as(optionsType);
    if (has(args, "--runner=")) {
      try {
        sample.run(options);
      } catch (UnsupportedOperationException e) {
        // Dataflow's runner has written a template, and there is no job yet that could be waited for.
        if (!has(args, "--templateLocation=")) {
          throw e;
        }
      }
      return;
    }
    String jobEndpoint = options.as(PortablePipelineOptions.class).getJobEndpoint();
    try (LocalBeam beam =
        jobEndpoint == null
            ? LocalBeam.start()
            : LocalBeam.attach(options.getExpansionService(), jobEndpoint)) {
      beam.configure(options);
      sample.run(options);
    }
  }

  private static boolean has(String[] args, String option) {
    return Arrays.stream(args).anyMatch(arg -> arg.startsWith(option));
  }

  /** Runs a pipeline and waits until it is done. */
  static PipelineResult finish(Pipeline pipeline) {
    PipelineResult result = pipeline.run();
    PipelineResult.State state = result.waitUntilFinish();
    if (state != PipelineResult.State.DONE) {
      throw new IllegalStateException("the pipeline ended as " + state);
    }
    return result;
  }
}
