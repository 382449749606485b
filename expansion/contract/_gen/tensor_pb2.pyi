from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Field(_message.Message):
    __slots__ = ("name", "datatype", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class TensorBatchHeader(_message.Message):
    __slots__ = ("rows", "columns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: _containers.RepeatedCompositeFieldContainer[TensorBatchColumn]
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[TensorBatchColumn, _Mapping]]] = ...) -> None: ...

class TensorBatchColumn(_message.Message):
    __slots__ = ("field", "values", "offsets", "shapes", "validity")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    SHAPES_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_FIELD_NUMBER: _ClassVar[int]
    field: Field
    values: TensorBatchBuffer
    offsets: TensorBatchBuffer
    shapes: TensorBatchBuffer
    validity: TensorBatchBuffer
    def __init__(self, field: _Optional[_Union[Field, _Mapping]] = ..., values: _Optional[_Union[TensorBatchBuffer, _Mapping]] = ..., offsets: _Optional[_Union[TensorBatchBuffer, _Mapping]] = ..., shapes: _Optional[_Union[TensorBatchBuffer, _Mapping]] = ..., validity: _Optional[_Union[TensorBatchBuffer, _Mapping]] = ...) -> None: ...

class TensorBatchBuffer(_message.Message):
    __slots__ = ("offset", "length")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    offset: int
    length: int
    def __init__(self, offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...
