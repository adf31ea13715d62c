"""Agents that learn while they act.

One process, three threads: the *inference* thread lets an agent act in its environment, the *training* thread
lets trainers learn from what it saw, the *control* thread pauses, resumes, saves and stops them both.

The house, from the ground up; a module imports from lower floors only:

- ``clock``, ``lifecycle``: agent time, and the hooks that every component has.
- ``schedulers``, ``state``, ``model``, ``metrics``: callbacks every so often, what is kept, models in two roles,
  how long things take.
- ``data``, ``interaction``, ``trainer``: from agent to trainer, how it acts, how it learns.
- ``optim``: schedules of any hyperparameter of an optimizer. Its ``curves`` stand on the ground: pure functions.
- ``torch``: the parts made for PyTorch.
- ``runtime``: the three threads, and :class:`System`, the handle of them.
- ``gym``, ``testing``, ``report``: Gymnasium environments; help for tests of your own parts; what a run was like.

Every public name is importable from here and from its room. Importing this package loads none of them, and no
torch: a name is looked up when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_sched._lazy import lookup

if TYPE_CHECKING:
    from pamiq_sched import (
        clock as clock,
        data as data,
        gym as gym,
        interaction as interaction,
        lifecycle as lifecycle,
        metrics as metrics,
        model as model,
        optim as optim,
        report as report,
        runtime as runtime,
        schedulers as schedulers,
        state as state,
        testing as testing,
        time as time,
        torch as torch,
        trainer as trainer,
        utils as utils,
    )
    from pamiq_sched.clock import (
        Clock as Clock,
        ManualClock as ManualClock,
        system_clock as system_clock,
    )
    from pamiq_sched.data import (
        DataBuffer as DataBuffer,
        DataCollector as DataCollector,
        DataCollectorsDict as DataCollectorsDict,
        DataUser as DataUser,
        DataUsersDict as DataUsersDict,
        DictRandomReplacementBuffer as DictRandomReplacementBuffer,
        DictSequentialBuffer as DictSequentialBuffer,
        RandomReplacementBuffer as RandomReplacementBuffer,
        SequentialBuffer as SequentialBuffer,
        TensorRingBuffer as TensorRingBuffer,
        TorchRLBuffer as TorchRLBuffer,
    )
    from pamiq_sched.gym import (
        EnvOutput as EnvOutput,
        EnvReset as EnvReset,
        EnvStep as EnvStep,
        Film as Film,
        GymAction as GymAction,
        GymAgent as GymAgent,
        GymEnvironment as GymEnvironment,
        GymObs as GymObs,
        VectorGymAgent as VectorGymAgent,
        VectorStep as VectorStep,
    )
    from pamiq_sched.interaction import (
        Actuator as Actuator,
        ActuatorsDict as ActuatorsDict,
        ActuatorWrapper as ActuatorWrapper,
        Agent as Agent,
        Environment as Environment,
        EnvironmentWrapper as EnvironmentWrapper,
        FixedIntervalInteraction as FixedIntervalInteraction,
        Interaction as Interaction,
        IntervalAdjustor as IntervalAdjustor,
        LambdaWrapper as LambdaWrapper,
        ModularEnvironment as ModularEnvironment,
        Sensor as Sensor,
        SensorsDict as SensorsDict,
        SensorWrapper as SensorWrapper,
        SleepIntervalAdjustor as SleepIntervalAdjustor,
        Wrapper as Wrapper,
    )
    from pamiq_sched.lifecycle import (
        InteractionEventMixin as InteractionEventMixin,
        PersistentStateMixin as PersistentStateMixin,
        ShutdownRequested as ShutdownRequested,
        ThreadEventMixin as ThreadEventMixin,
    )
    from pamiq_sched.metrics import (
        Durations as Durations,
        DurationWindow as DurationWindow,
        JsonLinesSink as JsonLinesSink,
        MetricsSink as MetricsSink,
        TensorBoardSink as TensorBoardSink,
        read_json_lines as read_json_lines,
    )
    from pamiq_sched.model import (
        InferenceModel as InferenceModel,
        InferenceModelsDict as InferenceModelsDict,
        Staleness as Staleness,
        TrainingModel as TrainingModel,
        TrainingModelsDict as TrainingModelsDict,
    )
    from pamiq_sched.optim import (
        ConstantCurve as ConstantCurve,
        CosineAnnealingWarmupReduceRestarts as CosineAnnealingWarmupReduceRestarts,
        CosineCurve as CosineCurve,
        Curve as Curve,
        CyclicCurve as CyclicCurve,
        ExponentialCurve as ExponentialCurve,
        FunctionCurve as FunctionCurve,
        InverseSqrtCurve as InverseSqrtCurve,
        InverseWarmupCurve as InverseWarmupCurve,
        LinearCurve as LinearCurve,
        PiecewiseLinearCurve as PiecewiseLinearCurve,
        PolynomialCurve as PolynomialCurve,
        PolynomialLRDecay as PolynomialLRDecay,
        Preview as Preview,
        ProductCurve as ProductCurve,
        ProductScheduler as ProductScheduler,
        RepeatCurve as RepeatCurve,
        Schedule as Schedule,
        SequenceCurve as SequenceCurve,
        SequenceScheduler as SequenceScheduler,
        Snapshot as Snapshot,
        StepCurve as StepCurve,
        StepDecayCurve as StepDecayCurve,
        StretchedCurve as StretchedCurve,
        SynchronousSchedule as SynchronousSchedule,
        WarmupCurve as WarmupCurve,
        WarmupStableDecayCurve as WarmupStableDecayCurve,
        arbitrary_schedule_factory as arbitrary_schedule_factory,
        build_optimizer as build_optimizer,
        build_scheduler as build_scheduler,
        constant_schedule as constant_schedule,
        constant_with_inverse_warmup as constant_with_inverse_warmup,
        constant_with_warmup as constant_with_warmup,
        cosine_annealing_with_inverse_warmup as cosine_annealing_with_inverse_warmup,
        cosine_annealing_with_warmup as cosine_annealing_with_warmup,
        extend_optimizer as extend_optimizer,
        get_param_groups_regrouped_by_key as get_param_groups_regrouped_by_key,
        linear_schedule_with_inverse_warmup as linear_schedule_with_inverse_warmup,
        linear_schedule_with_warmup as linear_schedule_with_warmup,
        polynomial_schedule_with_inverse_warmup as polynomial_schedule_with_inverse_warmup,
        polynomial_schedule_with_warmup as polynomial_schedule_with_warmup,
        preview_schedule as preview_schedule,
        quadratic_schedule_with_inverse_warmup as quadratic_schedule_with_inverse_warmup,
        quadratic_schedule_with_warmup as quadratic_schedule_with_warmup,
        register_domain as register_domain,
        register_scheduler as register_scheduler,
        sqrt_schedule_with_inverse_warmup as sqrt_schedule_with_inverse_warmup,
        sqrt_schedule_with_warmup as sqrt_schedule_with_warmup,
    )
    from pamiq_sched.report import (
        write_report as write_report,
    )
    from pamiq_sched.runtime import (
        LaunchConfig as LaunchConfig,
        Status as Status,
        System as System,
        SystemStatus as SystemStatus,
        SystemStoppedError as SystemStoppedError,
        launch as launch,
    )
    from pamiq_sched.schedulers import (
        Scheduler as Scheduler,
        StepIntervalScheduler as StepIntervalScheduler,
        TimeIntervalScheduler as TimeIntervalScheduler,
    )
    from pamiq_sched.state import (
        BestStatesKeeper as BestStatesKeeper,
        FileSystem as FileSystem,
        LatestStatesKeeper as LatestStatesKeeper,
        Manifest as Manifest,
        PeriodicSaveCondition as PeriodicSaveCondition,
        SavedState as SavedState,
        SavedStates as SavedStates,
        StateComparison as StateComparison,
        StateDamagedError as StateDamagedError,
        StatesKeeper as StatesKeeper,
        StateStore as StateStore,
        StepSaveCondition as StepSaveCondition,
        compare_states as compare_states,
        inspect_state as inspect_state,
        inspect_states as inspect_states,
        latest_state as latest_state,
    )
    from pamiq_sched.testing import (
        connect_components as connect_components,
        run_steps as run_steps,
    )
    from pamiq_sched.torch import (
        TorchAgent as TorchAgent,
        TorchInferenceModel as TorchInferenceModel,
        TorchTrainer as TorchTrainer,
        TorchTrainingModel as TorchTrainingModel,
        get_device as get_device,
    )
    from pamiq_sched.trainer import (
        Trainer as Trainer,
        TrainersDict as TrainersDict,
    )

__version__ = "0.1.0"

_NAMES = {
    "clock": ["Clock", "ManualClock", "system_clock"],
    "data": [
        "DataBuffer",
        "DataCollector",
        "DataCollectorsDict",
        "DataUser",
        "DataUsersDict",
        "DictRandomReplacementBuffer",
        "DictSequentialBuffer",
        "RandomReplacementBuffer",
        "SequentialBuffer",
        "TensorRingBuffer",
        "TorchRLBuffer",
    ],
    "gym": [
        "EnvOutput",
        "EnvReset",
        "EnvStep",
        "Film",
        "GymAction",
        "GymAgent",
        "GymEnvironment",
        "GymObs",
        "VectorGymAgent",
        "VectorStep",
    ],
    "interaction": [
        "Actuator",
        "ActuatorWrapper",
        "ActuatorsDict",
        "Agent",
        "Environment",
        "EnvironmentWrapper",
        "FixedIntervalInteraction",
        "Interaction",
        "IntervalAdjustor",
        "LambdaWrapper",
        "ModularEnvironment",
        "Sensor",
        "SensorWrapper",
        "SensorsDict",
        "SleepIntervalAdjustor",
        "Wrapper",
    ],
    "lifecycle": ["InteractionEventMixin", "PersistentStateMixin", "ShutdownRequested", "ThreadEventMixin"],
    "metrics": [
        "DurationWindow",
        "Durations",
        "JsonLinesSink",
        "MetricsSink",
        "TensorBoardSink",
        "read_json_lines",
    ],
    "model": ["InferenceModel", "InferenceModelsDict", "Staleness", "TrainingModel", "TrainingModelsDict"],
    "optim": [
        "ConstantCurve",
        "CosineAnnealingWarmupReduceRestarts",
        "CosineCurve",
        "Curve",
        "CyclicCurve",
        "ExponentialCurve",
        "FunctionCurve",
        "InverseSqrtCurve",
        "InverseWarmupCurve",
        "LinearCurve",
        "PiecewiseLinearCurve",
        "PolynomialCurve",
        "PolynomialLRDecay",
        "Preview",
        "ProductCurve",
        "ProductScheduler",
        "RepeatCurve",
        "Schedule",
        "SequenceCurve",
        "SequenceScheduler",
        "Snapshot",
        "StepCurve",
        "StepDecayCurve",
        "StretchedCurve",
        "SynchronousSchedule",
        "WarmupCurve",
        "WarmupStableDecayCurve",
        "arbitrary_schedule_factory",
        "build_optimizer",
        "build_scheduler",
        "constant_schedule",
        "constant_with_inverse_warmup",
        "constant_with_warmup",
        "cosine_annealing_with_inverse_warmup",
        "cosine_annealing_with_warmup",
        "extend_optimizer",
        "get_param_groups_regrouped_by_key",
        "linear_schedule_with_inverse_warmup",
        "linear_schedule_with_warmup",
        "polynomial_schedule_with_inverse_warmup",
        "polynomial_schedule_with_warmup",
        "preview_schedule",
        "quadratic_schedule_with_inverse_warmup",
        "quadratic_schedule_with_warmup",
        "register_domain",
        "register_scheduler",
        "sqrt_schedule_with_inverse_warmup",
        "sqrt_schedule_with_warmup",
    ],
    "report": ["write_report"],
    "runtime": ["LaunchConfig", "Status", "System", "SystemStatus", "SystemStoppedError", "launch"],
    "schedulers": ["Scheduler", "StepIntervalScheduler", "TimeIntervalScheduler"],
    "state": [
        "BestStatesKeeper",
        "FileSystem",
        "LatestStatesKeeper",
        "Manifest",
        "PeriodicSaveCondition",
        "SavedState",
        "SavedStates",
        "StateComparison",
        "StateDamagedError",
        "StateStore",
        "StatesKeeper",
        "StepSaveCondition",
        "compare_states",
        "inspect_state",
        "inspect_states",
        "latest_state",
    ],
    "testing": ["connect_components", "run_steps"],
    "torch": ["TorchAgent", "TorchInferenceModel", "TorchTrainer", "TorchTrainingModel", "get_device"],
    "trainer": ["Trainer", "TrainersDict"],
}
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names}
_ROOMS = [*_NAMES, "time", "utils"]

# Not the rooms: a star import must not put ours in the place of torch and time.
__all__ = list(_ROOM_OF)


if not TYPE_CHECKING:  # which would take any misspelt name for one
    __getattr__ = lookup(__name__, _ROOM_OF, tuple(_ROOMS))


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF, *_ROOMS})
