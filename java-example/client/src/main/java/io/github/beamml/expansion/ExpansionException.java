// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

/**
 * The expansion service refused a configuration, could not be reached, or could not be started. The
 * message is written for the person who builds the pipeline: one problem a line, each with what is
 * wrong and how to mend it.
 */
public final class ExpansionException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  /** Creates an exception with a message for the pipeline's author. */
  public ExpansionException(String message) {
    super(message);
  }

  /** Creates an exception with a message for the pipeline's author and the cause of it. */
  public ExpansionException(String message, Throwable cause) {
    super(message, cause);
  }
}
