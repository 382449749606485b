# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models, hooks and operations in Java: by the client's short methods where they say all that the message does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from google.protobuf.message import Message

from expansion.contract._gen import hook_pb2, model_pb2, operation_pb2
from expansion.snippets.java_literal import Expressions, floating, long, text, texts

_CLIENT = "io.github.beamml.expansion"
# What a method says, and what message it makes of that. The method is used only if it is the message that is wanted.
_Short: TypeAlias = tuple[str, Message]
# Settings that mean the same written out as left out, which short methods write out.
_DEFAULTS: dict[str, Any] = {"factor": 1.0, "offset": 0.0}


def hook(message: hook_pb2.Hook, to: Expressions) -> str:
    """Returns an expression of type Hook."""
    name = str(message.WhichOneof("operation"))
    operation = getattr(message, name)
    short = _first(_HOOKS[name](operation, to) if name in _HOOKS else (), operation)
    if short:
        return f"{to.use(f'{_CLIENT}.Hooks')}.{short}"
    return to.message(message)


def operation(message: operation_pb2.Operation, to: Expressions) -> str:
    """Returns an expression of type Operation."""
    name = str(message.WhichOneof("operation"))
    settings = getattr(message, name)
    operations = to.use(f"{_CLIENT}.Operations")
    short = _first(_operations(name, settings, to), settings)
    return f"{operations}.{short}" if short else f"{operations}.of({to.message(settings)})"


def model(message: model_pb2.Model, to: Expressions) -> str:
    """Returns an expression of type Model, of the framework alone; ``settings`` has the rest."""
    name = str(message.WhichOneof("framework"))
    framework = getattr(message, name)
    short = _first(_models(name, framework), framework)
    if short:
        return f"{to.use(f'{_CLIENT}.Models')}.{short}"
    if name == "xgboost":  # whose settings all have a short form
        return to.message(model_pb2.Model(xgboost=framework))
    return f"{to.use(f'{_CLIENT}.Models')}.of({to.message(framework)})"


def settings(message: model_pb2.Model) -> list[str]:
    """Returns the calls, on a RunInference, that say how the model is held that was named last."""
    made = [f".envVar({text(name)}, {text(message.env_vars[name])})" for name in sorted(message.env_vars)]
    if message.model_id:
        made.append(f".modelId({text(message.model_id)})")
    if message.device:
        made.append(f".device({text(message.device)})")
    if message.threads:
        made.append(f".threads({message.threads})")
    if message.warm_up_rows:
        made.append(f".warmUpRows({message.warm_up_rows})")
    if message.large_model:
        made.append(".largeModel()")
    if message.model_copies:
        made.append(f".modelCopies({message.model_copies})")
    if message.refresh_interval_secs:
        made.append(f".refreshIntervalSecs({floating(message.refresh_interval_secs)})")
    return made


def _first(shorts: Iterable[_Short], wanted: Message) -> str:
    return next((said for said, made in shorts if _plain(made) == _plain(wanted)), "")


def _plain(message: Message) -> bytes:
    """Returns a message serialized, without settings that only say what is the default."""
    changed: Any = type(message)()
    changed.CopyFrom(message)
    for name in ("affine",):
        part = getattr(changed, name, None) if name in changed.DESCRIPTOR.fields_by_name else None
        if part is not None and changed.HasField(name):
            for field, default in _DEFAULTS.items():
                if getattr(part, field) == default:
                    part.ClearField(field)
    fields = changed.DESCRIPTOR.fields_by_name
    if "column" in fields and "output" in fields and changed.output == changed.column:
        changed.ClearField("output")
    return bytes(changed.SerializeToString(deterministic=True))


def _with_columns(first: str, columns: Sequence[str]) -> str:
    return ", ".join(part for part in (first, texts(columns)) if part)


def _scale(m: Any, to: Expressions) -> Iterable[_Short]:
    if m.HasField("affine"):
        factor = m.affine.factor if m.affine.HasField("factor") else 1.0
        affine = hook_pb2.Affine(factor=factor, offset=m.affine.offset)
        numbers = f"{floating(factor)}, {floating(m.affine.offset)}"
        yield f"scale({_with_columns(numbers, m.columns)})", hook_pb2.Scale(columns=m.columns, affine=affine)
    elif m.HasField("min_max"):
        low, high = m.min_max.min, m.min_max.max
        said = f"minMax({_with_columns(f'{floating(low)}, {floating(high)}', m.columns)})"
        yield said, hook_pb2.Scale(columns=m.columns, min_max=hook_pb2.MinMax(min=low, max=high))


