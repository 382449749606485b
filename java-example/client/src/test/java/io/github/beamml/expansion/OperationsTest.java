// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static io.github.beamml.expansion.Messages.json;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.github.beamml.expansion.v1.Operation;
import io.github.beamml.expansion.v1.ScaleToZScore;
import io.github.beamml.expansion.v1.Select;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.Test;

/** Operations, as the message that the service gets. */
public class OperationsTest {

  private static final List<FieldDescriptor> FIELDS =
      Operation.getDescriptor().getOneofs().get(0).getFields();

  private static Map<Operation, String> all() {
    Map<Operation, String> all = new LinkedHashMap<>();
    all.put(Operations.scaleTo01("a", "b"), "{'scale_to_01':{'columns':['a','b']}}");
    all.put(
        Operations.scaleByMinMax(-1, 1, "a"),
        "{'scale_by_min_max':{'columns':['a'],'min_value':-1.0,'max_value':1.0}}");
    all.put(Operations.scaleToZScore("a"), "{'scale_to_z_score':{'columns':['a']}}");
    all.put(Operations.scaleToGaussian("a"), "{'scale_to_gaussian':{'columns':['a']}}");
    all.put(Operations.vocabulary("a"), "{'compute_and_apply_vocabulary':{'columns':['a']}}");
    all.put(
        Operations.vocabulary(" ,", 100, "a"),
        "{'compute_and_apply_vocabulary':{'columns':['a'],'delimiters':' ,','top_k':'100'}}");
    all.put(Operations.bucketize(4, "a"), "{'bucketize':{'columns':['a'],'buckets':'4'}}");
    all.put(
        Operations.applyBuckets(List.of(18.0, 65.0), "a"),
        "{'apply_buckets':{'columns':['a'],'boundaries':[18.0,65.0]}}");
    all.put(
        Operations.applyBucketsWithInterpolation(List.of(0.0, 18.0), "a"),
        "{'apply_buckets_with_interpolation':{'columns':['a'],'boundaries':[0.0,18.0]}}");
    all.put(Operations.tfidf(1000, "a"), "{'tfidf':{'columns':['a'],'vocabulary_size':'1000'}}");
    all.put(
        Operations.ngrams(1, 2, "a"), "{'ngrams':{'columns':['a'],'min_n':1,'max_n':2}}");
    all.put(Operations.bagOfWords("a"), "{'bag_of_words':{'columns':['a']}}");
    all.put(Operations.hashStrings(64, "a"), "{'hash_strings':{'columns':['a'],'buckets':'64'}}");
    all.put(Operations.deduplicate("a"), "{'deduplicate':{'columns':['a']}}");
    all.put(Operations.oneHot(50, "a"), "{'one_hot':{'columns':['a'],'size':'50'}}");
    all.put(
        Operations.impute("median", "a"), "{'impute':{'columns':['a'],'strategy':'median'}}");
    all.put(
        Operations.embed(Models.onnx("minilm.onnx"), "a"),
        "{'embed':{'columns':['a'],'model':{'onnx':{'uri':'minilm.onnx'}}}}");
    all.put(
        Operations.embed(Models.onnx("m.onnx"), "a"),
        "{'embed':{'columns':['a'],'model':{'onnx':{'uri':'m.onnx'}}}}");
    return all;
  }

  @Test
  public void everyOperationIsItsMessage() throws Exception {
    for (Map.Entry<Operation, String> entry : all().entrySet()) {
      assertEquals(entry.getValue(), json(entry.getKey()));
    }
  }

  @Test
  public void everyOperationOfTheMessageIsOffered() {
    assertEquals(
        FIELDS.stream().map(FieldDescriptor::getNumber).collect(Collectors.toSet()),
        all().keySet().stream()
            .map(operation -> operation.getOperationCase().getNumber())
            .collect(Collectors.toSet()));
  }

  @Test
  public void everyMessageOfAnOperationIsOneWithAllItsSettings() {
    for (FieldDescriptor field : FIELDS) {
      Message settings = Operation.newBuilder().newBuilderForField(field).build();
      assertEquals(field.getNumber(), Operations.of(settings).getOperationCase().getNumber());
    }
    ScaleToZScore settings =
        ScaleToZScore.newBuilder().addColumns("a").addOutputs("z").setElementwise(true).build();
    assertEquals(settings, Operations.of(settings).getScaleToZScore());
  }

  @Test
  public void aMessageOfAnythingElseIsRefused() {
    assertEquals(
        "operation: got a Select, which is none; expected a message such as ScaleToZScore",
        assertThrows(
                ExpansionException.class, () -> Operations.of(Select.getDefaultInstance()))
            .getMessage());
  }
}
