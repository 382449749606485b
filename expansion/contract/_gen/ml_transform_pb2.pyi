from expansion.contract._gen import hook_pb2 as _hook_pb2
from expansion.contract._gen import operation_pb2 as _operation_pb2
from expansion.contract._gen import run_inference_pb2 as _run_inference_pb2
from expansion.contract._gen import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MLTransformConfig(_message.Message):
    __slots__ = ("operations", "write_artifact_location", "read_artifact_location", "overwrite", "engine", "pre_hooks", "post_hooks", "max_batch_size", "error_handling", "tensor_batch", "per_window", "preset", "environment", "resource_hints")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    WRITE_ARTIFACT_LOCATION_FIELD_NUMBER: _ClassVar[int]
    READ_ARTIFACT_LOCATION_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    PRE_HOOKS_FIELD_NUMBER: _ClassVar[int]
    POST_HOOKS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    ERROR_HANDLING_FIELD_NUMBER: _ClassVar[int]
    TENSOR_BATCH_FIELD_NUMBER: _ClassVar[int]
    PER_WINDOW_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_HINTS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_operation_pb2.Operation]
    write_artifact_location: str
    read_artifact_location: str
    overwrite: bool
    engine: str
    pre_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    post_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    max_batch_size: int
    error_handling: _run_inference_pb2.ErrorHandling
    tensor_batch: _run_inference_pb2.TensorBatchInput
    per_window: bool
    preset: str
    environment: str
    resource_hints: _run_inference_pb2.ResourceHints
    def __init__(self, operations: _Optional[_Iterable[_Union[_operation_pb2.Operation, _Mapping]]] = ..., write_artifact_location: _Optional[str] = ..., read_artifact_location: _Optional[str] = ..., overwrite: bool = ..., engine: _Optional[str] = ..., pre_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., post_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., max_batch_size: _Optional[int] = ..., error_handling: _Optional[_Union[_run_inference_pb2.ErrorHandling, _Mapping]] = ..., tensor_batch: _Optional[_Union[_run_inference_pb2.TensorBatchInput, _Mapping]] = ..., per_window: bool = ..., preset: _Optional[str] = ..., environment: _Optional[str] = ..., resource_hints: _Optional[_Union[_run_inference_pb2.ResourceHints, _Mapping]] = ...) -> None: ...

class MLTransformResult(_message.Message):
    __slots__ = ("columns", "dropped")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    dropped: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, columns: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., dropped: _Optional[_Iterable[str]] = ...) -> None: ...
