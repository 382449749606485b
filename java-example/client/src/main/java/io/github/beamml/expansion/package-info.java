// Licensed under the Apache License, Version 2.0; see LICENSE.

/**
 * Machine learning inference in Beam pipelines in Java, by models that run in Python. Start with
 * {@link io.github.beamml.expansion.RunInference}; {@link io.github.beamml.expansion.LocalBeam}
 * runs a pipeline on this machine.
 */
package io.github.beamml.expansion;
