// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static io.github.beamml.expansion.Messages.json;
import static java.util.stream.Collectors.joining;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.Descriptors.Descriptor;
import io.github.beamml.expansion.tensor.Datatype;
import io.github.beamml.expansion.testing.FakeRunInference;
import io.github.beamml.expansion.v1.ErrorHandling;
import io.github.beamml.expansion.v1.Hook;
import io.github.beamml.expansion.v1.OnnxModel;
import io.github.beamml.expansion.v1.ResourceHints;
import io.github.beamml.expansion.v1.RunInferenceConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.Row;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What is configured in Java or in a file, as the message that the service gets. */
public class ConfigTest {

  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  @Rule
  public final TestPipeline pipeline = TestPipeline.create().enableAbandonedNodeEnforcement(false);

  @Test
  public void theFluentSettingsAreTheMessage() throws Exception {
    RunInference<Row, Row> inference =
        RunInference.<Row>of(Models.sklearn("iris.skops", "predict", "predict_proba"))
            .modelId("iris-7")
            .input("X", "a", "b")
            .output("predict", "species")
            .output("predict_proba", "p", Datatype.FP64, 3)
            .maxBatchSize(32);
    assertEquals(
        "{'model':{'sklearn':{'uri':'iris.skops','methods':['predict','predict_proba']},'model_id':'iris-7'},"
            + "'inputs':[{'name':'X','columns':['a','b']}],"
            + "'outputs':[{'source':'predict','name':'species'},"
            + "{'source':'predict_proba','name':'p','datatype':'FP64','shape':['3']}],"
            + "'batching':{'max_batch_size':'32'}}",
        json(inference.config()));
  }

  @Test
  public void whatIsSaidAfterThenIsOfTheModelThatFollows() throws Exception {
    RunInference<Row, Row> inference =
        RunInference.<Row>of(Models.onnx("embed.onnx"))
            .input("text", "body")
            .then(Models.sklearn("topics.skops"))
            .input("X", "embedding")
            .output("predict", "topic")
            .modelId("topics-3")
            .preHooks(Hooks.l2Normalize("embedding"))
            .postHooks(Hooks.select("topic"))
            .maxBatchSize(32);
    assertEquals(
        "{'model':{'onnx':{'uri':'embed.onnx'}},'inputs':[{'name':'text','columns':['body']}],"
            + "'batching':{'max_batch_size':'32'},"
            + "'then':[{'model':{'sklearn':{'uri':'topics.skops'},'model_id':'topics-3'},"
            + "'inputs':[{'name':'X','columns':['embedding']}],"
            + "'outputs':[{'source':'predict','name':'topic'}],"
            + "'pre_hooks':[{'l2_normalize':{'columns':['embedding']}}],"
            + "'post_hooks':[{'select':{'columns':['topic']}}]}]}",
        json(inference.config()));
  }

  @Test
  public void modelsOfAnEnsembleAreAllNamed() throws Exception {
    assertEquals(
        "{'ensemble':{'models':[{'onnx':{'uri':'a.onnx'}},{'onnx':{'uri':'b.onnx'}}]}}",
        json(RunInference.<Row>ensemble(Models.onnx("a.onnx"), Models.onnx("b.onnx")).config()));
  }

  @Test
  public void howTheModelIsHeldIsSetOnTheModel() throws Exception {
    assertEquals(
        "{'model':{'onnx':{'uri':'m.onnx'},'device':'cuda:1','threads':2,'warm_up_rows':8,"
            + "'env_vars':{'A':'b'},'large_model':true,'model_copies':3,'refresh_interval_secs':60.0,'sha256':'ab12'},"
            + "'error_handling':{'max_error_rate':0.5,'timeout_secs':30.0}}",
        json(
            RunInference.<Row>of(Models.onnx("m.onnx"))
                .device("cuda:1")
                .threads(2)
                .warmUpRows(8)
                .envVar("A", "b")
                .sha256("ab12")
                .largeModel()
                .modelCopies(3)
                .refreshIntervalSecs(60)
                .errorHandling(
                    ErrorHandling.newBuilder().setMaxErrorRate(0.5).setTimeoutSecs(30).build())
                .config()));
  }

