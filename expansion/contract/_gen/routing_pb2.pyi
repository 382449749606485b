from expansion.contract._gen import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PerKeyModels(_message.Message):
    __slots__ = ("column", "uris", "signature_key", "max_models_per_worker")
    class UrisEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    URIS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    MAX_MODELS_PER_WORKER_FIELD_NUMBER: _ClassVar[int]
    column: str
    uris: _containers.ScalarMap[str, str]
    signature_key: str
    max_models_per_worker: int
    def __init__(self, column: _Optional[str] = ..., uris: _Optional[_Mapping[str, str]] = ..., signature_key: _Optional[str] = ..., max_models_per_worker: _Optional[int] = ...) -> None: ...

class Split(_message.Message):
    __slots__ = ("arms", "column", "output")
    ARMS_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    arms: _containers.RepeatedCompositeFieldContainer[Arm]
    column: str
    output: str
    def __init__(self, arms: _Optional[_Iterable[_Union[Arm, _Mapping]]] = ..., column: _Optional[str] = ..., output: _Optional[str] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("name", "weight", "model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    model: _model_pb2.Model
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ..., model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ...) -> None: ...

class Ensemble(_message.Message):
    __slots__ = ("models", "weights")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.Model]
    weights: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, models: _Optional[_Iterable[_Union[_model_pb2.Model, _Mapping]]] = ..., weights: _Optional[_Iterable[float]] = ...) -> None: ...

class ModelUris(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
