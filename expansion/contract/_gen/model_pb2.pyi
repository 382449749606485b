from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Model(_message.Message):
    __slots__ = ("onnx", "sklearn", "model_id")
    ONNX_FIELD_NUMBER: _ClassVar[int]
    SKLEARN_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    onnx: OnnxModel
    sklearn: SklearnModel
    model_id: str
    def __init__(self, onnx: _Optional[_Union[OnnxModel, _Mapping]] = ..., sklearn: _Optional[_Union[SklearnModel, _Mapping]] = ..., model_id: _Optional[str] = ...) -> None: ...

class OnnxModel(_message.Message):
    __slots__ = ("uri",)
    URI_FIELD_NUMBER: _ClassVar[int]
    uri: str
    def __init__(self, uri: _Optional[str] = ...) -> None: ...

class SklearnModel(_message.Message):
    __slots__ = ("uri", "format", "methods", "input_format", "trusted_types")
    URI_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_TYPES_FIELD_NUMBER: _ClassVar[int]
    uri: str
    format: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    input_format: str
    trusted_types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, uri: _Optional[str] = ..., format: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ..., input_format: _Optional[str] = ..., trusted_types: _Optional[_Iterable[str]] = ...) -> None: ...
