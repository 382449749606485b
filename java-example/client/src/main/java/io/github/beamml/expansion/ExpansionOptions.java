// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.options.PipelineOptions;

/** Pipeline options of {@link RunInference}. */
public interface ExpansionOptions extends PipelineOptions {

  /** Address of the expansion service, for steps that name none themselves. */
  @Description(
      "host:port of the beam-ml-expansion service that expands RunInference, for steps that name"
          + " none themselves. Default: the client starts one.")
  String getExpansionService();

  /** Sets the address of the expansion service. */
  void setExpansionService(String value);
}