  @Test
  public void whereAModelRunsAndOnWhatIsSaidOfTheModelNamedLast() throws Exception {
    ResourceHints hints = ResourceHints.newBuilder().setCpuCount(4).build();
    assertEquals(
        "{'model':{'onnx':{'uri':'m.onnx'}},"
            + "'then':[{'model':{'onnx':{'uri':'n.onnx'}},'resource_hints':{'cpu_count':'4'}}],"
            + "'environment':'gpu','resource_hints':"
            + "{'accelerator':'type:nvidia-l4;count:1;install-nvidia-driver','min_ram':'16GB'}}",
        json(
            RunInference.<Row>of(Models.onnx("m.onnx"))
                .environment("gpu")
                .accelerator("type:nvidia-l4;count:1;install-nvidia-driver")
                .minRam("16GB")
                .then(Models.onnx("n.onnx"))
                .minRam("1GB")
                .resourceHints(hints)
                .config()));
  }

  @Test
  public void aModelForEachKeyIsSetBesideTheModel() throws Exception {
    assertEquals(
        "{'model':{'onnx':{'uri':'m.onnx'}},"
            + "'per_key':{'column':'country','uris':{'de':'de.onnx'}}}",
        json(
            RunInference.<Row>of(Models.onnx("m.onnx"))
                .perKey("country", Map.of("de", "de.onnx"))
                .config()));
    assertEquals(
        "{'model':{'onnx':{'uri':'{key}.onnx'}},"
            + "'per_key':{'column':'country','signature_key':'de'}}",
        json(
            RunInference.<Row>of(Models.onnx("{key}.onnx"))
                .perKeyTemplate("country", "de")
                .config()));
  }

  @Test
  public void aModelFromAnotherCollectionIsSetBesideTheModel() throws Exception {
    assertEquals(
        "{'model':{'onnx':{'uri':'m.onnx'}},'model_uris':{}}",
        json(
            RunInference.<Row>of(Models.onnx("m.onnx"))
                .modelUrisFrom(pipeline.apply(Create.of("new.onnx")))
                .config()));
  }

  @Test
  public void anAbTestHasModelsOfItsOwn() throws Exception {
    assertEquals(
        "{'split':{'arms':["
            + "{'name':'control','weight':0.9,'model':{'onnx':{'uri':'a.onnx'}}},"
            + "{'name':'trial','weight':0.1,'model':{'onnx':{'uri':'b.onnx'},'model_id':'b-7'}}],"
            + "'column':'user'}}",
        json(
            RunInference.<Row>split(
                    "user",
                    Models.arm("control", 0.9, Models.onnx("a.onnx")),
                    Models.arm(
                        "trial", 0.1, Models.onnx("b.onnx").toBuilder().setModelId("b-7").build()))
                .config()));
  }

  @Test
  public void theClientAddsWhatItSends() throws Exception {
    RunInferenceConfig[] sent = new RunInferenceConfig[1];
    Expanders.register(
        "config:1",
        (config, batches, modelUris) -> {
          sent[0] = config;
          return new Expander.Expansion(batches, batches, List.of(), List.of(), List.of("model_id"));
        });
    Schema schema =
        Schema.builder().addDoubleField("x").addStringField("message").addStringField("id").build();
    pipeline
        .apply(Create.empty(schema))
        .apply(
            RunInference.<Row>of(Models.onnx("m.onnx"))
                .features("x", "message")
                .feature(Feature.ofFloats("v", row -> new float[2], 2))
                .withExpansionService("config:1"));
    Expanders.unregister("config:1");
    assertEquals(
        "{'model':{'onnx':{'uri':'m.onnx'}},'error_handling':{'output':'errors'},'tensor_batch':{'columns':["
            + "{'name':'x','datatype':'FP64'},{'name':'message','datatype':'STRING'},"
            + "{'name':'v','datatype':'FP32','shape':['2']}],'opaque_columns':['element'],'return_columns':['x']}}",
        json(sent[0]));
  }

