from expansion.contract._gen import hook_pb2 as _hook_pb2
from expansion.contract._gen import model_pb2 as _model_pb2
from expansion.contract._gen import run_inference_pb2 as _run_inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operation(_message.Message):
    __slots__ = ("scale_to_01", "scale_by_min_max", "scale_to_z_score", "scale_to_gaussian", "compute_and_apply_vocabulary", "bucketize", "apply_buckets", "apply_buckets_with_interpolation", "tfidf", "ngrams", "bag_of_words", "hash_strings", "deduplicate", "one_hot", "impute", "embed")
    SCALE_TO_01_FIELD_NUMBER: _ClassVar[int]
    SCALE_BY_MIN_MAX_FIELD_NUMBER: _ClassVar[int]
    SCALE_TO_Z_SCORE_FIELD_NUMBER: _ClassVar[int]
    SCALE_TO_GAUSSIAN_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_AND_APPLY_VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    BUCKETIZE_FIELD_NUMBER: _ClassVar[int]
    APPLY_BUCKETS_FIELD_NUMBER: _ClassVar[int]
    APPLY_BUCKETS_WITH_INTERPOLATION_FIELD_NUMBER: _ClassVar[int]
    TFIDF_FIELD_NUMBER: _ClassVar[int]
    NGRAMS_FIELD_NUMBER: _ClassVar[int]
    BAG_OF_WORDS_FIELD_NUMBER: _ClassVar[int]
    HASH_STRINGS_FIELD_NUMBER: _ClassVar[int]
    DEDUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ONE_HOT_FIELD_NUMBER: _ClassVar[int]
    IMPUTE_FIELD_NUMBER: _ClassVar[int]
    EMBED_FIELD_NUMBER: _ClassVar[int]
    scale_to_01: ScaleTo01
    scale_by_min_max: ScaleByMinMax
    scale_to_z_score: ScaleToZScore
    scale_to_gaussian: ScaleToGaussian
    compute_and_apply_vocabulary: ComputeAndApplyVocabulary
    bucketize: BucketizeByQuantiles
    apply_buckets: ApplyBuckets
    apply_buckets_with_interpolation: ApplyBucketsWithInterpolation
    tfidf: TfIdf
    ngrams: NGrams
    bag_of_words: BagOfWords
    hash_strings: HashStrings
    deduplicate: Deduplicate
    one_hot: LearnedOneHot
    impute: LearnedImpute
    embed: Embed
    def __init__(self, scale_to_01: _Optional[_Union[ScaleTo01, _Mapping]] = ..., scale_by_min_max: _Optional[_Union[ScaleByMinMax, _Mapping]] = ..., scale_to_z_score: _Optional[_Union[ScaleToZScore, _Mapping]] = ..., scale_to_gaussian: _Optional[_Union[ScaleToGaussian, _Mapping]] = ..., compute_and_apply_vocabulary: _Optional[_Union[ComputeAndApplyVocabulary, _Mapping]] = ..., bucketize: _Optional[_Union[BucketizeByQuantiles, _Mapping]] = ..., apply_buckets: _Optional[_Union[ApplyBuckets, _Mapping]] = ..., apply_buckets_with_interpolation: _Optional[_Union[ApplyBucketsWithInterpolation, _Mapping]] = ..., tfidf: _Optional[_Union[TfIdf, _Mapping]] = ..., ngrams: _Optional[_Union[NGrams, _Mapping]] = ..., bag_of_words: _Optional[_Union[BagOfWords, _Mapping]] = ..., hash_strings: _Optional[_Union[HashStrings, _Mapping]] = ..., deduplicate: _Optional[_Union[Deduplicate, _Mapping]] = ..., one_hot: _Optional[_Union[LearnedOneHot, _Mapping]] = ..., impute: _Optional[_Union[LearnedImpute, _Mapping]] = ..., embed: _Optional[_Union[Embed, _Mapping]] = ...) -> None: ...

class ScaleTo01(_message.Message):
    __slots__ = ("columns", "outputs", "elementwise")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTWISE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    elementwise: bool
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., elementwise: bool = ...) -> None: ...

class ScaleByMinMax(_message.Message):
    __slots__ = ("columns", "outputs", "elementwise", "min_value", "max_value")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTWISE_FIELD_NUMBER: _ClassVar[int]
    MIN_VALUE_FIELD_NUMBER: _ClassVar[int]
    MAX_VALUE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    elementwise: bool
    min_value: float
    max_value: float
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., elementwise: bool = ..., min_value: _Optional[float] = ..., max_value: _Optional[float] = ...) -> None: ...

class ScaleToZScore(_message.Message):
    __slots__ = ("columns", "outputs", "elementwise")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTWISE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    elementwise: bool
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., elementwise: bool = ...) -> None: ...

class ScaleToGaussian(_message.Message):
    __slots__ = ("columns", "outputs", "elementwise")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTWISE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    elementwise: bool
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., elementwise: bool = ...) -> None: ...

