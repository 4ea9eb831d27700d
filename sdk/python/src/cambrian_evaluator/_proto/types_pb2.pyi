from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_OUT_OF_MEMORY: _ClassVar[FailureKind]
    FAILURE_KIND_NON_FINITE: _ClassVar[FailureKind]
    FAILURE_KIND_TIMEOUT: _ClassVar[FailureKind]
    FAILURE_KIND_CRASH: _ClassVar[FailureKind]
    FAILURE_KIND_PREEMPTED: _ClassVar[FailureKind]
    FAILURE_KIND_BAD_NODE: _ClassVar[FailureKind]
    FAILURE_KIND_INVALID: _ClassVar[FailureKind]
    FAILURE_KIND_INCOMPARABLE: _ClassVar[FailureKind]
    FAILURE_KIND_LEASE_EXPIRED: _ClassVar[FailureKind]
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_OUT_OF_MEMORY: FailureKind
FAILURE_KIND_NON_FINITE: FailureKind
FAILURE_KIND_TIMEOUT: FailureKind
FAILURE_KIND_CRASH: FailureKind
FAILURE_KIND_PREEMPTED: FailureKind
FAILURE_KIND_BAD_NODE: FailureKind
FAILURE_KIND_INVALID: FailureKind
FAILURE_KIND_INCOMPARABLE: FailureKind
FAILURE_KIND_LEASE_EXPIRED: FailureKind

class Shape(_message.Message):
    __slots__ = ("dimensions",)
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    dimensions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dimensions: _Optional[_Iterable[int]] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("kernel", "stride", "padding")
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    kernel: int
    stride: int
    padding: int
    def __init__(self, kernel: _Optional[int] = ..., stride: _Optional[int] = ..., padding: _Optional[int] = ...) -> None: ...

class Conv2d(_message.Message):
    __slots__ = ("out_channels", "window", "dilation", "groups", "bias")
    OUT_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DILATION_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    out_channels: int
    window: Window
    dilation: int
    groups: int
    bias: bool
    def __init__(self, out_channels: _Optional[int] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., dilation: _Optional[int] = ..., groups: _Optional[int] = ..., bias: bool = ...) -> None: ...

class Linear(_message.Message):
    __slots__ = ("out_features", "bias")
    OUT_FEATURES_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    out_features: int
    bias: bool
    def __init__(self, out_features: _Optional[int] = ..., bias: bool = ...) -> None: ...