  private Path file(String name, String... lines) throws Exception {
    return Files.write(folder.getRoot().toPath().resolve(name), List.of(lines));
  }

  @Test
  public void yamlAndJsonGiveTheSameMessage() throws Exception {
    Path yaml =
        file(
            "c.yaml",
            "model: {sklearn: {uri: m.skops, methods: [predict]}}  # a comment",
            "pre_hooks:",
            "  - scale: {columns: [x], affine: {factor: 1.0e-1, offset: 2}}",
            "post_hooks:",
            "  - rename: {columns: {predict: label}}",
            "  - threshold: {column: score, value: 1}",
            "batching: {max_batch_size: 16}");
    Path json =
        file(
            "c.json",
            "{\"model\": {\"sklearn\": {\"uri\": \"m.skops\", \"methods\": [\"predict\"]}},",
            " \"pre_hooks\": [{\"scale\": {\"columns\": [\"x\"], \"affine\": {\"factor\": 0.1,"
                + " \"offset\": 2.0}}}],",
            " \"post_hooks\": [{\"rename\": {\"columns\": {\"predict\": \"label\"}}},",
            " {\"threshold\": {\"column\": \"score\", \"value\": 1.0}}],",
            " \"batching\": {\"max_batch_size\": 16}}");
    RunInferenceConfig config = RunInference.fromConfig(yaml.toString()).config();
    assertEquals(RunInference.fromConfig(json.toString()).config(), config);
    assertEquals(
        "{'model':{'sklearn':{'uri':'m.skops','methods':['predict']}},"
            + "'pre_hooks':[{'scale':{'columns':['x'],'affine':{'factor':0.1,'offset':2.0}}}],"
            + "'post_hooks':[{'rename':{'columns':{'predict':'label'}}},"
            + "{'threshold':{'column':'score','value':1.0}}],'batching':{'max_batch_size':'16'}}",
        json(config));
  }

  @Test
  public void fieldsWithoutAValueAreUnset() throws Exception {
    Path yaml =
        file(
            "c.yaml",
            "model: {onnx: {uri: m.onnx}, sklearn: , model_id: }",
            "pre_hooks:",
            "batching:",
            "error_handling: {output: }");
    assertEquals(
        "{'model':{'onnx':{'uri':'m.onnx'}},'error_handling':{}}",
        json(RunInference.fromConfig(yaml.toString()).config()));
    Path list = file("list.yaml", "pre_hooks: [null]", "nothing:");
    ExpansionException e =
        assertThrows(ExpansionException.class, () -> RunInference.fromConfig(list.toString()));
    assertTrue(e.getMessage(), e.getMessage().contains("pre_hooks[0]: expected a mapping"));
    assertTrue(e.getMessage(), e.getMessage().contains("nothing: there is no such field"));
  }

  @Test
  public void integersMayBeWrittenAsFloats() throws Exception {
    Path yaml =
        file(
            "c.yaml",
            "batching: {max_batch_size: 256.0, max_element_bytes: 1.0e+6}",
            "pre_hooks: [pad: {columns: [x], length: 8, axis: 1.0}]");
    assertEquals(
        "{'pre_hooks':[{'pad':{'columns':['x'],'length':'8','axis':1}}],"
            + "'batching':{'max_batch_size':'256','max_element_bytes':'1000000'}}",
        json(RunInference.fromConfig(yaml.toString()).config()));
    for (String wrong : List.of("1.0e+30", ".nan", ".inf")) {
      Path other = file("wrong.yaml", "batching: {max_batch_size: " + wrong + "}");
      ExpansionException e =
          assertThrows(ExpansionException.class, () -> RunInference.fromConfig(other.toString()));
      assertTrue(e.getMessage(), e.getMessage().contains("expected an integer; got "));
    }
    Path large = file("large.yaml", "pre_hooks: [pad: {columns: [x], axis: 2147483648}]");
    assertThrows(ExpansionException.class, () -> RunInference.fromConfig(large.toString()));
  }

