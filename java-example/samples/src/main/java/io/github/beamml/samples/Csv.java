// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import java.util.ArrayList;
import java.util.List;
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

  /** The columns of a line, with what is in quotes taken out of them. */
  static List<String> columns(String line) {
    List<String> columns = new ArrayList<>();
    StringBuilder column = new StringBuilder();
    boolean isQuoted = false;
    char before = ',';
    for (char c : line.toCharArray()) {
      if (c == '"') {
        if (!isQuoted && before == '"') {
          column.append(c);
        }
        isQuoted = !isQuoted;
      } else if (c == ',' && !isQuoted) {
        columns.add(column.toString());
        column.setLength(0);
      } else {
        column.append(c);
      }
      before = c;
    }
    columns.add(column.toString());
    return columns;
  }
}
