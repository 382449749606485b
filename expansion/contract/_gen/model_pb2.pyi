from expansion.contract._gen import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Model(_message.Message):
    __slots__ = ("onnx", "sklearn", "pytorch", "xgboost", "custom", "tensorflow", "tensorrt", "huggingface", "open_inference", "vertex_ai", "vllm", "embedding_service", "model_id", "device", "threads", "warm_up_rows", "env_vars", "large_model", "model_copies", "refresh_interval_secs", "sha256")
    class EnvVarsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ONNX_FIELD_NUMBER: _ClassVar[int]
    SKLEARN_FIELD_NUMBER: _ClassVar[int]
    PYTORCH_FIELD_NUMBER: _ClassVar[int]
    XGBOOST_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    TENSORFLOW_FIELD_NUMBER: _ClassVar[int]
    TENSORRT_FIELD_NUMBER: _ClassVar[int]
    HUGGINGFACE_FIELD_NUMBER: _ClassVar[int]
    OPEN_INFERENCE_FIELD_NUMBER: _ClassVar[int]
    VERTEX_AI_FIELD_NUMBER: _ClassVar[int]
    VLLM_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_SERVICE_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_ROWS_FIELD_NUMBER: _ClassVar[int]
    ENV_VARS_FIELD_NUMBER: _ClassVar[int]
    LARGE_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_COPIES_FIELD_NUMBER: _ClassVar[int]
    REFRESH_INTERVAL_SECS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    onnx: OnnxModel
    sklearn: SklearnModel
    pytorch: PyTorchModel
    xgboost: XGBoostModel
    custom: CustomModel
    tensorflow: TensorFlowModel
    tensorrt: TensorRtModel
    huggingface: HuggingFaceModel
    open_inference: OpenInferenceModel
    vertex_ai: VertexAiModel
    vllm: VllmModel
    embedding_service: EmbeddingServiceModel
    model_id: str
    device: str
    threads: int
    warm_up_rows: int
    env_vars: _containers.ScalarMap[str, str]
    large_model: bool
    model_copies: int
    refresh_interval_secs: float
    sha256: str
    def __init__(self, onnx: _Optional[_Union[OnnxModel, _Mapping]] = ..., sklearn: _Optional[_Union[SklearnModel, _Mapping]] = ..., pytorch: _Optional[_Union[PyTorchModel, _Mapping]] = ..., xgboost: _Optional[_Union[XGBoostModel, _Mapping]] = ..., custom: _Optional[_Union[CustomModel, _Mapping]] = ..., tensorflow: _Optional[_Union[TensorFlowModel, _Mapping]] = ..., tensorrt: _Optional[_Union[TensorRtModel, _Mapping]] = ..., huggingface: _Optional[_Union[HuggingFaceModel, _Mapping]] = ..., open_inference: _Optional[_Union[OpenInferenceModel, _Mapping]] = ..., vertex_ai: _Optional[_Union[VertexAiModel, _Mapping]] = ..., vllm: _Optional[_Union[VllmModel, _Mapping]] = ..., embedding_service: _Optional[_Union[EmbeddingServiceModel, _Mapping]] = ..., model_id: _Optional[str] = ..., device: _Optional[str] = ..., threads: _Optional[int] = ..., warm_up_rows: _Optional[int] = ..., env_vars: _Optional[_Mapping[str, str]] = ..., large_model: bool = ..., model_copies: _Optional[int] = ..., refresh_interval_secs: _Optional[float] = ..., sha256: _Optional[str] = ...) -> None: ...

class OnnxModel(_message.Message):
    __slots__ = ("uri", "providers", "graph_optimization", "session_config")
    class SessionConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URI_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_OPTIMIZATION_FIELD_NUMBER: _ClassVar[int]
    SESSION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    uri: str
    providers: _containers.RepeatedScalarFieldContainer[str]
    graph_optimization: str
    session_config: _containers.ScalarMap[str, str]
    def __init__(self, uri: _Optional[str] = ..., providers: _Optional[_Iterable[str]] = ..., graph_optimization: _Optional[str] = ..., session_config: _Optional[_Mapping[str, str]] = ...) -> None: ...

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

class PyTorchModel(_message.Message):
    __slots__ = ("uri", "model_class", "class_arguments", "inputs", "outputs", "dtype", "autocast", "compile")
    class ClassArgumentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URI_FIELD_NUMBER: _ClassVar[int]
    MODEL_CLASS_FIELD_NUMBER: _ClassVar[int]
    CLASS_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    AUTOCAST_FIELD_NUMBER: _ClassVar[int]
    COMPILE_FIELD_NUMBER: _ClassVar[int]
    uri: str
    model_class: str
    class_arguments: _containers.ScalarMap[str, str]
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    dtype: str
    autocast: str
    compile: bool
    def __init__(self, uri: _Optional[str] = ..., model_class: _Optional[str] = ..., class_arguments: _Optional[_Mapping[str, str]] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., dtype: _Optional[str] = ..., autocast: _Optional[str] = ..., compile: bool = ...) -> None: ...

class XGBoostModel(_message.Message):
    __slots__ = ("uri", "methods")
    URI_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, uri: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ...) -> None: ...

class CustomModel(_message.Message):
    __slots__ = ("model_class", "class_arguments", "inputs", "outputs", "uri")
    class ClassArgumentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_CLASS_FIELD_NUMBER: _ClassVar[int]
    CLASS_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    model_class: str
    class_arguments: _containers.ScalarMap[str, str]
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    uri: str
    def __init__(self, model_class: _Optional[str] = ..., class_arguments: _Optional[_Mapping[str, str]] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., uri: _Optional[str] = ...) -> None: ...