def _pad(m: Any, to: Expressions) -> Iterable[_Short]:
    how = m.WhichOneof("size")
    names = {"length": "padToLength", "multiple": "padToMultiple", "longest": "padToLongest"}
    if how in names:
        first = "" if how == "longest" else long(getattr(m, how))
        made = hook_pb2.Pad(columns=m.columns, **{how: getattr(m, how)})
        yield f"{names[how]}({_with_columns(first, m.columns)})", made


def _one_hot(m: Any, to: Expressions) -> Iterable[_Short]:
    if m.depth:
        yield f"oneHot({text(m.column)}, {long(m.depth)})", hook_pb2.OneHot(column=m.column, depth=m.depth)
    else:
        made = hook_pb2.OneHot(column=m.column, categories=m.categories)
        yield f"oneHot({text(m.column)}, {to.texts(m.categories)})", made


def _labels(m: Any, to: Expressions) -> Iterable[_Short]:
    output = m.output or m.column
    if m.uri:
        made = hook_pb2.Labels(column=m.column, output=output, uri=m.uri)
        yield f"labelsFile({texts([m.column, output, m.uri])})", made
    else:
        made = hook_pb2.Labels(column=m.column, output=output, labels=m.labels)
        yield f"labels({texts([m.column, output])}, {to.texts(m.labels)})", made


def _standardize(m: Any, to: Expressions) -> Iterable[_Short]:
    if m.uri:
        made = hook_pb2.Standardize(columns=m.columns, uri=m.uri)
        yield f"standardizeFile({_with_columns(text(m.uri), m.columns)})", made
    elif len(m.mean) == len(m.standard_deviation) == 1:
        made = hook_pb2.Standardize(columns=m.columns, mean=m.mean, standard_deviation=m.standard_deviation)
        numbers = f"{floating(m.mean[0])}, {floating(m.standard_deviation[0])}"
        yield f"standardize({_with_columns(numbers, m.columns)})", made


def _impute(m: Any, to: Expressions) -> Iterable[_Short]:
    if m.text:
        yield f"impute({_with_columns(text(m.text), m.columns)})", hook_pb2.Impute(columns=m.columns, text=m.text)
    else:
        made = hook_pb2.Impute(columns=m.columns, value=m.value)
        yield f"impute({_with_columns(floating(m.value), m.columns)})", made


def _custom(m: Any, to: Expressions) -> Iterable[_Short]:
    made = hook_pb2.CustomHook(function=m.function, columns=m.columns, outputs=m.outputs)
    outputs = [_field(field, to) for field in m.outputs]
    yield f"custom({', '.join([text(m.function), to.texts(m.columns), *outputs])})", made


def _cast(m: Any, to: Expressions) -> Iterable[_Short]:
    datatype = f"{to.use(f'{_CLIENT}.tensor.Datatype')}.{m.datatype}"
    yield f"cast({_with_columns(datatype, m.columns)})", hook_pb2.Cast(columns=m.columns, datatype=m.datatype)


def _field(field: Any, to: Expressions) -> str:
    datatype = f"{to.use(f'{_CLIENT}.tensor.Datatype')}.{field.datatype}"
    return f"{to.use(f'{_CLIENT}.Fields')}.of({', '.join([text(field.name), datatype, *map(long, field.shape)])})"


def _plainly(kind: Any, method: str, first: str, *names: str) -> Callable[[Any, Expressions], Iterable[_Short]]:
    """Returns the short form of a hook whose method takes fields in order, and then columns.

    Args:
        kind: The class of its message.
        method: The method.
        first: Names of the fields that come first, with spaces between them.
        *names: "columns", if columns come after.
    """

    def short(m: Any, to: Expressions) -> Iterable[_Short]:
        fields = first.split()
        arguments = [_argument(m, field) for field in fields]
        made = kind(**{field: getattr(m, field) for field in [*fields, *names]})
        columns = list(m.columns) if names else []
        yield f"{method}({', '.join([*arguments, *map(text, columns)])})", made

    return short


def _argument(m: Any, name: str) -> str:
    value = getattr(m, name)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return floating(value)
    field = m.DESCRIPTOR.fields_by_name[name]
    return str(value) if field.cpp_type == field.CPPTYPE_INT32 else long(value)


def _with_output(kind: Any, method: str) -> Callable[[Any, Expressions], Iterable[_Short]]:
    def short(m: Any, to: Expressions) -> Iterable[_Short]:
        output = m.output or m.column
        yield f"{method}({texts([m.column, output])})", kind(column=m.column, output=output)

    return short


