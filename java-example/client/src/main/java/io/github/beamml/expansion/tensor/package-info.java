// Licensed under the Apache License, Version 2.0; see LICENSE.

/**
 * Columns: the datatypes that cross the language boundary, and the wire format that carries them,
 * TensorBatch. Pipelines need {@link io.github.beamml.expansion.tensor.Datatype} alone; the rest is
 * for whoever writes another client or a fake.
 */
package io.github.beamml.expansion.tensor;
