// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static io.github.beamml.expansion.Messages.json;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.Descriptors.FieldDescriptor;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.v1.Arm;
import io.github.beamml.expansion.v1.Model;
import io.github.beamml.expansion.v1.PyTorchModel;
import io.github.beamml.expansion.v1.RemoteCalls;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.sdk.values.Row;
import org.junit.Test;

/** Models of every framework, as the message that the service gets. */
public class ModelsTest {

  @Test
  public void idsOfModelsThatRunOneAfterAnotherAreJoined() {
    RunInferenceConfig chain =
        RunInference.<Row>of(Models.onnx("a.onnx")).then(Models.onnx("b.onnx")).config();
    assertEquals("a.onnx", Models.idOf(chain));
    assertEquals("a.onnx, b.onnx", Models.idOfAll(chain));
    RunInferenceConfig ensemble =
        RunInference.<Row>ensemble(Models.onnx("a.onnx"), Models.onnx("b.onnx")).config();
    assertEquals("a.onnx, b.onnx", Models.idOf(ensemble));
  }

  @Test
  public void anyModelThatIsRefreshedGivesResultsAVersion() {
    Model refreshed = Models.onnx("b.onnx").toBuilder().setRefreshIntervalSecs(1).build();
    Model other = Models.onnx("a.onnx");
    List<String> withVersion = List.of("model_id", "model_version");
    assertEquals(
        List.of("model_id"), Models.columnsOf(RunInference.<Row>of(other).then(other).config()));
    assertEquals(
        withVersion, Models.columnsOf(RunInference.<Row>of(other).then(refreshed).config()));
    assertEquals(
        withVersion, Models.columnsOf(RunInference.<Row>ensemble(other, refreshed).config()));
    assertEquals(
        withVersion,
        Models.columnsOf(RunInference.<Row>split("u", Models.arm("b", 1, refreshed)).config()));
  }

  @Test
  public void theIdOfAModelIsItsUriInEveryFramework() {
    for (FieldDescriptor framework : Model.getDescriptor().getOneofs().get(0).getFields()) {
      Model.Builder model = Model.newBuilder();
      model.setField(framework, model.newBuilderForField(framework).build());
      Model filed = Models.withUri(model.build(), "m.file");
      assertEquals("m.file", Models.idOf(filed));
      assertEquals("seven", Models.idOf(filed.toBuilder().setModelId("seven").build()));
    }
    assertEquals("", Models.idOf(Model.getDefaultInstance()));
  }

  @Test
  public void anElementThatNeverReachedOneOfSeveralModelsSaysNoneOfThem() {
    RunInference<String, String> one = RunInference.of(Models.onnx("m.onnx"));
    assertEquals("m.onnx", Models.idOf(one.config()));
    assertEquals("", Models.idOf(one.perKey("key", Map.of("a", "a.onnx")).config()));
    Arm arm = Models.arm("a", 1, one.config().getModel());
    assertEquals("", Models.idOf(RunInference.split("user", arm).config()));
  }

  @Test
  public void theIdOfACustomModelWithoutAUriIsItsClass() {
    assertEquals("p.m.C", Models.idOf(Models.custom("p.m.C", List.of(), List.of())));
  }

  @Test
  public void everyFrameworkOfTheMessageIsOffered() {
    Set<String> offered =
        Stream.of(Models.class.getDeclaredMethods())
            .map(method -> method.getName())
            .collect(Collectors.toSet());
    for (FieldDescriptor framework : Model.getDescriptor().getOneofs().get(0).getFields()) {
      assertTrue(framework.getName(), offered.contains(framework.getJsonName()));
    }
  }

  @Test
  public void everyModelIsItsMessage() throws Exception {
    assertEquals("{'pytorch':{'uri':'m.pt2'}}", json(Models.pytorch("m.pt2")));
    assertEquals(
        "{'pytorch':{'uri':'m.pt','inputs':[{'name':'x','datatype':'FP32','shape':['1','-1']}]}}",
        json(
            Models.of(
                PyTorchModel.newBuilder()
                    .setUri("m.pt")
                    .addInputs(Fields.of("x", Datatype.FP32, 1, -1))
                    .build())));
    assertEquals(
        "{'xgboost':{'uri':'m.ubj','methods':['margin']}}",
        json(Models.xgboost("m.ubj", "margin")));
    assertEquals("{'tensorflow':{'uri':'m'}}", json(Models.tensorflow("m")));
    assertEquals("{'tensorrt':{'uri':'m.onnx'}}", json(Models.tensorrt("m.onnx")));
    assertEquals(
        "{'huggingface':{'uri':'hf://a/b','task':'text-generation'}}",
        json(Models.huggingface("hf://a/b", "text-generation")));
    assertEquals(
        "{'open_inference':{'uri':'grpc://h:1/m','inputs':[{'name':'x','datatype':'FP64'}],"
            + "'outputs':[{'name':'y','datatype':'STRING'}]}}",
        json(
            Models.openInference(
                "grpc://h:1/m",
                List.of(Fields.of("x", Datatype.FP64)),
                List.of(Fields.of("y", Datatype.STRING)))));
    assertEquals(
        "{'vertex_ai':{'uri':'projects/p/locations/l/endpoints/e',"
            + "'inputs':[{'name':'x','datatype':'FP64'}],'outputs':[{'name':'y','datatype':'FP32'}],"
            + "'calls':{'max_attempts':5}}}",
        json(
            Models.of(
                Models.vertexAi(
                        "projects/p/locations/l/endpoints/e",
                        List.of(Fields.of("x", Datatype.FP64)),
                        List.of(Fields.of("y", Datatype.FP32)))
                    .getVertexAi()
                    .toBuilder()
                    .setCalls(RemoteCalls.newBuilder().setMaxAttempts(5))
                    .build())));
    assertEquals(
        "{'vllm':{'uri':'hf://a/b','task':'chat','temperature':0.0}}",
        json(Models.of(Models.vllm("hf://a/b", "chat").getVllm().toBuilder().setTemperature(0).build())));
    assertEquals(
        "{'embedding_service':{'uri':'m','provider':'openai','size':'1536','organization':'o'}}",
        json(
            Models.of(
                Models.embeddingService("openai", "m", 1536)
                    .getEmbeddingService()
                    .toBuilder()
                    .setOrganization("o")
                    .build())));
    assertEquals(
        "{'custom':{'model_class':'p.C','inputs':[{'name':'x','datatype':'FP64'}],"
            + "'outputs':[{'name':'y','datatype':'STRING'}]}}",
        json(
            Models.custom(
                "p.C",
                List.of(Fields.of("x", Datatype.FP64)),
                List.of(Fields.of("y", Datatype.STRING)))));
  }
}
