// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import static org.junit.Assert.assertEquals;

import java.util.List;
import org.junit.Test;

/** Lines of CSV that the samples write and read. */
public class CsvTest {

  @Test
  public void whatIsQuotedIsReadBack() {
    for (String text : List.of("", "\"", "\"\"", ",", "a,b", "\"a\",\"b\"", "he said: \"a, b\"")) {
      String line = String.join(",", Csv.quoted(text), "7", Csv.quoted(text));
      assertEquals(List.of(text, "7", text), Csv.columns(line));
    }
  }

  @Test
  public void columnsWithoutQuotesAreThoseBetweenCommas() {
    assertEquals(List.of("0", "", "7", ""), Csv.columns("0,,7,"));
  }
}
