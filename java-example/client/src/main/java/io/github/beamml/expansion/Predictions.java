// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PInput;
import org.apache.beam.sdk.values.POutput;
import org.apache.beam.sdk.values.PValue;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TupleTag;

/**
 * What {@link RunInference} gives: a prediction for each element that got one, an error for each
 * that did not. Together they are as many as the elements.
 *
 * @param <T> the type of the elements, or of what {@link RunInference#carry} makes of them
 */
public final class Predictions<T> implements POutput {

  private final TupleTag<Prediction<T>> outputTag;
  private final TupleTag<InferenceError<T>> errorsTag;
  private final PCollection<Prediction<T>> output;
  private final PCollection<InferenceError<T>> errors;
  private final List<String> modelColumns;
  private String name = "RunInference";
  private PCollection<Row> outputRows;
  private PCollection<Row> errorRows;

  Predictions(
      TupleTag<Prediction<T>> outputTag,
      PCollection<Prediction<T>> output,
      TupleTag<InferenceError<T>> errorsTag,
      PCollection<InferenceError<T>> errors,
      List<String> modelColumns) {
    this.outputTag = outputTag;
    this.output = output;
    this.errorsTag = errorsTag;
    this.errors = errors;
    this.modelColumns = modelColumns;
  }

  /** The predictions, in the windows of their elements. */
  public PCollection<Prediction<T>> output() {
    return output;
  }

  /** The errors, in the windows of their elements. */
  public PCollection<InferenceError<T>> errors() {
    return errors;
  }

  /** The schema of {@link Prediction#values()}, as the model and the post hooks give it. */
  public Schema schema() {
    return coder().schema();
  }

  /**
   * The predictions as rows for SQL, BigQuery or Iceberg: the fields of the element, then the
   * prediction columns, then {@code model_id} and, with {@link RunInference#refreshIntervalSecs},
   * {@code model_version}.
   *
   * @throws IllegalStateException if elements have no schema, or a prediction column has the name
   *     of one of their fields
   */
  public PCollection<Row> outputRows() {
    if (outputRows == null) {
      ResultRows<T> rows = ResultRows.of(coder().elementCoder(), modelColumns);
      outputRows = rows.outputs(name + ".OutputRows", output, schema());
    }
    return outputRows;
  }

  /**
   * The errors as rows: {@code element}, itself a row, then {@code stage}, {@code error_type},
   * {@code message}, {@code model_id} and, with {@link RunInference#refreshIntervalSecs}, {@code
   * model_version}.
   *
   * @throws IllegalStateException if elements have no schema
   */
  public PCollection<Row> errorRows() {
    if (errorRows == null) {
      ResultRows<T> rows = ResultRows.of(coder().elementCoder(), modelColumns);
      errorRows = rows.errors(name + ".ErrorRows", errors);
    }
    return errorRows;
  }

  private PredictionCoder<T> coder() {
    return (PredictionCoder<T>) output.getCoder();
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
      String transformName, PInput input, PTransform<?, ?> transform) {
    name = transformName;
  }
}
