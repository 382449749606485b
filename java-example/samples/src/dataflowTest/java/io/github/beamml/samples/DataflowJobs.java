// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import io.github.beamml.expansion.ExpansionOptions;
import java.io.IOException;
import java.util.Arrays;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptor;

/** Pipelines as jobs of Dataflow that are written to files: a sample, or one of many transforms. */
public final class DataflowJobs {

  private DataflowJobs() {}

  /** Options of the pipeline of many transforms. */
  public interface Options extends Digits.Options {
    /** How many. */
    int getTransforms();

    /** Sets how many. */
    void setTransforms(int value);
  }

  /**
   * Writes a job.
   *
   * @param args {@code digits} or {@code many}, and the options
   */
  public static void main(String[] args) throws IOException {
    String[] options = Arrays.copyOfRange(args, 1, args.length);
    if (args[0].equals("many")) {
      many(PipelineOptionsFactory.fromArgs(options).as(Options.class));
      return;
    }
    Digits.main(options);
  }

  private static void many(Options options) {
    Pipeline pipeline = Pipeline.create(options.as(ExpansionOptions.class));
    PCollection<Digit> digits =
        pipeline
            .apply("Read", TextIO.read().from(options.getInput()))
            .apply("Parse", MapElements.into(TypeDescriptor.of(Digit.class)).via(Digit::parse));
    for (int number = 1; number <= options.getTransforms(); number++) {
      digits.apply("Classify" + number, Digits.classify(options));
    }
    pipeline.run();
  }
}
