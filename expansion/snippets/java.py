# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Snippets in Java, with the client library of java-example/client."""

from __future__ import annotations

import re
from collections.abc import Iterable

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import Batching, ErrorHandling, OutputColumn, RunInferenceConfig
from expansion.contract.fields import Field
from expansion.snippets import java_parts as parts
from expansion.snippets.call import JOB_SERVICE, SERVICE, Call
from expansion.snippets.input_columns import example_of
from expansion.snippets.java_literal import Expressions, floating, long, text, texts
from expansion.transforms.chain import steps_of

_CLIENT = "io.github.beamml.expansion"
_SDK = "org.apache.beam.sdk"
_EXAMPLES = {
    "STRING": '"a text"',
    "BYTES": "new byte[] {1, 2, 3}",
    "BOOL": "true",
    "FP32": "0.5f",
    "FP16": "0.5f",
    "INT64": "1L",
    "UINT32": "1L",
    "INT16": "(short) 1",
    "UINT8": "(short) 1",
    "INT8": "(byte) 1",
    "many": "Collections.nCopies({count}, {of})",
}
# Beam's schemas have no unsigned integers and no half precision.
_FIELD_TYPES = {
    "STRING": "STRING",
    "BYTES": "BYTES",
    "BOOL": "BOOLEAN",
    "FP64": "DOUBLE",
    "FP32": "FLOAT",
    "FP16": "FLOAT",
    "INT64": "INT64",
    "UINT32": "INT64",
    "INT32": "INT32",
    "UINT16": "INT32",
    "INT16": "INT16",
    "UINT8": "INT16",
    "INT8": "BYTE",
}
_CODE = """\

/**
 * {what}, as {name} configures it. Needs beam-ml-expansion-client and, for LocalBeam, what its
 * documentation lists.{service}
 */
public final class {class_name} {{

  private {class_name}() {{}}

  /** Runs the pipeline. */
  public static void main(String[] args) {{
    try (LocalBeam beam = {beam}) {{
      Pipeline pipeline = Pipeline.create(beam.options());

      // Your own source takes the place of this row.
      Schema schema =
          Schema.builder()
{schema}
              .build();
      PCollection<Row> rows =
          pipeline.apply(
              Create.of(Row.withSchema(schema){values}.build())
                  .withRowSchema(schema));
{uris}
      {result_type} results = rows.apply({argument});
      results
          .output()
          .apply("Print", MapElements.into(TypeDescriptors.voids()).via({print}));
      results
          .errors()
          .apply("PrintErrors", MapElements.into(TypeDescriptors.voids()).via({class_name}::print));
      pipeline.run().waitUntilFinish();
    }}
  }}

  /** The transform. */
  static {transform_type} transform({parameter}) {{
    return {transform};
  }}

  private static Void print(Object value) {{
    System.out.println(value);
    return null;
  }}
}}
"""
_ALWAYS = (
    f"{_CLIENT}.LocalBeam",
    f"{_SDK}.Pipeline",
    f"{_SDK}.schemas.Schema",
    f"{_SDK}.schemas.Schema.FieldType",
    f"{_SDK}.transforms.Create",
    f"{_SDK}.transforms.MapElements",
    f"{_SDK}.values.PCollection",
    f"{_SDK}.values.Row",
    f"{_SDK}.values.TypeDescriptors",
    "java.util.Collections",
)


def snippet(call: Call) -> str:
    """Returns a class whose main method runs it, with a service of its own; of a preset, with one that runs."""
    to = Expressions()
    for name in _ALWAYS:
        to.use(name)
    what = "RunInference" if call.is_inference else "MLTransform"
    to.use(f"{_CLIENT}.{what}")
    to.use(f"{_CLIENT}.{'Predictions' if call.is_inference else 'Transformed'}")
    if isinstance(call.config, RunInferenceConfig):
        chain = _inference(call, call.config, to)
        types = "RunInference<Row, Row>", "Predictions<Row>"
        printed = "prediction -> print(prediction.values())"
    else:
        chain = _preparation(call, call.config, to)
        types = "MLTransform<Row>", "Transformed<Row>"
        printed = f"{call.class_name}::print"
    code = _CODE.format(
        what=what,
        name=call.preset or call.name,
        class_name=call.class_name,
        service=f" It calls a service:\n *\n * <pre>{call.serve_command}</pre>" if call.preset else "",
        beam=f'LocalBeam.attach("{SERVICE}", "{JOB_SERVICE}")' if call.preset else "LocalBeam.start()",
        schema="\n".join(f"              .addField({text(f.name)}, {_type(f)})" for f in call.columns.values()),
        values="".join(f".addValue({_value(field)})" for field in call.columns.values()),
        uris=f'\n      PCollection<String> uris = pipeline.apply("Uris", Create.of({text(call.uris)}));\n'
        if call.uris
        else "",
        result_type=types[1],
        argument="transform(uris)" if call.uris else "transform()",
        print=printed,
        parameter="PCollection<String> uris" if call.uris else "",
        transform_type=types[0],
        transform="\n        ".join(_placed(chain)),
    )
    return _imports(to.imports, code) + code


def _placed(chain: Iterable[str]) -> Iterable[str]:
    """Returns calls whose further lines, of long messages, stand below them."""
    return (call.replace("\n    .", "\n                .").replace("\n        .", "\n        .") for call in chain)


