// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static io.github.beamml.expansion.Messages.json;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.Descriptors.FieldDescriptor;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.Hook;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.beam.sdk.values.Row;
import org.junit.Test;

/** Hooks, as the message that the service gets. */
public class HooksTest {

  @Test
  public void everyHookIsItsMessage() throws Exception {
    RunInference<Row, Row> inference =
        RunInference.<Row>of(Models.onnx("m.onnx"))
            .preHooks(
                Hooks.select("a", "b"),
                Hooks.cast(Datatype.FP32, "a"),
                Hooks.scale(0.5, -1, "a"),
                Hooks.minMax(0, 255, "a"),
                Hooks.reshape("a", 1, -1),
                Hooks.padToLength(8, "a"),
                Hooks.padToMultiple(4, "a"),
                Hooks.padToLongest("a"),
                Hooks.oneHot("b", 10),
                Hooks.oneHot("b", List.of("de", "fr")),
                Hooks.concat("c", "a", "b"))
            .postHooks(
                Hooks.softmax("l"),
                Hooks.argmax("l", "class"),
                Hooks.topK("l", 3, "scores", "classes"),
                Hooks.labels("class", "label", List.of("x", "y")),
                Hooks.labelsFile("class", "label", "labels.txt"),
                Hooks.threshold("score", 0.25, "yes"),
                Hooks.rename("a", "b"),
                Hooks.rename(Map.of("c", "d")));
    assertEquals(
        "{'model':{'onnx':{'uri':'m.onnx'}},'pre_hooks':[{'select':{'columns':['a','b']}},"
            + "{'cast':{'columns':['a'],'datatype':'FP32'}},"
            + "{'scale':{'columns':['a'],'affine':{'factor':0.5,'offset':-1.0}}},"
            + "{'scale':{'columns':['a'],'min_max':{'min':0.0,'max':255.0}}},"
            + "{'reshape':{'column':'a','shape':['1','-1']}},"
            + "{'pad':{'columns':['a'],'length':'8'}},{'pad':{'columns':['a'],'multiple':'4'}},"
            + "{'pad':{'columns':['a'],'longest':true}},{'one_hot':{'column':'b','depth':'10'}},"
            + "{'one_hot':{'column':'b','categories':['de','fr']}},{'concat':{'columns':['a','b'],'output':'c'}}],"
            + "'post_hooks':[{'softmax':{'column':'l','output':'l'}},{'argmax':{'column':'l','output':'class'}},"
            + "{'top_k':{'column':'l','k':'3','values_output':'scores','indices_output':'classes'}},"
            + "{'labels':{'column':'class','labels':['x','y'],'output':'label'}},"
            + "{'labels':{'column':'class','uri':'labels.txt','output':'label'}},"
            + "{'threshold':{'column':'score','value':0.25,'output':'yes'}},"
            + "{'rename':{'columns':{'a':'b'}}},{'rename':{'columns':{'c':'d'}}}]}",
        json(inference.config()));
  }

  @Test
  public void everyHookOfTheMessageIsOffered() {
    Set<String> offered =
        Arrays.stream(Hooks.class.getDeclaredMethods())
            .filter(method -> Modifier.isPublic(method.getModifiers()))
            .map(Method::getName)
            .collect(Collectors.toSet());
    for (FieldDescriptor hook : Hook.getDescriptor().getOneofs().get(0).getFields()) {
      // Its name, or variants of it: pad is padToLength and others.
      String name = hook.getJsonName() + "([A-Z].*)?";
      assertTrue(hook.getName(), offered.stream().anyMatch(method -> method.matches(name)));
    }
  }

  @Test
  public void theHooksOfFilesTextsAndStatisticsAreTheirMessages() throws Exception {
    assertEquals(
        "{'decode_image':{'column':'image','output':'pixels','width':32,'height':16}}",
        json(Hooks.decodeImage("image", "pixels", 32, 16)));
    assertEquals("{'tokenize':{'column':'t','uri':'u'}}", json(Hooks.tokenize("t", "u")));
    assertEquals(
        "{'decode_tokens':{'column':'ids','uri':'u','output':'text'}}",
        json(Hooks.decodeTokens("ids", "text", "u")));
    assertEquals(
        "{'standardize':{'columns':['a','b'],'mean':[1.5],'standard_deviation':[2.0]}}",
        json(Hooks.standardize(1.5, 2, "a", "b")));
    assertEquals(
        "{'standardize':{'columns':['a'],'uri':'u'}}", json(Hooks.standardizeFile("u", "a")));
    assertEquals("{'impute':{'columns':['a'],'value':3.0}}", json(Hooks.impute(3, "a")));
    assertEquals("{'impute':{'columns':['a'],'text':'none'}}", json(Hooks.impute("none", "a")));
    assertEquals("{'hash':{'columns':['a'],'buckets':'64'}}", json(Hooks.hash(64, "a")));
    assertEquals(
        "{'bucketize':{'columns':['a'],'boundaries':[18.0,65.0]}}",
        json(Hooks.bucketize(List.of(18.0, 65.0), "a")));
    assertEquals("{'l2_normalize':{'columns':['a']}}", json(Hooks.l2Normalize("a")));
    assertEquals("{'round':{'columns':['a'],'decimals':2}}", json(Hooks.round(2, "a")));
    assertEquals(
        "{'custom':{'function':'p.f','columns':['a'],'outputs':[{'name':'b','datatype':'INT64'}]}}",
        json(Hooks.custom("p.f", List.of("a"), Fields.of("b", Datatype.INT64))));
    assertEquals(
        "{'ml_transform':{'read_artifact_location':'gs://f'}}", json(Hooks.mlTransform("gs://f")));
  }
}
