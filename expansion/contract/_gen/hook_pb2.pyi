from expansion.contract._gen import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hook(_message.Message):
    __slots__ = ("select", "cast", "scale", "reshape", "pad", "one_hot", "concat", "softmax", "argmax", "top_k", "labels", "threshold", "rename", "decode_image", "tokenize", "decode_tokens", "standardize", "impute", "hash", "bucketize", "l2_normalize", "round", "custom", "ml_transform")
    SELECT_FIELD_NUMBER: _ClassVar[int]
    CAST_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    RESHAPE_FIELD_NUMBER: _ClassVar[int]
    PAD_FIELD_NUMBER: _ClassVar[int]
    ONE_HOT_FIELD_NUMBER: _ClassVar[int]
    CONCAT_FIELD_NUMBER: _ClassVar[int]
    SOFTMAX_FIELD_NUMBER: _ClassVar[int]
    ARGMAX_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    RENAME_FIELD_NUMBER: _ClassVar[int]
    DECODE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    TOKENIZE_FIELD_NUMBER: _ClassVar[int]
    DECODE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STANDARDIZE_FIELD_NUMBER: _ClassVar[int]
    IMPUTE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    BUCKETIZE_FIELD_NUMBER: _ClassVar[int]
    L2_NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    ML_TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    select: Select
    cast: Cast
    scale: Scale
    reshape: Reshape
    pad: Pad
    one_hot: OneHot
    concat: Concat
    softmax: Softmax
    argmax: Argmax
    top_k: TopK
    labels: Labels
    threshold: Threshold
    rename: Rename
    decode_image: DecodeImage
    tokenize: Tokenize
    decode_tokens: DecodeTokens
    standardize: Standardize
    impute: Impute
    hash: Hash
    bucketize: Bucketize
    l2_normalize: L2Normalize
    round: Round
    custom: CustomHook
    ml_transform: MLTransformArtifact
    def __init__(self, select: _Optional[_Union[Select, _Mapping]] = ..., cast: _Optional[_Union[Cast, _Mapping]] = ..., scale: _Optional[_Union[Scale, _Mapping]] = ..., reshape: _Optional[_Union[Reshape, _Mapping]] = ..., pad: _Optional[_Union[Pad, _Mapping]] = ..., one_hot: _Optional[_Union[OneHot, _Mapping]] = ..., concat: _Optional[_Union[Concat, _Mapping]] = ..., softmax: _Optional[_Union[Softmax, _Mapping]] = ..., argmax: _Optional[_Union[Argmax, _Mapping]] = ..., top_k: _Optional[_Union[TopK, _Mapping]] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ..., threshold: _Optional[_Union[Threshold, _Mapping]] = ..., rename: _Optional[_Union[Rename, _Mapping]] = ..., decode_image: _Optional[_Union[DecodeImage, _Mapping]] = ..., tokenize: _Optional[_Union[Tokenize, _Mapping]] = ..., decode_tokens: _Optional[_Union[DecodeTokens, _Mapping]] = ..., standardize: _Optional[_Union[Standardize, _Mapping]] = ..., impute: _Optional[_Union[Impute, _Mapping]] = ..., hash: _Optional[_Union[Hash, _Mapping]] = ..., bucketize: _Optional[_Union[Bucketize, _Mapping]] = ..., l2_normalize: _Optional[_Union[L2Normalize, _Mapping]] = ..., round: _Optional[_Union[Round, _Mapping]] = ..., custom: _Optional[_Union[CustomHook, _Mapping]] = ..., ml_transform: _Optional[_Union[MLTransformArtifact, _Mapping]] = ...) -> None: ...

class Select(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, columns: _Optional[_Iterable[str]] = ...) -> None: ...

class Cast(_message.Message):
    __slots__ = ("columns", "datatype")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    datatype: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., datatype: _Optional[str] = ...) -> None: ...

