// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion.tensor;

/** Bytes are no TensorBatch, or values do not fit into one. */
public final class TensorBatchException extends IllegalArgumentException {

  private static final long serialVersionUID = 1L;

  TensorBatchException(String message) {
    super(message);
  }

  TensorBatchException(String message, Throwable cause) {
    super(message, cause);
  }
}