class TensorFlowModel(_message.Message):
    __slots__ = ("uri", "signature_name", "inputs", "outputs")
    URI_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    signature_name: str
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    def __init__(self, uri: _Optional[str] = ..., signature_name: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ...) -> None: ...

class TensorRtModel(_message.Message):
    __slots__ = ("uri", "inputs", "outputs", "max_rows", "optimal_rows", "ranges", "precision", "engine_cache_uri", "workspace_bytes")
    URI_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    OPTIMAL_ROWS_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_CACHE_URI_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_BYTES_FIELD_NUMBER: _ClassVar[int]
    uri: str
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    max_rows: int
    optimal_rows: int
    ranges: _containers.RepeatedCompositeFieldContainer[TensorRtRange]
    precision: str
    engine_cache_uri: str
    workspace_bytes: int
    def __init__(self, uri: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., max_rows: _Optional[int] = ..., optimal_rows: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[TensorRtRange, _Mapping]]] = ..., precision: _Optional[str] = ..., engine_cache_uri: _Optional[str] = ..., workspace_bytes: _Optional[int] = ...) -> None: ...

class TensorRtRange(_message.Message):
    __slots__ = ("input", "min_shape", "optimal_shape", "max_shape")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MIN_SHAPE_FIELD_NUMBER: _ClassVar[int]
    OPTIMAL_SHAPE_FIELD_NUMBER: _ClassVar[int]
    MAX_SHAPE_FIELD_NUMBER: _ClassVar[int]
    input: str
    min_shape: _containers.RepeatedScalarFieldContainer[int]
    optimal_shape: _containers.RepeatedScalarFieldContainer[int]
    max_shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, input: _Optional[str] = ..., min_shape: _Optional[_Iterable[int]] = ..., optimal_shape: _Optional[_Iterable[int]] = ..., max_shape: _Optional[_Iterable[int]] = ...) -> None: ...

class HuggingFaceModel(_message.Message):
    __slots__ = ("uri", "task", "max_tokens", "max_new_tokens")
    URI_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_NEW_TOKENS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    task: str
    max_tokens: int
    max_new_tokens: int
    def __init__(self, uri: _Optional[str] = ..., task: _Optional[str] = ..., max_tokens: _Optional[int] = ..., max_new_tokens: _Optional[int] = ...) -> None: ...

class OpenInferenceModel(_message.Message):
    __slots__ = ("uri", "inputs", "outputs", "calls")
    URI_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    calls: RemoteCalls
    def __init__(self, uri: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., calls: _Optional[_Union[RemoteCalls, _Mapping]] = ...) -> None: ...

class VertexAiModel(_message.Message):
    __slots__ = ("uri", "inputs", "outputs", "calls", "instance_format", "parameters", "api_endpoint", "token_file")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URI_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    API_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FILE_FIELD_NUMBER: _ClassVar[int]
    uri: str
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    calls: RemoteCalls
    instance_format: str
    parameters: _containers.ScalarMap[str, str]
    api_endpoint: str
    token_file: str
    def __init__(self, uri: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., calls: _Optional[_Union[RemoteCalls, _Mapping]] = ..., instance_format: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ..., api_endpoint: _Optional[str] = ..., token_file: _Optional[str] = ...) -> None: ...

class VllmModel(_message.Message):
    __slots__ = ("uri", "task", "system", "max_tokens", "temperature", "top_p", "stop", "parameters", "server_args", "max_concurrent_requests", "calls")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ServerArgsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URI_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SERVER_ARGS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    task: str
    system: str
    max_tokens: int
    temperature: float
    top_p: float
    stop: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.ScalarMap[str, str]
    server_args: _containers.ScalarMap[str, str]
    max_concurrent_requests: int
    calls: RemoteCalls
    def __init__(self, uri: _Optional[str] = ..., task: _Optional[str] = ..., system: _Optional[str] = ..., max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., stop: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Mapping[str, str]] = ..., server_args: _Optional[_Mapping[str, str]] = ..., max_concurrent_requests: _Optional[int] = ..., calls: _Optional[_Union[RemoteCalls, _Mapping]] = ...) -> None: ...

class EmbeddingServiceModel(_message.Message):
    __slots__ = ("uri", "provider", "size", "shorten", "task_type", "organization", "endpoint", "calls")
    URI_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHORTEN_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    provider: str
    size: int
    shorten: bool
    task_type: str
    organization: str
    endpoint: str
    calls: RemoteCalls
    def __init__(self, uri: _Optional[str] = ..., provider: _Optional[str] = ..., size: _Optional[int] = ..., shorten: bool = ..., task_type: _Optional[str] = ..., organization: _Optional[str] = ..., endpoint: _Optional[str] = ..., calls: _Optional[_Union[RemoteCalls, _Mapping]] = ...) -> None: ...

class RemoteCalls(_message.Message):
    __slots__ = ("timeout_secs", "max_attempts", "backoff_secs", "max_requests_per_second", "max_rows_per_request")
    TIMEOUT_SECS_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_SECS_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_PER_REQUEST_FIELD_NUMBER: _ClassVar[int]
    timeout_secs: float
    max_attempts: int
    backoff_secs: float
    max_requests_per_second: float
    max_rows_per_request: int
    def __init__(self, timeout_secs: _Optional[float] = ..., max_attempts: _Optional[int] = ..., backoff_secs: _Optional[float] = ..., max_requests_per_second: _Optional[float] = ..., max_rows_per_request: _Optional[int] = ...) -> None: ...