def _imports(names: Iterable[str], code: str) -> str:
    used = [name for name in sorted(names) if re.search(rf"\b{name.rpartition('.')[2]}\b", code)]
    return "".join(f"import {name};\n" for name in used)


def _inference(call: Call, config: RunInferenceConfig, to: Expressions) -> list[str]:
    if call.preset:
        return [f"RunInference.<Row>preset({text(call.preset)})", _features(call)]
    first, *later = [step for _, step in steps_of(config)]
    chain = [_beginning(config, to), *parts.settings(config.model), *_routing(config, to), _features(call)]
    chain += _of_step(first, to)
    batching = config.batching
    if batching == Batching(max_batch_size=batching.max_batch_size):
        chain += [f".maxBatchSize({batching.max_batch_size})"] if batching.max_batch_size else []
    else:
        chain.append(f".batching({to.message(batching)})")
    chain += _error_handling(config.error_handling, to)
    for step in later:
        chain += [f".then({parts.model(step.model, to)})", *parts.settings(step.model), *_of_step(step, to)]
    return chain


def _beginning(config: RunInferenceConfig, to: Expressions) -> str:
    several = config.WhichOneof("routing")
    if several in ("split", "ensemble"):
        return f"RunInference.<Row>of({to.message(getattr(config, several))})"
    return f"RunInference.<Row>of({parts.model(config.model, to)})"


def _routing(config: RunInferenceConfig, to: Expressions) -> list[str]:
    if config.HasField("per_key"):
        return [f".perKey({to.message(config.per_key)})"]
    return [".modelUrisFrom(uris)"] if config.HasField("model_uris") else []


def _features(call: Call) -> str:
    """Returns the calls that name the features, with the shape of arrays that have one."""
    calls, plain = [], []
    for field in call.columns.values():
        if field.shape and -1 not in field.shape:
            calls.append(f".feature({', '.join([text(field.name), *map(long, field.shape)])})")
        else:
            plain.append(field.name)
    return "\n        ".join([*([f".features({texts(plain)})"] if plain else []), *calls])


def _of_step(step: RunInferenceConfig, to: Expressions) -> list[str]:
    chain = [f".input({texts([feature.name, *feature.columns])})" for feature in step.inputs]
    chain += [_output(output, to) for output in step.outputs]
    for method, hooks in (("preHooks", step.pre_hooks), ("postHooks", step.post_hooks)):
        if hooks:
            said = ",\n            ".join(parts.hook(each, to) for each in hooks)
            chain.append(f".{method}(\n            {said})")
    return chain + _workers(step, to)


def _workers(part: RunInferenceConfig | MLTransformConfig, to: Expressions) -> list[str]:
    """Returns the calls that say where a model runs, and on what."""
    chain = [f".environment({text(part.environment)})"] if part.environment else []
    return chain + ([f".resourceHints({to.message(part.resource_hints)})"] if part.HasField("resource_hints") else [])


def _output(output: OutputColumn, to: Expressions) -> str:
    arguments = texts([output.source, output.name or output.source])
    if output.datatype:
        to.use(f"{_CLIENT}.tensor.Datatype")
        arguments = ", ".join([arguments, f"Datatype.{output.datatype}", *map(long, output.shape)])
    return f".output({arguments})"


def _error_handling(handling: ErrorHandling, to: Expressions) -> list[str]:
    """Returns the call for what is said besides the name of the output, which the client gives."""
    rest = ErrorHandling()
    rest.CopyFrom(handling)
    rest.ClearField("output")
    return [f".errorHandling({to.message(rest)})"] if rest.ListFields() else []


def _preparation(call: Call, config: MLTransformConfig, to: Expressions) -> list[str]:
    shapes = [
        f".shape({', '.join([text(field.name), *map(long, field.shape)])})"
        for field in call.columns.values()
        if field.shape and -1 not in field.shape
    ]
    if call.preset:
        return [f"MLTransform.<Row>preset({text(call.preset)})", *shapes]
    if config.per_window or (config.operations and config.read_artifact_location):  # which has no short form
        return [f"MLTransform.<Row>of({to.message(config)})", *shapes]
    if config.read_artifact_location:
        chain = [f"MLTransform.<Row>readArtifact({text(config.read_artifact_location)})"]
    else:
        said = ",\n            ".join(parts.operation(each, to) for each in config.operations)
        chain = [f"MLTransform.<Row>of(\n            {said})"]
    for method, hooks in (("preHooks", config.pre_hooks), ("postHooks", config.post_hooks)):
        if hooks:
            said = ",\n            ".join(parts.hook(each, to) for each in hooks)
            chain.append(f".{method}(\n            {said})")
    if config.write_artifact_location:
        chain.append(f".writeArtifact({text(config.write_artifact_location)})")
    if config.overwrite:
        chain.append(".overwrite()")
    if config.engine:
        chain.append(f".engine({text(config.engine)})")
    if config.max_batch_size:
        chain.append(f".maxBatchSize({config.max_batch_size})")
    return [*chain, *_workers(config, to), *shapes, *_error_handling(config.error_handling, to)]


def _type(field: Field) -> str:
    kind = f"FieldType.{_FIELD_TYPES[field.datatype]}"
    for _ in field.shape:
        kind = f"FieldType.array({kind})"
    return kind


def _value(field: Field) -> str:
    return example_of(field, _EXAMPLES, floating(0.5), "1")