class Unit(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Crop(_message.Message):
    __slots__ = ("top", "bottom", "left", "right")
    TOP_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    top: int
    bottom: int
    left: int
    right: int
    def __init__(self, top: _Optional[int] = ..., bottom: _Optional[int] = ..., left: _Optional[int] = ..., right: _Optional[int] = ...) -> None: ...

class Attention(_message.Message):
    __slots__ = ("heads",)
    HEADS_FIELD_NUMBER: _ClassVar[int]
    heads: int
    def __init__(self, heads: _Optional[int] = ...) -> None: ...

class FirstChannels(_message.Message):
    __slots__ = ("channels",)
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    channels: int
    def __init__(self, channels: _Optional[int] = ...) -> None: ...

class Upsample(_message.Message):
    __slots__ = ("factor",)
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    factor: int
    def __init__(self, factor: _Optional[int] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("inputs", "input", "conv2d", "batch_norm", "relu", "avg_pool", "max_pool", "global_avg_pool", "flatten", "linear", "add", "concat", "zero", "crop", "sigmoid", "hard_sigmoid", "silu", "hard_swish", "multiply", "channel_mean", "channel_max", "attention", "filter_bank", "upsample", "first_channels")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CONV2D_FIELD_NUMBER: _ClassVar[int]
    BATCH_NORM_FIELD_NUMBER: _ClassVar[int]
    RELU_FIELD_NUMBER: _ClassVar[int]
    AVG_POOL_FIELD_NUMBER: _ClassVar[int]
    MAX_POOL_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_AVG_POOL_FIELD_NUMBER: _ClassVar[int]
    FLATTEN_FIELD_NUMBER: _ClassVar[int]
    LINEAR_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    CONCAT_FIELD_NUMBER: _ClassVar[int]
    ZERO_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    SIGMOID_FIELD_NUMBER: _ClassVar[int]
    HARD_SIGMOID_FIELD_NUMBER: _ClassVar[int]
    SILU_FIELD_NUMBER: _ClassVar[int]
    HARD_SWISH_FIELD_NUMBER: _ClassVar[int]
    MULTIPLY_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_MEAN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_MAX_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_BANK_FIELD_NUMBER: _ClassVar[int]
    UPSAMPLE_FIELD_NUMBER: _ClassVar[int]
    FIRST_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedScalarFieldContainer[int]
    input: Unit
    conv2d: Conv2d
    batch_norm: Unit
    relu: Unit
    avg_pool: Window
    max_pool: Window
    global_avg_pool: Unit
    flatten: Unit
    linear: Linear
    add: Unit
    concat: Unit
    zero: Unit
    crop: Crop
    sigmoid: Unit
    hard_sigmoid: Unit
    silu: Unit
    hard_swish: Unit
    multiply: Unit
    channel_mean: Unit
    channel_max: Unit
    attention: Attention
    filter_bank: Unit
    upsample: Upsample
    first_channels: FirstChannels
    def __init__(self, inputs: _Optional[_Iterable[int]] = ..., input: _Optional[_Union[Unit, _Mapping]] = ..., conv2d: _Optional[_Union[Conv2d, _Mapping]] = ..., batch_norm: _Optional[_Union[Unit, _Mapping]] = ..., relu: _Optional[_Union[Unit, _Mapping]] = ..., avg_pool: _Optional[_Union[Window, _Mapping]] = ..., max_pool: _Optional[_Union[Window, _Mapping]] = ..., global_avg_pool: _Optional[_Union[Unit, _Mapping]] = ..., flatten: _Optional[_Union[Unit, _Mapping]] = ..., linear: _Optional[_Union[Linear, _Mapping]] = ..., add: _Optional[_Union[Unit, _Mapping]] = ..., concat: _Optional[_Union[Unit, _Mapping]] = ..., zero: _Optional[_Union[Unit, _Mapping]] = ..., crop: _Optional[_Union[Crop, _Mapping]] = ..., sigmoid: _Optional[_Union[Unit, _Mapping]] = ..., hard_sigmoid: _Optional[_Union[Unit, _Mapping]] = ..., silu: _Optional[_Union[Unit, _Mapping]] = ..., hard_swish: _Optional[_Union[Unit, _Mapping]] = ..., multiply: _Optional[_Union[Unit, _Mapping]] = ..., channel_mean: _Optional[_Union[Unit, _Mapping]] = ..., channel_max: _Optional[_Union[Unit, _Mapping]] = ..., attention: _Optional[_Union[Attention, _Mapping]] = ..., filter_bank: _Optional[_Union[Unit, _Mapping]] = ..., upsample: _Optional[_Union[Upsample, _Mapping]] = ..., first_channels: _Optional[_Union[FirstChannels, _Mapping]] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("input", "nodes", "output")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    input: Shape
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    output: int
    def __init__(self, input: _Optional[_Union[Shape, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., output: _Optional[int] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("source", "device_class")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    source: str
    device_class: str
    def __init__(self, source: _Optional[str] = ..., device_class: _Optional[str] = ...) -> None: ...

class Measurement(_message.Message):
    __slots__ = ("metric", "value", "spread", "provenance")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    metric: str
    value: float
    spread: float
    provenance: Provenance
    def __init__(self, metric: _Optional[str] = ..., value: _Optional[float] = ..., spread: _Optional[float] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("kind", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: FailureKind
    message: str
    def __init__(self, kind: _Optional[_Union[FailureKind, str]] = ..., message: _Optional[str] = ...) -> None: ...

class Measurements(_message.Message):
    __slots__ = ("measurements",)
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    measurements: _containers.RepeatedCompositeFieldContainer[Measurement]
    def __init__(self, measurements: _Optional[_Iterable[_Union[Measurement, _Mapping]]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("measured", "failed", "elapsed_micros", "checkpoint", "note", "step")
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MICROS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    measured: Measurements
    failed: Failure
    elapsed_micros: int
    checkpoint: bytes
    note: str
    step: int
    def __init__(self, measured: _Optional[_Union[Measurements, _Mapping]] = ..., failed: _Optional[_Union[Failure, _Mapping]] = ..., elapsed_micros: _Optional[int] = ..., checkpoint: _Optional[bytes] = ..., note: _Optional[str] = ..., step: _Optional[int] = ...) -> None: ...

class Stage(_message.Message):
    __slots__ = ("name", "evaluator", "settings_json", "measures", "dataset", "timeout_micros", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MICROS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    evaluator: str
    settings_json: str
    measures: _containers.RepeatedScalarFieldContainer[str]
    dataset: str
    timeout_micros: int
    labels: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., evaluator: _Optional[str] = ..., settings_json: _Optional[str] = ..., measures: _Optional[_Iterable[str]] = ..., dataset: _Optional[str] = ..., timeout_micros: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CandidateId(_message.Message):
    __slots__ = ("campaign", "ordinal")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    campaign: int
    ordinal: int
    def __init__(self, campaign: _Optional[int] = ..., ordinal: _Optional[int] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("task", "attempt", "candidate", "graph", "genotype", "stage", "seed", "resume", "keep", "resume_path", "checkpoint_path", "yield_path")
    TASK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    GENOTYPE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    RESUME_PATH_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_PATH_FIELD_NUMBER: _ClassVar[int]
    YIELD_PATH_FIELD_NUMBER: _ClassVar[int]
    task: int
    attempt: int
    candidate: CandidateId
    graph: Graph
    genotype: str
    stage: Stage
    seed: int
    resume: bytes
    keep: bool
    resume_path: str
    checkpoint_path: str
    yield_path: str
    def __init__(self, task: _Optional[int] = ..., attempt: _Optional[int] = ..., candidate: _Optional[_Union[CandidateId, _Mapping]] = ..., graph: _Optional[_Union[Graph, _Mapping]] = ..., genotype: _Optional[str] = ..., stage: _Optional[_Union[Stage, _Mapping]] = ..., seed: _Optional[int] = ..., resume: _Optional[bytes] = ..., keep: bool = ..., resume_path: _Optional[str] = ..., checkpoint_path: _Optional[str] = ..., yield_path: _Optional[str] = ...) -> None: ...

class TaskAttempt(_message.Message):
    __slots__ = ("task", "attempt")
    TASK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    task: int
    attempt: int
    def __init__(self, task: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class EvaluatorOffer(_message.Message):
    __slots__ = ("name", "version", "metrics", "yields")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Provenance
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Provenance, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    YIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    metrics: _containers.MessageMap[str, Provenance]
    yields: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., metrics: _Optional[_Mapping[str, Provenance]] = ..., yields: bool = ...) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("device_class", "memory_bytes", "slots", "evaluators", "datasets", "unavailable", "labels", "dataset_offers")
    class UnavailableEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    EVALUATORS_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DATASET_OFFERS_FIELD_NUMBER: _ClassVar[int]
    device_class: str
    memory_bytes: int
    slots: int
    evaluators: _containers.RepeatedCompositeFieldContainer[EvaluatorOffer]
    datasets: _containers.RepeatedScalarFieldContainer[str]
    unavailable: _containers.ScalarMap[str, str]
    labels: _containers.ScalarMap[str, str]
    dataset_offers: _containers.RepeatedCompositeFieldContainer[DatasetOffer]
    def __init__(self, device_class: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., slots: _Optional[int] = ..., evaluators: _Optional[_Iterable[_Union[EvaluatorOffer, _Mapping]]] = ..., datasets: _Optional[_Iterable[str]] = ..., unavailable: _Optional[_Mapping[str, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., dataset_offers: _Optional[_Iterable[_Union[DatasetOffer, _Mapping]]] = ...) -> None: ...

class DatasetOffer(_message.Message):
    __slots__ = ("name", "fingerprint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    fingerprint: str
    def __init__(self, name: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...
