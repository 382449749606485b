from expansion.contract._gen import hook_pb2 as _hook_pb2
from expansion.contract._gen import model_pb2 as _model_pb2
from expansion.contract._gen import routing_pb2 as _routing_pb2
from expansion.contract._gen import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunInferenceConfig(_message.Message):
    __slots__ = ("model", "inputs", "outputs", "pre_hooks", "post_hooks", "batching", "error_handling", "tensor_batch", "per_key", "split", "ensemble", "model_uris", "then", "preset", "environment", "resource_hints")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PRE_HOOKS_FIELD_NUMBER: _ClassVar[int]
    POST_HOOKS_FIELD_NUMBER: _ClassVar[int]
    BATCHING_FIELD_NUMBER: _ClassVar[int]
    ERROR_HANDLING_FIELD_NUMBER: _ClassVar[int]
    TENSOR_BATCH_FIELD_NUMBER: _ClassVar[int]
    PER_KEY_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    ENSEMBLE_FIELD_NUMBER: _ClassVar[int]
    MODEL_URIS_FIELD_NUMBER: _ClassVar[int]
    THEN_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_HINTS_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.Model
    inputs: _containers.RepeatedCompositeFieldContainer[InputFeature]
    outputs: _containers.RepeatedCompositeFieldContainer[OutputColumn]
    pre_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    post_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    batching: Batching
    error_handling: ErrorHandling
    tensor_batch: TensorBatchInput
    per_key: _routing_pb2.PerKeyModels
    split: _routing_pb2.Split
    ensemble: _routing_pb2.Ensemble
    model_uris: _routing_pb2.ModelUris
    then: _containers.RepeatedCompositeFieldContainer[Step]
    preset: str
    environment: str
    resource_hints: ResourceHints
    def __init__(self, model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[InputFeature, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[OutputColumn, _Mapping]]] = ..., pre_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., post_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., batching: _Optional[_Union[Batching, _Mapping]] = ..., error_handling: _Optional[_Union[ErrorHandling, _Mapping]] = ..., tensor_batch: _Optional[_Union[TensorBatchInput, _Mapping]] = ..., per_key: _Optional[_Union[_routing_pb2.PerKeyModels, _Mapping]] = ..., split: _Optional[_Union[_routing_pb2.Split, _Mapping]] = ..., ensemble: _Optional[_Union[_routing_pb2.Ensemble, _Mapping]] = ..., model_uris: _Optional[_Union[_routing_pb2.ModelUris, _Mapping]] = ..., then: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., preset: _Optional[str] = ..., environment: _Optional[str] = ..., resource_hints: _Optional[_Union[ResourceHints, _Mapping]] = ...) -> None: ...

class ResourceHints(_message.Message):
    __slots__ = ("accelerator", "min_ram", "cpu_count", "max_active_bundles_per_worker")
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    MIN_RAM_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_ACTIVE_BUNDLES_PER_WORKER_FIELD_NUMBER: _ClassVar[int]
    accelerator: str
    min_ram: str
    cpu_count: int
    max_active_bundles_per_worker: int
    def __init__(self, accelerator: _Optional[str] = ..., min_ram: _Optional[str] = ..., cpu_count: _Optional[int] = ..., max_active_bundles_per_worker: _Optional[int] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("model", "inputs", "outputs", "pre_hooks", "post_hooks", "environment", "resource_hints")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PRE_HOOKS_FIELD_NUMBER: _ClassVar[int]
    POST_HOOKS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_HINTS_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.Model
    inputs: _containers.RepeatedCompositeFieldContainer[InputFeature]
    outputs: _containers.RepeatedCompositeFieldContainer[OutputColumn]
    pre_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    post_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    environment: str
    resource_hints: ResourceHints
    def __init__(self, model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[InputFeature, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[OutputColumn, _Mapping]]] = ..., pre_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., post_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., environment: _Optional[str] = ..., resource_hints: _Optional[_Union[ResourceHints, _Mapping]] = ...) -> None: ...

class InputFeature(_message.Message):
    __slots__ = ("name", "columns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    name: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ...) -> None: ...

class OutputColumn(_message.Message):
    __slots__ = ("source", "name", "datatype", "shape")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    source: str
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, source: _Optional[str] = ..., name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Batching(_message.Message):
    __slots__ = ("min_batch_size", "max_batch_size", "max_element_bytes", "max_batch_weight", "weight_column", "length_column", "length_boundaries", "max_batch_duration_secs")
    MIN_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_ELEMENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_COLUMN_FIELD_NUMBER: _ClassVar[int]
    LENGTH_COLUMN_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_DURATION_SECS_FIELD_NUMBER: _ClassVar[int]
    min_batch_size: int
    max_batch_size: int
    max_element_bytes: int
    max_batch_weight: int
    weight_column: str
    length_column: str
    length_boundaries: _containers.RepeatedScalarFieldContainer[int]
    max_batch_duration_secs: float
    def __init__(self, min_batch_size: _Optional[int] = ..., max_batch_size: _Optional[int] = ..., max_element_bytes: _Optional[int] = ..., max_batch_weight: _Optional[int] = ..., weight_column: _Optional[str] = ..., length_column: _Optional[str] = ..., length_boundaries: _Optional[_Iterable[int]] = ..., max_batch_duration_secs: _Optional[float] = ...) -> None: ...

class ErrorHandling(_message.Message):
    __slots__ = ("output", "max_error_rate", "min_rows", "timeout_secs")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    MAX_ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    MIN_ROWS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECS_FIELD_NUMBER: _ClassVar[int]
    output: str
    max_error_rate: float
    min_rows: int
    timeout_secs: float
    def __init__(self, output: _Optional[str] = ..., max_error_rate: _Optional[float] = ..., min_rows: _Optional[int] = ..., timeout_secs: _Optional[float] = ...) -> None: ...

class TensorBatchInput(_message.Message):
    __slots__ = ("columns", "opaque_columns", "return_columns")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OPAQUE_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    RETURN_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    opaque_columns: _containers.RepeatedScalarFieldContainer[str]
    return_columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, columns: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., opaque_columns: _Optional[_Iterable[str]] = ..., return_columns: _Optional[_Iterable[str]] = ...) -> None: ...

class RunInferenceResult(_message.Message):
    __slots__ = ("predictions", "model_columns")
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    model_columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, predictions: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., model_columns: _Optional[_Iterable[str]] = ...) -> None: ...
