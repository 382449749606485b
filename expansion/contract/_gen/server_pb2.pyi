from expansion.contract._gen import ml_transform_pb2 as _ml_transform_pb2
from expansion.contract._gen import run_inference_pb2 as _run_inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServerConfig(_message.Message):
    __slots__ = ("host", "port", "insecure", "tls", "token_file", "http_port", "allow", "limits", "environment", "environments", "framework_environments", "worker_packages", "presets", "log_format")
    class EnvironmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FrameworkEnvironmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    INSECURE_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FILE_FIELD_NUMBER: _ClassVar[int]
    HTTP_PORT_FIELD_NUMBER: _ClassVar[int]
    ALLOW_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENTS_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ENVIRONMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_PACKAGES_FIELD_NUMBER: _ClassVar[int]
    PRESETS_FIELD_NUMBER: _ClassVar[int]
    LOG_FORMAT_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    insecure: bool
    tls: Tls
    token_file: str
    http_port: int
    allow: Allow
    limits: Limits
    environment: str
    environments: _containers.ScalarMap[str, str]
    framework_environments: _containers.ScalarMap[str, str]
    worker_packages: _containers.RepeatedScalarFieldContainer[str]
    presets: _containers.RepeatedCompositeFieldContainer[Preset]
    log_format: str
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., insecure: bool = ..., tls: _Optional[_Union[Tls, _Mapping]] = ..., token_file: _Optional[str] = ..., http_port: _Optional[int] = ..., allow: _Optional[_Union[Allow, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., environment: _Optional[str] = ..., environments: _Optional[_Mapping[str, str]] = ..., framework_environments: _Optional[_Mapping[str, str]] = ..., worker_packages: _Optional[_Iterable[str]] = ..., presets: _Optional[_Iterable[_Union[Preset, _Mapping]]] = ..., log_format: _Optional[str] = ...) -> None: ...

class Tls(_message.Message):
    __slots__ = ("certificate_file", "key_file", "client_ca_file")
    CERTIFICATE_FILE_FIELD_NUMBER: _ClassVar[int]
    KEY_FILE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CA_FILE_FIELD_NUMBER: _ClassVar[int]
    certificate_file: str
    key_file: str
    client_ca_file: str
    def __init__(self, certificate_file: _Optional[str] = ..., key_file: _Optional[str] = ..., client_ca_file: _Optional[str] = ...) -> None: ...

class Allow(_message.Message):
    __slots__ = ("formats", "types", "imports", "server_args", "inline_source", "artifact_roots", "uri_prefixes", "sha256", "env_vars")
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    IMPORTS_FIELD_NUMBER: _ClassVar[int]
    SERVER_ARGS_FIELD_NUMBER: _ClassVar[int]
    INLINE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ROOTS_FIELD_NUMBER: _ClassVar[int]
    URI_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ENV_VARS_FIELD_NUMBER: _ClassVar[int]
    formats: _containers.RepeatedScalarFieldContainer[str]
    types: _containers.RepeatedScalarFieldContainer[str]
    imports: _containers.RepeatedScalarFieldContainer[str]
    server_args: _containers.RepeatedScalarFieldContainer[str]
    inline_source: bool
    artifact_roots: _containers.RepeatedScalarFieldContainer[str]
    uri_prefixes: _containers.RepeatedScalarFieldContainer[str]
    sha256: _containers.RepeatedScalarFieldContainer[str]
    env_vars: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, formats: _Optional[_Iterable[str]] = ..., types: _Optional[_Iterable[str]] = ..., imports: _Optional[_Iterable[str]] = ..., server_args: _Optional[_Iterable[str]] = ..., inline_source: bool = ..., artifact_roots: _Optional[_Iterable[str]] = ..., uri_prefixes: _Optional[_Iterable[str]] = ..., sha256: _Optional[_Iterable[str]] = ..., env_vars: _Optional[_Iterable[str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_request_bytes", "max_components", "max_depth", "workers", "max_waiting_calls", "deadline_secs", "drain_secs", "notice_secs")
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    MAX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_CALLS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_SECS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_SECS_FIELD_NUMBER: _ClassVar[int]
    NOTICE_SECS_FIELD_NUMBER: _ClassVar[int]
    max_request_bytes: int
    max_components: int
    max_depth: int
    workers: int
    max_waiting_calls: int
    deadline_secs: float
    drain_secs: float
    notice_secs: float
    def __init__(self, max_request_bytes: _Optional[int] = ..., max_components: _Optional[int] = ..., max_depth: _Optional[int] = ..., workers: _Optional[int] = ..., max_waiting_calls: _Optional[int] = ..., deadline_secs: _Optional[float] = ..., drain_secs: _Optional[float] = ..., notice_secs: _Optional[float] = ...) -> None: ...

class Preset(_message.Message):
    __slots__ = ("name", "description", "environment", "run_inference", "ml_transform")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_INFERENCE_FIELD_NUMBER: _ClassVar[int]
    ML_TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    environment: str
    run_inference: _run_inference_pb2.RunInferenceConfig
    ml_transform: _ml_transform_pb2.MLTransformConfig
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., environment: _Optional[str] = ..., run_inference: _Optional[_Union[_run_inference_pb2.RunInferenceConfig, _Mapping]] = ..., ml_transform: _Optional[_Union[_ml_transform_pb2.MLTransformConfig, _Mapping]] = ...) -> None: ...

class PresetConfig(_message.Message):
    __slots__ = ("error_handling",)
    ERROR_HANDLING_FIELD_NUMBER: _ClassVar[int]
    error_handling: _run_inference_pb2.ErrorHandling
    def __init__(self, error_handling: _Optional[_Union[_run_inference_pb2.ErrorHandling, _Mapping]] = ...) -> None: ...
