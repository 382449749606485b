// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import org.apache.beam.sdk.io.TextIO;

/** CSV files, RFC 4180. */
final class Csv {

  private Csv() {}

  /** Writes one file. */
  static TextIO.Write write(String folder, String file, String header) {
    return TextIO.write().to(folder + "/" + file).withoutSharding().withHeader(header);
  }

  /** A text in quotes. */
  static String quoted(String text) {
    return "\"" + text.replace("\"", "\"\"") + "\"";
  }
}
