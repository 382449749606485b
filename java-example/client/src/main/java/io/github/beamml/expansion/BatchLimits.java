// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.Serializable;

/**
 * How large the batches that cross the wire may become. Batches of the model are the service's
 * affair.
 */
final class BatchLimits implements Serializable {

  private static final long serialVersionUID = 1L;

  static final long DEFAULT_BYTES = 4L << 20;
  static final long DEFAULT_ELEMENT_BYTES = 64L << 20;

  /**
   * The most that {@link #bytes} may be. A batch is one array, of less than 2 GiB, and holds the
   * element that exceeds its bytes until that is taken back.
   */
  static final long MAX_BYTES = 1L << 30;

  /**
   * Rows of a batch: small rows too should reach the model before a bundle has collected all of
   * them.
   */
  static final int ROWS = 1 << 16;

  /** Bytes of a batch; only a single element may exceed it. */
  final long bytes;

  /** Bytes of one element; a larger one becomes an error. */
  final long elementBytes;

  BatchLimits(long bytes, long elementBytes) {
    this.bytes = bytes;
    this.elementBytes = elementBytes;
  }
}
