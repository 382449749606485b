from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TYPE_UNKNOWN: _ClassVar[FeatureType]
    BYTES: _ClassVar[FeatureType]
    INT: _ClassVar[FeatureType]
    FLOAT: _ClassVar[FeatureType]
    STRUCT: _ClassVar[FeatureType]
TYPE_UNKNOWN: FeatureType
BYTES: FeatureType
INT: FeatureType
FLOAT: FeatureType
STRUCT: FeatureType

class FeatureSchema(_message.Message):
    __slots__ = ("feature",)
    class Feature(_message.Message):
        __slots__ = ("name", "type")
        NAME_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        name: str
        type: FeatureType
        def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[FeatureType, str]] = ...) -> None: ...
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    feature: _containers.RepeatedCompositeFieldContainer[FeatureSchema.Feature]
    def __init__(self, feature: _Optional[_Iterable[_Union[FeatureSchema.Feature, _Mapping]]] = ...) -> None: ...
