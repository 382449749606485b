// Licensed under the Apache License, Version 2.0; see LICENSE.

/** Unit tests of pipelines that infer, without Python. */
package io.github.beamml.expansion.testing;
