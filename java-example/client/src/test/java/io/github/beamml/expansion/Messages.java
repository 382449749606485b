// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;

/** Messages as text that is easy to compare. */
final class Messages {

  private Messages() {}

  /** JSON in one line, with the names of the proto files and single quotes. */
  static String json(Message message) throws Exception {
    return JsonFormat.printer()
        .preservingProtoFieldNames()
        .omittingInsignificantWhitespace()
        .print(message)
        .replace('"', '\'');
  }
}