class ComputeAndApplyVocabulary(_message.Message):
    __slots__ = ("columns", "outputs", "delimiters", "top_k", "frequency_threshold", "oov_buckets", "default_value")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DELIMITERS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    OOV_BUCKETS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    delimiters: str
    top_k: int
    frequency_threshold: int
    oov_buckets: int
    default_value: int
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., delimiters: _Optional[str] = ..., top_k: _Optional[int] = ..., frequency_threshold: _Optional[int] = ..., oov_buckets: _Optional[int] = ..., default_value: _Optional[int] = ...) -> None: ...

class BucketizeByQuantiles(_message.Message):
    __slots__ = ("columns", "outputs", "buckets", "elementwise")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTWISE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    buckets: int
    elementwise: bool
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., buckets: _Optional[int] = ..., elementwise: bool = ...) -> None: ...

class ApplyBuckets(_message.Message):
    __slots__ = ("columns", "outputs", "boundaries")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    boundaries: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., boundaries: _Optional[_Iterable[float]] = ...) -> None: ...

class ApplyBucketsWithInterpolation(_message.Message):
    __slots__ = ("columns", "outputs", "boundaries")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    boundaries: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., boundaries: _Optional[_Iterable[float]] = ...) -> None: ...

class TfIdf(_message.Message):
    __slots__ = ("columns", "delimiters", "vocabulary_size", "no_smoothing", "index_suffix", "weight_suffix")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DELIMITERS_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    NO_SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    INDEX_SUFFIX_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SUFFIX_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    delimiters: str
    vocabulary_size: int
    no_smoothing: bool
    index_suffix: str
    weight_suffix: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., delimiters: _Optional[str] = ..., vocabulary_size: _Optional[int] = ..., no_smoothing: bool = ..., index_suffix: _Optional[str] = ..., weight_suffix: _Optional[str] = ...) -> None: ...

class NGrams(_message.Message):
    __slots__ = ("columns", "outputs", "delimiters", "min_n", "max_n", "separator")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DELIMITERS_FIELD_NUMBER: _ClassVar[int]
    MIN_N_FIELD_NUMBER: _ClassVar[int]
    MAX_N_FIELD_NUMBER: _ClassVar[int]
    SEPARATOR_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    delimiters: str
    min_n: int
    max_n: int
    separator: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., delimiters: _Optional[str] = ..., min_n: _Optional[int] = ..., max_n: _Optional[int] = ..., separator: _Optional[str] = ...) -> None: ...

class BagOfWords(_message.Message):
    __slots__ = ("columns", "outputs", "delimiters", "min_n", "max_n", "separator")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DELIMITERS_FIELD_NUMBER: _ClassVar[int]
    MIN_N_FIELD_NUMBER: _ClassVar[int]
    MAX_N_FIELD_NUMBER: _ClassVar[int]
    SEPARATOR_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    delimiters: str
    min_n: int
    max_n: int
    separator: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., delimiters: _Optional[str] = ..., min_n: _Optional[int] = ..., max_n: _Optional[int] = ..., separator: _Optional[str] = ...) -> None: ...

class HashStrings(_message.Message):
    __slots__ = ("columns", "outputs", "buckets")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    buckets: int
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., buckets: _Optional[int] = ...) -> None: ...

class Deduplicate(_message.Message):
    __slots__ = ("columns", "outputs")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ...) -> None: ...

class LearnedOneHot(_message.Message):
    __slots__ = ("columns", "outputs", "size")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    size: int
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., size: _Optional[int] = ...) -> None: ...

class LearnedImpute(_message.Message):
    __slots__ = ("columns", "outputs", "strategy")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    strategy: str
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., strategy: _Optional[str] = ...) -> None: ...

class Embed(_message.Message):
    __slots__ = ("columns", "outputs", "model", "pre_hooks", "post_hooks", "inputs", "model_outputs", "size", "max_batch_size")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRE_HOOKS_FIELD_NUMBER: _ClassVar[int]
    POST_HOOKS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    model: _model_pb2.Model
    pre_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    post_hooks: _containers.RepeatedCompositeFieldContainer[_hook_pb2.Hook]
    inputs: _containers.RepeatedCompositeFieldContainer[_run_inference_pb2.InputFeature]
    model_outputs: _containers.RepeatedCompositeFieldContainer[_run_inference_pb2.OutputColumn]
    size: int
    max_batch_size: int
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ..., pre_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., post_hooks: _Optional[_Iterable[_Union[_hook_pb2.Hook, _Mapping]]] = ..., inputs: _Optional[_Iterable[_Union[_run_inference_pb2.InputFeature, _Mapping]]] = ..., model_outputs: _Optional[_Iterable[_Union[_run_inference_pb2.OutputColumn, _Mapping]]] = ..., size: _Optional[int] = ..., max_batch_size: _Optional[int] = ...) -> None: ...