class Scale(_message.Message):
    __slots__ = ("columns", "affine", "min_max", "datatype")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    AFFINE_FIELD_NUMBER: _ClassVar[int]
    MIN_MAX_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    affine: Affine
    min_max: MinMax
    datatype: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., affine: _Optional[_Union[Affine, _Mapping]] = ..., min_max: _Optional[_Union[MinMax, _Mapping]] = ..., datatype: _Optional[str] = ...) -> None: ...

class Affine(_message.Message):
    __slots__ = ("factor", "offset")
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    factor: float
    offset: float
    def __init__(self, factor: _Optional[float] = ..., offset: _Optional[float] = ...) -> None: ...

class MinMax(_message.Message):
    __slots__ = ("min", "max", "output_min", "output_max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MIN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    output_min: float
    output_max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ..., output_min: _Optional[float] = ..., output_max: _Optional[float] = ...) -> None: ...

class Reshape(_message.Message):
    __slots__ = ("column", "shape")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    column: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, column: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Pad(_message.Message):
    __slots__ = ("columns", "length", "multiple", "longest", "value", "axis", "mask_output")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    MULTIPLE_FIELD_NUMBER: _ClassVar[int]
    LONGEST_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    MASK_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    length: int
    multiple: int
    longest: bool
    value: float
    axis: int
    mask_output: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., length: _Optional[int] = ..., multiple: _Optional[int] = ..., longest: bool = ..., value: _Optional[float] = ..., axis: _Optional[int] = ..., mask_output: _Optional[str] = ...) -> None: ...

class OneHot(_message.Message):
    __slots__ = ("column", "depth", "categories", "output", "datatype")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    column: str
    depth: int
    categories: _containers.RepeatedScalarFieldContainer[str]
    output: str
    datatype: str
    def __init__(self, column: _Optional[str] = ..., depth: _Optional[int] = ..., categories: _Optional[_Iterable[str]] = ..., output: _Optional[str] = ..., datatype: _Optional[str] = ...) -> None: ...

class Concat(_message.Message):
    __slots__ = ("columns", "output", "axis")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    output: str
    axis: int
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., output: _Optional[str] = ..., axis: _Optional[int] = ...) -> None: ...

class Softmax(_message.Message):
    __slots__ = ("column", "output")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    column: str
    output: str
    def __init__(self, column: _Optional[str] = ..., output: _Optional[str] = ...) -> None: ...

class Argmax(_message.Message):
    __slots__ = ("column", "output")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    column: str
    output: str
    def __init__(self, column: _Optional[str] = ..., output: _Optional[str] = ...) -> None: ...

class TopK(_message.Message):
    __slots__ = ("column", "k", "values_output", "indices_output")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    VALUES_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    INDICES_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    column: str
    k: int
    values_output: str
    indices_output: str
    def __init__(self, column: _Optional[str] = ..., k: _Optional[int] = ..., values_output: _Optional[str] = ..., indices_output: _Optional[str] = ...) -> None: ...

class Labels(_message.Message):
    __slots__ = ("column", "labels", "uri", "output")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    column: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    uri: str
    output: str
    def __init__(self, column: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., uri: _Optional[str] = ..., output: _Optional[str] = ...) -> None: ...

class Threshold(_message.Message):
    __slots__ = ("column", "value", "output")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    column: str
    value: float
    output: str
    def __init__(self, column: _Optional[str] = ..., value: _Optional[float] = ..., output: _Optional[str] = ...) -> None: ...