def _reshape(m: Any, to: Expressions) -> Iterable[_Short]:
    made = hook_pb2.Reshape(column=m.column, shape=m.shape)
    yield f"reshape({', '.join([text(m.column), *map(long, m.shape)])})", made


def _rename(m: Any, to: Expressions) -> Iterable[_Short]:
    if len(m.columns) <= 10:  # Map.of takes no more
        pairs = ", ".join(texts(pair) for pair in sorted(m.columns.items()))
        said = texts(next(iter(m.columns.items()))) if len(m.columns) == 1 else f"{to.use('java.util.Map')}.of({pairs})"
        yield f"rename({said})", hook_pb2.Rename(columns=m.columns)


def _bucketize(m: Any, to: Expressions) -> Iterable[_Short]:
    boundaries = f"{to.use('java.util.List')}.of({', '.join(map(floating, m.boundaries))})"
    made = hook_pb2.Bucketize(columns=m.columns, boundaries=m.boundaries)
    yield f"bucketize({_with_columns(boundaries, m.columns)})", made


_HOOKS: dict[str, Callable[[Any, Expressions], Iterable[_Short]]] = {
    "select": _plainly(hook_pb2.Select, "select", "", "columns"),
    "cast": _cast,
    "scale": _scale,
    "reshape": _reshape,
    "pad": _pad,
    "one_hot": _one_hot,
    "concat": _plainly(hook_pb2.Concat, "concat", "output", "columns"),
    "softmax": _with_output(hook_pb2.Softmax, "softmax"),
    "argmax": _with_output(hook_pb2.Argmax, "argmax"),
    "top_k": _plainly(hook_pb2.TopK, "topK", "column k values_output indices_output"),
    "labels": _labels,
    "threshold": _plainly(hook_pb2.Threshold, "threshold", "column value output"),
    "rename": _rename,
    "decode_image": _plainly(hook_pb2.DecodeImage, "decodeImage", "column output width height"),
    "tokenize": _plainly(hook_pb2.Tokenize, "tokenize", "column uri"),
    "decode_tokens": _plainly(hook_pb2.DecodeTokens, "decodeTokens", "column output uri"),
    "standardize": _standardize,
    "impute": _impute,
    "hash": _plainly(hook_pb2.Hash, "hash", "buckets", "columns"),
    "bucketize": _bucketize,
    "l2_normalize": _plainly(hook_pb2.L2Normalize, "l2Normalize", "", "columns"),
    "round": _plainly(hook_pb2.Round, "round", "decimals", "columns"),
    "custom": _custom,
    "ml_transform": _plainly(hook_pb2.MLTransformArtifact, "mlTransform", "read_artifact_location"),
}

# Field of Operation → the short method, and the fields that it takes before the columns.
_OPERATIONS = {
    "scale_to_01": ("scaleTo01", ""),
    "scale_by_min_max": ("scaleByMinMax", "min_value max_value"),
    "scale_to_z_score": ("scaleToZScore", ""),
    "scale_to_gaussian": ("scaleToGaussian", ""),
    "compute_and_apply_vocabulary": ("vocabulary", ""),
    "bucketize": ("bucketize", "buckets"),
    "tfidf": ("tfidf", "vocabulary_size"),
    "ngrams": ("ngrams", "min_n max_n"),
    "bag_of_words": ("bagOfWords", ""),
    "hash_strings": ("hashStrings", "buckets"),
    "deduplicate": ("deduplicate", ""),
    "one_hot": ("oneHot", "size"),
    "impute": ("impute", "strategy"),
}


def _operations(name: str, m: Any, to: Expressions) -> Iterable[_Short]:
    if name in _OPERATIONS:
        method, fields = _OPERATIONS[name]
        yield from _plainly(type(m), method, fields, "columns")(m, to)


def _models(name: str, m: Any) -> Iterable[_Short]:
    kind = type(m)
    if name in ("onnx", "pytorch", "tensorflow", "tensorrt"):
        yield f"{name}({text(m.uri)})", kind(uri=m.uri)
    elif name in ("sklearn", "xgboost"):
        yield f"{name}({texts([m.uri, *m.methods])})", kind(uri=m.uri, methods=m.methods)
    elif name in ("huggingface", "vllm"):
        yield f"{name}({texts([m.uri, m.task])})", kind(uri=m.uri, task=m.task)
    elif name == "embedding_service":
        made = kind(provider=m.provider, uri=m.uri, size=m.size)
        yield f"embeddingService({texts([m.provider, m.uri])}, {long(m.size)})", made
