// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.Affine;
import io.github.beamml.expansion.v1.Argmax;
import io.github.beamml.expansion.v1.Bucketize;
import io.github.beamml.expansion.v1.Cast;
import io.github.beamml.expansion.v1.Concat;
import io.github.beamml.expansion.v1.CustomHook;
import io.github.beamml.expansion.v1.DecodeImage;
import io.github.beamml.expansion.v1.DecodeTokens;
import io.github.beamml.expansion.v1.Field;
import io.github.beamml.expansion.v1.Hash;
import io.github.beamml.expansion.v1.Hook;
import io.github.beamml.expansion.v1.Impute;
import io.github.beamml.expansion.v1.L2Normalize;
import io.github.beamml.expansion.v1.Labels;
import io.github.beamml.expansion.v1.MLTransformArtifact;
import io.github.beamml.expansion.v1.MinMax;
import io.github.beamml.expansion.v1.OneHot;
import io.github.beamml.expansion.v1.Pad;
import io.github.beamml.expansion.v1.Rename;
import io.github.beamml.expansion.v1.Reshape;
import io.github.beamml.expansion.v1.Round;
import io.github.beamml.expansion.v1.Scale;
import io.github.beamml.expansion.v1.Select;
import io.github.beamml.expansion.v1.Softmax;
import io.github.beamml.expansion.v1.Standardize;
import io.github.beamml.expansion.v1.Threshold;
import io.github.beamml.expansion.v1.Tokenize;
import io.github.beamml.expansion.v1.TopK;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Operations on columns: before the model ({@link RunInference#preHooks}) on features, after it
 * ({@link RunInference#postHooks}) on predictions. Shapes and axes are those of one row.
 *
 * <p>Here are the settings that most pipelines need; the messages of {@code
 * io.github.beamml.expansion.v1} have all of them.
 */
public final class Hooks {

  private Hooks() {}

  /** Keeps these columns, in this order, and drops the others. */
  public static Hook select(String... columns) {
    return Hook.newBuilder()
        .setSelect(Select.newBuilder().addAllColumns(Arrays.asList(columns)))
        .build();
  }

  /** Converts columns to another datatype; a value that does not fit makes its row an error row. */
  public static Hook cast(Datatype datatype, String... columns) {
    Cast cast =
        Cast.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setDatatype(datatype.name())
            .build();
    return Hook.newBuilder().setCast(cast).build();
  }

  /**
   * x × {@code factor} + {@code offset}, elementwise; floating columns keep their datatype, others
   * become FP32.
   */
  public static Hook scale(double factor, double offset, String... columns) {
    Affine affine = Affine.newBuilder().setFactor(factor).setOffset(offset).build();
    return Hook.newBuilder()
        .setScale(Scale.newBuilder().addAllColumns(Arrays.asList(columns)).setAffine(affine))
        .build();
  }

  /** Maps [{@code min}, {@code max}] onto [0, 1], elementwise, without clipping. */
  public static Hook minMax(double min, double max, String... columns) {
    MinMax range = MinMax.newBuilder().setMin(min).setMax(max).build();
    return Hook.newBuilder()
        .setScale(Scale.newBuilder().addAllColumns(Arrays.asList(columns)).setMinMax(range))
        .build();
  }

  /**
   * Gives the rows of a column another shape; one dimension may be -1, which takes what is left.
   */
  public static Hook reshape(String column, long... shape) {
    Reshape.Builder reshape = Reshape.newBuilder().setColumn(column);
    Arrays.stream(shape).forEach(reshape::addShape);
    return Hook.newBuilder().setReshape(reshape).build();
  }

  /**
   * Pads rows with zeros to this many elements along their first axis; a longer row becomes an
   * error row.
   */
  public static Hook padToLength(long length, String... columns) {
    return pad(Pad.newBuilder().setLength(length), columns);
  }

  /** Pads rows with zeros to the next multiple that holds the longest row of the batch. */
  public static Hook padToMultiple(long multiple, String... columns) {
    return pad(Pad.newBuilder().setMultiple(multiple), columns);
  }

  /** Pads rows with zeros to the longest row of the batch. */
  public static Hook padToLongest(String... columns) {
    return pad(Pad.newBuilder().setLongest(true), columns);
  }

  private static Hook pad(Pad.Builder pad, String... columns) {
    return Hook.newBuilder().setPad(pad.addAllColumns(Arrays.asList(columns))).build();
  }

  /**
   * Turns integers in [0, {@code depth}) into FP32 vectors with 1 at their index and 0 elsewhere.
   */
  public static Hook oneHot(String column, long depth) {
    return Hook.newBuilder()
        .setOneHot(OneHot.newBuilder().setColumn(column).setDepth(depth))
        .build();
  }

  /** Turns texts into FP32 vectors with 1 at their index in {@code categories} and 0 elsewhere. */
  public static Hook oneHot(String column, List<String> categories) {
    return Hook.newBuilder()
        .setOneHot(OneHot.newBuilder().setColumn(column).addAllCategories(categories))
        .build();
  }

  /** Joins columns into one along their first axis; scalars count as vectors of one element. */
  public static Hook concat(String output, String... columns) {
    Concat concat =
        Concat.newBuilder().setOutput(output).addAllColumns(Arrays.asList(columns)).build();
    return Hook.newBuilder().setConcat(concat).build();
  }

  /** Turns the scores of a column into probabilities, in place. */
  public static Hook softmax(String column) {
    return softmax(column, column);
  }

  /** Turns the scores of a column into probabilities, in column {@code output}. */
  public static Hook softmax(String column, String output) {
    return Hook.newBuilder()
        .setSoftmax(Softmax.newBuilder().setColumn(column).setOutput(output))
        .build();
  }

  /** The index (INT64, from 0) of the largest value along the last axis. */
  public static Hook argmax(String column, String output) {
    return Hook.newBuilder()
        .setArgmax(Argmax.newBuilder().setColumn(column).setOutput(output))
        .build();
  }

  /**
   * The {@code k} largest values along the last axis, descending, and their indices (INT64, from
   * 0).
   */
  public static Hook topK(String column, long k, String valuesOutput, String indicesOutput) {
    TopK topK =
        TopK.newBuilder()
            .setColumn(column)
            .setK(k)
            .setValuesOutput(valuesOutput)
            .setIndicesOutput(indicesOutput)
            .build();
    return Hook.newBuilder().setTopK(topK).build();
  }

  /** Turns class indices into these names. */
  public static Hook labels(String column, String output, List<String> labels) {
    return Hook.newBuilder()
        .setLabels(Labels.newBuilder().setColumn(column).setOutput(output).addAllLabels(labels))
        .build();
  }

  /** Turns class indices into the names that a UTF-8 text file holds, one a line. */
  public static Hook labelsFile(String column, String output, String uri) {
    return Hook.newBuilder()
        .setLabels(Labels.newBuilder().setColumn(column).setOutput(output).setUri(uri))
        .build();
  }

  /** x ≥ {@code value}, elementwise (BOOL). */
  public static Hook threshold(String column, double value, String output) {
    return Hook.newBuilder()
        .setThreshold(Threshold.newBuilder().setColumn(column).setValue(value).setOutput(output))
        .build();
  }

  /** Gives one column another name. */
  public static Hook rename(String from, String to) {
    return rename(Map.of(from, to));
  }

  /** Gives columns other names: old ones to new ones. */
  public static Hook rename(Map<String, String> names) {
    return Hook.newBuilder().setRename(Rename.newBuilder().putAllColumns(names)).build();
  }

  /**
   * Decodes JPEG, PNG and WebP files into UINT8 pixels [height, width, 3], RGB, stretched to this
   * size. Cutting, normalising and other orders of channels: {@link DecodeImage}.
   */
  public static Hook decodeImage(String column, String output, int width, int height) {
    return Hook.newBuilder()
        .setDecodeImage(
            DecodeImage.newBuilder()
                .setColumn(column)
                .setOutput(output)
                .setWidth(width)
                .setHeight(height))
        .build();
  }

  /**
   * Turns texts into tokens: columns {@code input_ids} and {@code attention_mask} (INT64), padded to
   * the longest of the batch.
   *
   * @param uri a tokenizer.json of Hugging Face, read by the workers
   */
  public static Hook tokenize(String column, String uri) {
    return Hook.newBuilder()
        .setTokenize(Tokenize.newBuilder().setColumn(column).setUri(uri))
        .build();
  }

  /** Turns token ids into texts. */
  public static Hook decodeTokens(String column, String output, String uri) {
    return Hook.newBuilder()
        .setDecodeTokens(
            DecodeTokens.newBuilder().setColumn(column).setOutput(output).setUri(uri))
        .build();
  }

  /** (x − {@code mean}) ÷ {@code standardDeviation}, elementwise. */
  public static Hook standardize(double mean, double standardDeviation, String... columns) {
    return standardize(
        Standardize.newBuilder().addMean(mean).addStandardDeviation(standardDeviation), columns);
  }

  /** Standardizes each column by its statistics in a JSON file that workers read. */
  public static Hook standardizeFile(String uri, String... columns) {
    return standardize(Standardize.newBuilder().setUri(uri), columns);
  }

  private static Hook standardize(Standardize.Builder standardize, String... columns) {
    return Hook.newBuilder()
        .setStandardize(standardize.addAllColumns(Arrays.asList(columns)))
        .build();
  }

  /** Puts a number in place of NaN, and of nulls of the input. */
  public static Hook impute(double value, String... columns) {
    return impute(Impute.newBuilder().setValue(value), columns);
  }

  /** Puts a text in place of nulls of the input. */
  public static Hook impute(String text, String... columns) {
    return impute(Impute.newBuilder().setText(text), columns);
  }

  private static Hook impute(Impute.Builder impute, String... columns) {
    return Hook.newBuilder().setImpute(impute.addAllColumns(Arrays.asList(columns))).build();
  }

  /** Turns texts, bytes and integers into INT64 in [0, {@code buckets}), by their hash. */
  public static Hook hash(long buckets, String... columns) {
    return Hook.newBuilder()
        .setHash(Hash.newBuilder().setBuckets(buckets).addAllColumns(Arrays.asList(columns)))
        .build();
  }

  /** The number (INT64) of ascending boundaries that are not above x. */
  public static Hook bucketize(List<Double> boundaries, String... columns) {
    return Hook.newBuilder()
        .setBucketize(
            Bucketize.newBuilder()
                .addAllBoundaries(boundaries)
                .addAllColumns(Arrays.asList(columns)))
        .build();
  }

  /** Scales vectors to length 1, along the last axis. */
  public static Hook l2Normalize(String... columns) {
    return Hook.newBuilder()
        .setL2Normalize(L2Normalize.newBuilder().addAllColumns(Arrays.asList(columns)))
        .build();
  }

  /** Rounds to this many digits after the decimal point, halves to even. */
  public static Hook round(int decimals, String... columns) {
    return Hook.newBuilder()
        .setRound(Round.newBuilder().setDecimals(decimals).addAllColumns(Arrays.asList(columns)))
        .build();
  }

  /**
   * Runs a Python function of your own, which the operator of the service must allow.
   *
   * @param function importable on the workers, as "package.module.function"
   * @param columns what it reads
   * @param outputs the columns that it returns; {@link Fields} makes them
   */
  public static Hook custom(String function, List<String> columns, Field... outputs) {
    return Hook.newBuilder()
        .setCustom(
            CustomHook.newBuilder()
                .setFunction(function)
                .addAllColumns(columns)
                .addAllOutputs(Arrays.asList(outputs)))
        .build();
  }

  /**
   * Applies what {@code MLTransform} has learned: the same goes before the model as when it was trained.
   *
   * @param readArtifactLocation the directory that {@code MLTransform} has written
   */
  public static Hook mlTransform(String readArtifactLocation) {
    return Hook.newBuilder()
        .setMlTransform(
            MLTransformArtifact.newBuilder().setReadArtifactLocation(readArtifactLocation))
        .build();
  }
}
