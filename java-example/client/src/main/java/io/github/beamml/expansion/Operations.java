// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.github.beamml.expansion.v1.ApplyBuckets;
import io.github.beamml.expansion.v1.ApplyBucketsWithInterpolation;
import io.github.beamml.expansion.v1.BagOfWords;
import io.github.beamml.expansion.v1.BucketizeByQuantiles;
import io.github.beamml.expansion.v1.ComputeAndApplyVocabulary;
import io.github.beamml.expansion.v1.Deduplicate;
import io.github.beamml.expansion.v1.Embed;
import io.github.beamml.expansion.v1.HashStrings;
import io.github.beamml.expansion.v1.LearnedImpute;
import io.github.beamml.expansion.v1.LearnedOneHot;
import io.github.beamml.expansion.v1.Model;
import io.github.beamml.expansion.v1.NGrams;
import io.github.beamml.expansion.v1.Operation;
import io.github.beamml.expansion.v1.ScaleByMinMax;
import io.github.beamml.expansion.v1.ScaleTo01;
import io.github.beamml.expansion.v1.ScaleToGaussian;
import io.github.beamml.expansion.v1.ScaleToZScore;
import io.github.beamml.expansion.v1.TfIdf;
import java.util.Arrays;
import java.util.List;

/**
 * Operations of {@link MLTransform}: each learns of the whole data set what it needs, such as a
 * minimum or a vocabulary, and then transforms columns in place.
 *
 * <p>Here are the settings that most pipelines need; the messages of {@code
 * io.github.beamml.expansion.v1} have all of them, such as {@code outputs}, the names of the results
 * where columns are not to be replaced: {@code Operations.of(ScaleToZScore.newBuilder()…build())}.
 */
public final class Operations {

  private Operations() {}

  /** Scales columns onto [0, 1]. */
  public static Operation scaleTo01(String... columns) {
    return of(ScaleTo01.newBuilder().addAllColumns(Arrays.asList(columns)).build());
  }

  /** Scales columns onto [{@code min}, {@code max}]. */
  public static Operation scaleByMinMax(double min, double max, String... columns) {
    return of(
        ScaleByMinMax.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setMinValue(min)
            .setMaxValue(max)
            .build());
  }

  /** Scales columns to mean 0 and variance 1. */
  public static Operation scaleToZScore(String... columns) {
    return of(ScaleToZScore.newBuilder().addAllColumns(Arrays.asList(columns)).build());
  }

  /** Scales columns with a long tail to about a normal distribution. */
  public static Operation scaleToGaussian(String... columns) {
    return of(ScaleToGaussian.newBuilder().addAllColumns(Arrays.asList(columns)).build());
  }

  /**
   * Turns each text or integer into its index (INT64) in the list of all of them, the most frequent
   * first; what is not in the list becomes -1.
   */
  public static Operation vocabulary(String... columns) {
    return of(ComputeAndApplyVocabulary.newBuilder().addAllColumns(Arrays.asList(columns)).build());
  }

  /**
   * Turns the words of texts into their indices in a vocabulary of at most so many words.
   *
   * @param delimiters characters at each of which a text is split; empty: a text is one word
   * @param topK words in the vocabulary, at most; 0 is all
   */
  public static Operation vocabulary(String delimiters, long topK, String... columns) {
    return of(
        ComputeAndApplyVocabulary.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setDelimiters(delimiters)
            .setTopK(topK)
            .build());
  }

  /** Turns numbers into the index (INT64) of one of so many intervals with about as many values. */
  public static Operation bucketize(long buckets, String... columns) {
    return of(
        BucketizeByQuantiles.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setBuckets(buckets)
            .build());
  }

  /** Turns numbers into the index (INT64) of their interval between ascending boundaries. */
  public static Operation applyBuckets(List<Double> boundaries, String... columns) {
    return of(
        ApplyBuckets.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .addAllBoundaries(boundaries)
            .build());
  }

  /** Scales numbers onto [0, 1], linearly between ascending boundaries. */
  public static Operation applyBucketsWithInterpolation(
      List<Double> boundaries, String... columns) {
    return of(
        ApplyBucketsWithInterpolation.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .addAllBoundaries(boundaries)
            .build());
  }

  /**
   * Weighs the words of texts by how rare they are: columns {@code …_vocab_index} (INT64) and {@code
   * …_tfidf_weight} (FP32) in place of each.
   *
   * @param vocabularySize words, at most, the most frequent ones; 0 is all
   */
  public static Operation tfidf(long vocabularySize, String... columns) {
    return of(
        TfIdf.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setVocabularySize(vocabularySize)
            .build());
  }

  /** Turns texts into their runs of {@code minN} to {@code maxN} words. */
  public static Operation ngrams(int minN, int maxN, String... columns) {
    return of(
        NGrams.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setMinN(minN)
            .setMaxN(maxN)
            .build());
  }

  /** Turns texts into the distinct words that are in them. */
  public static Operation bagOfWords(String... columns) {
    return of(BagOfWords.newBuilder().addAllColumns(Arrays.asList(columns)).build());
  }

  /** Turns texts and integers into one of so many buckets (INT64), by their hash. */
  public static Operation hashStrings(long buckets, String... columns) {
    return of(
        HashStrings.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setBuckets(buckets)
            .build());
  }

  /** Drops from each array the elements that are in it before. */
  public static Operation deduplicate(String... columns) {
    return of(Deduplicate.newBuilder().addAllColumns(Arrays.asList(columns)).build());
  }

  /**
   * Turns categories into vectors (FP32) that are 1 at the category's place and 0 elsewhere.
   *
   * @param size of the vectors; of more categories the rarest are left out
   */
  public static Operation oneHot(long size, String... columns) {
    return of(
        LearnedOneHot.newBuilder().addAllColumns(Arrays.asList(columns)).setSize(size).build());
  }

  /**
   * Puts what the data says in place of nulls and NaN.
   *
   * @param strategy {@code mean}, {@code median} or {@code most_frequent}
   */
  public static Operation impute(String strategy, String... columns) {
    return of(
        LearnedImpute.newBuilder()
            .addAllColumns(Arrays.asList(columns))
            .setStrategy(strategy)
            .build());
  }

  /**
   * Turns texts into vectors (FP32), with a model that takes texts: {@link Models#huggingface} for
   * sentence transformers, {@link Models#embeddingService} for those of a provider. Others need hooks
   * before or after them: {@code Operations.of(Embed.newBuilder()…build())}.
   */
  public static Operation embed(Model model, String... columns) {
    return of(Embed.newBuilder().setModel(model).addAllColumns(Arrays.asList(columns)).build());
  }

  /**
   * An operation with every setting that its message has.
   *
   * @param settings such as {@link ScaleToZScore}
   * @throws ExpansionException if it is no message of an operation
   */
  public static Operation of(Message settings) {
    for (FieldDescriptor field : Operation.getDescriptor().getOneofs().get(0).getFields()) {
      if (field.getMessageType().equals(settings.getDescriptorForType())) {
        return Operation.newBuilder().setField(field, settings).build();
      }
    }
    throw new ExpansionException(
        "operation: got a "
            + settings.getDescriptorForType().getName()
            + ", which is none; expected a message such as ScaleToZScore");
  }
}