  @Test
  public void anErrorsOutputOfAFileIsNoHindrance() throws Exception {
    Path yaml = file("c.yaml", "model: {onnx: {uri: m.onnx}}", "error_handling: {output: bad}");
    FakeRunInference fake = FakeRunInference.returning(Sums.SCHEMA, features -> null);
    try (fake) {
      Predictions<Double> predictions =
          pipeline
              .apply(Create.of(1.0))
              .apply(
                  RunInference.<Double>fromConfig(yaml.toString())
                      .feature(Feature.ofDouble("x", x -> x))
                      .withExpansionService(fake.address()));
      assertNotNull(predictions.errors());
    }
  }

  private static String names(Descriptor message) {
    return message.getFields().stream().map(field -> field.getName()).collect(joining(", "));
  }

  @Test
  public void allProblemsOfAFileAreReportedTogetherWithTheirPaths() throws Exception {
    Path yaml =
        file(
            "c.yaml",
            "model: {onnx: {uri: 5, path: m.onnx}}",
            "pre_hooks:",
            "  - scale: {colums: [x], affine: {factor: much}}",
            "  - softmax",
            "outputs: {source: y}",
            "batching: {max_batch_size: 1.5}");
    ExpansionException e =
        assertThrows(ExpansionException.class, () -> RunInference.fromConfig(yaml.toString()));
    assertEquals(
        String.join(
            "\n",
            "model.onnx.uri: expected text; got 5; put it in quotes",
            "model.onnx.path: there is no such field; expected one of "
                + names(OnnxModel.getDescriptor()),
            "pre_hooks[0].scale.colums: there is no such field; expected one of columns, affine,"
                + " min_max, datatype",
            "pre_hooks[0].scale.affine.factor: expected a number; got \"much\"",
            "pre_hooks[1]: expected a mapping with "
                + names(Hook.getDescriptor())
                + "; got \"softmax\"",
            "outputs: expected a list; got {source=y}",
            "batching.max_batch_size: expected an integer; got 1.5"),
        e.getMessage().replace(yaml + ": ", ""));
  }

  @Test
  public void keysOfAMapThatYamlDoesNotReadAsTextAreRefused() throws Exception {
    Path yaml =
        file(
            "c.yaml",
            "per_key:",
            "  column: country",
            "  uris: {de: de.onnx, no: norway.onnx, 010: eight.onnx, 'on': on.onnx}");
    ExpansionException e =
        assertThrows(ExpansionException.class, () -> RunInference.fromConfig(yaml.toString()));
    assertEquals(
        "per_key.uris: expected text; got false; put it in quotes\n"
            + "per_key.uris: expected text; got 8; put it in quotes",
        e.getMessage().replace(yaml + ": ", ""));
    Path quoted = file("quoted.yaml", "per_key: {uris: {'no': norway.onnx, '010': eight.onnx}}");
    assertEquals(
        Map.of("no", "norway.onnx", "010", "eight.onnx"),
        RunInference.fromConfig(quoted.toString()).config().getPerKey().getUrisMap());
  }

  @Test
  public void filesThatAreNoConfigurationAreRefused() throws Exception {
    Path broken = file("broken.yaml", "model: [");
    Path empty = file("empty.yaml", "");
    assertThrows(ExpansionException.class, () -> RunInference.fromConfig(broken.toString()));
    assertThrows(ExpansionException.class, () -> RunInference.fromConfig(empty.toString()));
    ExpansionException e =
        assertThrows(ExpansionException.class, () -> RunInference.fromConfig("nowhere.yaml"));
    assertEquals(
        "nowhere.yaml: there is no such file in " + Path.of("").toAbsolutePath(), e.getMessage());
  }

  @Test
  public void theModelFileCanBeElsewhere() throws Exception {
    assertEquals(
        "{'model':{'sklearn':{'uri':'/elsewhere.skops','methods':['predict']}}}",
        json(
            RunInference.of(Models.sklearn("m.skops", "predict"))
                .modelUri("/elsewhere.skops")
                .config()));
  }
}
