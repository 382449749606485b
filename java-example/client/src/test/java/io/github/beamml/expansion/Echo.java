// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.MLTransformConfig;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.util.List;
import java.util.Optional;
import org.apache.beam.sdk.coders.ByteArrayCoder;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.PCollection;

/** Returns the batches that it gets, all of their columns. */
final class Echo implements Expander {

  private final List<Field> results;
  private final List<String> dropped;

  /** What it was asked for last. */
  MLTransformConfig config;

  /** Creates an echo that says of {@code results} that they are not the input's own. */
  Echo(List<Field> results, List<String> dropped) {
    this.results = results;
    this.dropped = dropped;
  }

  @Override
  public Expansion expand(
      RunInferenceConfig config,
      PCollection<byte[]> batches,
      Optional<PCollection<String>> modelUris) {
    throw new UnsupportedOperationException("only MLTransform is echoed");
  }

  @Override
  public Expansion expand(MLTransformConfig config, PCollection<byte[]> batches) {
    this.config = config;
    PCollection<byte[]> none =
        batches.getPipeline().apply("NoErrors", Create.empty(ByteArrayCoder.of()));
    return new Expansion(batches, none, results, dropped, List.of());
  }
}
