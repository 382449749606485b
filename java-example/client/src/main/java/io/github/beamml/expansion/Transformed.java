// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.util.Map;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PInput;
import org.apache.beam.sdk.values.POutput;
import org.apache.beam.sdk.values.PValue;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TupleTag;

/**
 * What {@link MLTransform} gives: a row for each element that was transformed, an error for each
 * that was not. Together they are as many as the elements.
 *
 * @param <T> the type of the elements
 */
public final class Transformed<T> implements POutput {

  private final TupleTag<Row> outputTag = new TupleTag<>(ServiceExpander.OUTPUT_TAG);
  private final TupleTag<InferenceError<T>> errorsTag =
      new TupleTag<>(ServiceExpander.ERRORS_TAG);
  private final PCollection<Row> output;
  private final PCollection<InferenceError<T>> errors;

  Transformed(PCollection<Row> output, PCollection<InferenceError<T>> errors) {
    this.output = output;
    this.errors = errors;
  }

  /**
   * The transformed elements, in their windows: the fields of their schema, those that were
   * transformed in their places, then the ones that were added.
   */
  public PCollection<Row> output() {
    return output;
  }

  /** The errors, in the windows of their elements. */
  public PCollection<InferenceError<T>> errors() {
    return errors;
  }

  @Override
  public Pipeline getPipeline() {
    return output.getPipeline();
  }

  @Override
  public Map<TupleTag<?>, PValue> expand() {
    return Map.of(outputTag, output, errorsTag, errors);
  }

  @Override
  public void finishSpecifyingOutput(
      String transformName, PInput input, PTransform<?, ?> transform) {}
}
