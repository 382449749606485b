// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.beam.sdk.io.FileSystems;

/** How good predictions are: accuracy and a confusion matrix. */
final class Evaluation {

  private final TreeMap<String, TreeMap<String, Integer>> counts = new TreeMap<>();
  private int right;
  private int all;

  /** Reads a CSV file of an id, label, predicted, score, from any of Beam's filesystems. */
  static Evaluation read(String path) throws IOException {
    Evaluation evaluation = new Evaluation();
    try (BufferedReader reader =
        new BufferedReader(
            Channels.newReader(
                FileSystems.open(FileSystems.matchSingleFileSpec(path).resourceId()),
                StandardCharsets.UTF_8))) {
      reader.readLine();
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        List<String> columns = Csv.columns(line);
        evaluation.add(columns.get(1), columns.get(2));
      }
    }
    return evaluation;
  }

  void add(String label, String predicted) {
    counts.computeIfAbsent(label, l -> new TreeMap<>()).merge(predicted, 1, Integer::sum);
    right += label.equals(predicted) ? 1 : 0;
    all++;
  }

  @Override
  public String toString() {
    Set<String> classes = new TreeSet<>(counts.keySet());
    counts.values().forEach(row -> classes.addAll(row.keySet()));
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            "accuracy %.4f (%d of %d)%n%n", (double) right / Math.max(all, 1), right, all));
    text.append("confusion matrix: a row for each label, a column for each prediction\n");
    int longest = classes.stream().mapToInt(String::length).max().orElse(0);
    String cell = "%" + Math.max(5, longest + 2) + "s";
    text.append(String.format(cell, ""));
    classes.forEach(name -> text.append(String.format(cell, name)));
    for (String label : classes) {
      text.append(String.format("%n" + cell, label));
      for (String predicted : classes) {
        int count = counts.getOrDefault(label, new TreeMap<>()).getOrDefault(predicted, 0);
        text.append(String.format(cell, count == 0 ? "." : count));
      }
    }
    return text.append('\n').toString();
  }
}