class Rename(_message.Message):
    __slots__ = ("columns",)
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.ScalarMap[str, str]
    def __init__(self, columns: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DecodeImage(_message.Message):
    __slots__ = ("column", "output", "width", "height", "resize", "crop_fraction", "channels", "layout", "datatype", "factor", "mean", "standard_deviation", "max_pixels")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    CROP_FRACTION_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STANDARD_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    column: str
    output: str
    width: int
    height: int
    resize: str
    crop_fraction: float
    channels: str
    layout: str
    datatype: str
    factor: float
    mean: _containers.RepeatedScalarFieldContainer[float]
    standard_deviation: _containers.RepeatedScalarFieldContainer[float]
    max_pixels: int
    def __init__(self, column: _Optional[str] = ..., output: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., resize: _Optional[str] = ..., crop_fraction: _Optional[float] = ..., channels: _Optional[str] = ..., layout: _Optional[str] = ..., datatype: _Optional[str] = ..., factor: _Optional[float] = ..., mean: _Optional[_Iterable[float]] = ..., standard_deviation: _Optional[_Iterable[float]] = ..., max_pixels: _Optional[int] = ...) -> None: ...

class Tokenize(_message.Message):
    __slots__ = ("column", "pair_column", "uri", "max_tokens", "padding", "omit_special_tokens", "ids_output", "mask_output", "type_ids_output")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    PAIR_COLUMN_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    OMIT_SPECIAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    IDS_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    MASK_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TYPE_IDS_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    column: str
    pair_column: str
    uri: str
    max_tokens: int
    padding: str
    omit_special_tokens: bool
    ids_output: str
    mask_output: str
    type_ids_output: str
    def __init__(self, column: _Optional[str] = ..., pair_column: _Optional[str] = ..., uri: _Optional[str] = ..., max_tokens: _Optional[int] = ..., padding: _Optional[str] = ..., omit_special_tokens: bool = ..., ids_output: _Optional[str] = ..., mask_output: _Optional[str] = ..., type_ids_output: _Optional[str] = ...) -> None: ...

class DecodeTokens(_message.Message):
    __slots__ = ("column", "uri", "output", "keep_special_tokens")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    KEEP_SPECIAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    column: str
    uri: str
    output: str
    keep_special_tokens: bool
    def __init__(self, column: _Optional[str] = ..., uri: _Optional[str] = ..., output: _Optional[str] = ..., keep_special_tokens: bool = ...) -> None: ...

class Standardize(_message.Message):
    __slots__ = ("columns", "mean", "standard_deviation", "uri", "datatype")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STANDARD_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    mean: _containers.RepeatedScalarFieldContainer[float]
    standard_deviation: _containers.RepeatedScalarFieldContainer[float]
    uri: str
    datatype: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., mean: _Optional[_Iterable[float]] = ..., standard_deviation: _Optional[_Iterable[float]] = ..., uri: _Optional[str] = ..., datatype: _Optional[str] = ...) -> None: ...

class Impute(_message.Message):
    __slots__ = ("columns", "value", "text")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    value: float
    text: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., value: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class Hash(_message.Message):
    __slots__ = ("columns", "buckets")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    buckets: int
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., buckets: _Optional[int] = ...) -> None: ...

class Bucketize(_message.Message):
    __slots__ = ("columns", "boundaries")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    boundaries: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., boundaries: _Optional[_Iterable[float]] = ...) -> None: ...

class L2Normalize(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, columns: _Optional[_Iterable[str]] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("columns", "decimals")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    decimals: int
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., decimals: _Optional[int] = ...) -> None: ...

class CustomHook(_message.Message):
    __slots__ = ("function", "source", "arguments", "columns", "outputs", "by_row")
    class ArgumentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    BY_ROW_FIELD_NUMBER: _ClassVar[int]
    function: str
    source: str
    arguments: _containers.ScalarMap[str, str]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Field]
    by_row: bool
    def __init__(self, function: _Optional[str] = ..., source: _Optional[str] = ..., arguments: _Optional[_Mapping[str, str]] = ..., columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.Field, _Mapping]]] = ..., by_row: bool = ...) -> None: ...

class MLTransformArtifact(_message.Message):
    __slots__ = ("read_artifact_location",)
    READ_ARTIFACT_LOCATION_FIELD_NUMBER: _ClassVar[int]
    read_artifact_location: str
    def __init__(self, read_artifact_location: _Optional[str] = ...) -> None: ...
