// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.util.List;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsRegistrar;

/** Makes {@code --expansionService} known to every pipeline with this library on its class path. */
public final class ExpansionOptionsRegistrar implements PipelineOptionsRegistrar {

  /** Called by Beam through {@link java.util.ServiceLoader}. */
  public ExpansionOptionsRegistrar() {}

  @Override
  public Iterable<Class<? extends PipelineOptions>> getPipelineOptions() {
    return List.of(ExpansionOptions.class);
  }
}
