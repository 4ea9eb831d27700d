from . import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StopEvaluation(_message.Message):
    __slots__ = ("attempt", "keep_state")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    KEEP_STATE_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.TaskAttempt
    keep_state: bool
    def __init__(self, attempt: _Optional[_Union[_types_pb2.TaskAttempt, _Mapping]] = ..., keep_state: bool = ...) -> None: ...

class WriteState(_message.Message):
    __slots__ = ("attempt", "path")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.TaskAttempt
    path: str
    def __init__(self, attempt: _Optional[_Union[_types_pb2.TaskAttempt, _Mapping]] = ..., path: _Optional[str] = ...) -> None: ...

class SupervisorMessage(_message.Message):
    __slots__ = ("evaluate", "stop", "write_state")
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    WRITE_STATE_FIELD_NUMBER: _ClassVar[int]
    evaluate: _types_pb2.Assignment
    stop: StopEvaluation
    write_state: WriteState
    def __init__(self, evaluate: _Optional[_Union[_types_pb2.Assignment, _Mapping]] = ..., stop: _Optional[_Union[StopEvaluation, _Mapping]] = ..., write_state: _Optional[_Union[WriteState, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol", "capabilities")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    capabilities: _types_pb2.Capabilities
    def __init__(self, protocol: _Optional[int] = ..., capabilities: _Optional[_Union[_types_pb2.Capabilities, _Mapping]] = ...) -> None: ...

class EvaluationProgress(_message.Message):
    __slots__ = ("attempt", "step", "steps", "metrics")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.TaskAttempt
    step: int
    steps: int
    metrics: _containers.ScalarMap[str, float]
    def __init__(self, attempt: _Optional[_Union[_types_pb2.TaskAttempt, _Mapping]] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ...) -> None: ...

class StateWritten(_message.Message):
    __slots__ = ("attempt", "step")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.TaskAttempt
    step: int
    def __init__(self, attempt: _Optional[_Union[_types_pb2.TaskAttempt, _Mapping]] = ..., step: _Optional[int] = ...) -> None: ...

class EvaluationEnded(_message.Message):
    __slots__ = ("attempt", "outcome", "energy_joules")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ENERGY_JOULES_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.TaskAttempt
    outcome: _types_pb2.Outcome
    energy_joules: float
    def __init__(self, attempt: _Optional[_Union[_types_pb2.TaskAttempt, _Mapping]] = ..., outcome: _Optional[_Union[_types_pb2.Outcome, _Mapping]] = ..., energy_joules: _Optional[float] = ...) -> None: ...

class EvaluatorMessage(_message.Message):
    __slots__ = ("hello", "progress", "ended", "state_written")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    STATE_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    progress: EvaluationProgress
    ended: EvaluationEnded
    state_written: StateWritten
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., progress: _Optional[_Union[EvaluationProgress, _Mapping]] = ..., ended: _Optional[_Union[EvaluationEnded, _Mapping]] = ..., state_written: _Optional[_Union[StateWritten, _Mapping]] = ...) -> None: ...
