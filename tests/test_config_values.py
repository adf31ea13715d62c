"""Every field that a user configures, with every kind of value that it should not have: decided in one table.

Not in it are the parts that a system is made of (a clock, a module, a callback): they are no values.
"""

import contextlib
import inspect
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from pamiq_sched import (
    BestStatesKeeper,
    Clock,
    DataCollector,
    DictRandomReplacementBuffer,
    DictSequentialBuffer,
    FixedIntervalInteraction,
    LatestStatesKeeper,
    LaunchConfig,
    ManualClock,
    PeriodicSaveCondition,
    RandomReplacementBuffer,
    SequentialBuffer,
    SleepIntervalAdjustor,
    StatesKeeper,
    StepIntervalScheduler,
    StepSaveCondition,
    System,
    SystemStoppedError,
    TensorRingBuffer,
    TimeIntervalScheduler,
    Trainer,
    launch,
)
from pamiq_sched.data import DataBuffer
from pamiq_sched.gym import GymEnvironment
from pamiq_sched.optim import build_optimizer, build_scheduler
from pamiq_sched.testing import FakeAgent, FakeEnvironment, connect_components
from pamiq_sched.torch import TorchTrainer, TorchTrainingModel

VALUES = {
    "None": None,
    "''": "",
    "'x'": "x",
    "True": True,
    "-1": -1,
    "0": 0,
    "1e-300": 1e-300,
    "0.5": 0.5,
    "nan": math.nan,
    "inf": math.inf,
    "1e308": 1e308,
    "10**400": 10**400,
}

# ok: accepted, and it works. T: TypeError. V: ValueError. Both name the field and the value.
# U: an error that says that there is nothing of this name. -: not ours to decide, or the machine's.
TABLE = """
                                                  None '' 'x' True -1 0 1e-300 0.5 nan inf 1e308 10**400

LaunchConfig
  states_dir                                      T    V  ok  T    T  T T      T   T   T   T     T
  state_name_format                               T    V  ok  T    T  T T      T   T   T   T     T
  seed                                            ok   T  T   T    V  ok T      T   T   T   T     V
  saved_state_path                                ok   V  ok  T    T  T T      T   T   T   T     T
  save_state_condition                            ok   T  T   T    T  T T      T   T   T   T     T
  states_keeper                                   ok   T  T   T    T  T T      T   T   T   T     T
  session_end_timeout                             T    T  T   T    V  ok ok     ok  V   ok  ok    V
  timeout_for_all_threads_pause                   T    T  T   T    V  V ok     ok  V   ok  ok    V
  max_attempts_to_pause_all_threads               T    T  T   T    V  V T      T   T   T   T     ok
  max_uptime                                      T    T  T   T    V  V ok     ok  V   ok  ok    V
  web_api_address                                 ok   T  T   T    T  T T      T   T   T   T     T
  web_api_command_queue_size                      T    T  T   T    V  V T      T   T   T   T     ok
  web_api_token                                   T    V  V   ok   T  T T      T   T   T   T     T
  metrics_sinks                                   T    T  T   T    T  T T      T   T   T   T     T
  metrics_interval                                T    T  T   T    V  V V      ok  V   V   V     V
  log_tick_time_statistics_interval               T    T  T   T    V  V V      ok  V   V   ok    V
  time_scale                                      T    T  T   T    V  V ok     ok  V   V   V     V
  allow_crashed_state                             T    T  T   ok   T  T T      T   T   T   T     T
  fall_back_to_older_state                        T    T  T   ok   T  T T      T   T   T   T     T
  shutdown_timeout                                T    T  T   T    V  V ok     ok  V   ok  ok    V
  watchdog_deadline                               T    T  T   T    V  V ok     ok  V   ok  ok    V
  inference_torch_threads                         ok   T  T   T    V  V T      T   T   T   T     V
  training_torch_threads                          ok   T  T   T    V  V T      T   T   T   T     V
  switch_interval                                 ok   T  T   T    V  V V      ok  V   V   V     V
  freeze_garbage                                  T    T  T   ok   T  T T      T   T   T   T     T

Clock
  sleep.seconds                                   T    T  T   T    V  ok ok     ok  V   V   ok    V
  set_time_scale.time_scale                       T    T  T   T    V  V ok     ok  V   V   V     V

ManualClock
  start                                           T    T  T   T    V  ok ok     ok  V   V   ok    V
  autojump                                        T    T  T   ok   T  T T      T   T   T   T     T
  advance.seconds                                 T    T  T   T    V  ok ok     ok  V   V   ok    V

TimeIntervalScheduler
  interval_seconds                                T    T  T   T    V  ok V      ok  V   V   ok    V
  interval                                        T    T  T   T    V  ok V      ok  V   V   ok    V
  missed                                          V    V  V   V    V  V V      V   V   V   V     V
  callbacks                                       ok   T  T   T    T  T T      T   T   T   T     T

StepIntervalScheduler
  interval_steps                                  T    T  T   T    V  V T      T   T   T   T     ok
  interval                                        T    T  T   T    V  V T      T   T   T   T     ok
  callbacks                                       ok   T  T   T    T  T T      T   T   T   T     T

PeriodicSaveCondition
  interval                                        T    T  T   T    V  V ok     ok  V   V   ok    V

StepSaveCondition
  interval                                        T    T  T   T    V  V T      T   T   T   T     ok

LatestStatesKeeper
  states_dir                                      T    V  ok  T    T  T T      T   T   T   T     T
  max_keep                                        T    T  T   T    V  V T      T   T   T   T     ok
  state_name_pattern                              T    V  ok  T    T  T T      T   T   T   T     T

BestStatesKeeper
  states_dir                                      T    V  ok  T    T  T T      T   T   T   T     T
  max_keep                                        T    T  T   T    V  V T      T   T   T   T     ok
  mode                                            V    V  V   V    V  V V      V   V   V   V     V
  keep_latest                                     T    T  T   T    V  V T      T   T   T   T     ok
  state_name_pattern                              T    V  ok  T    T  T T      T   T   T   T     T

DataCollector
  max_queue_size                                  T    T  T   T    V  V T      T   T   T   T     ok

DataBuffer
  max_queue_size                                  ok   T  T   T    V  V T      T   T   T   T     ok

SequentialBuffer
  max_size                                        T    T  T   T    V  V T      T   T   T   T     V

DictSequentialBuffer
  keys                                            T    T  T   T    T  T T      T   T   T   T     T
  max_size                                        T    T  T   T    V  V T      T   T   T   T     V

RandomReplacementBuffer
  max_size                                        T    T  T   T    V  V T      T   T   T   T     V
  replace_probability                             ok   T  T   T    V  ok ok     ok  V   V   V     V
  expected_survival_length                        ok   T  T   T    V  V T      T   T   T   T     V

DictRandomReplacementBuffer
  keys                                            T    T  T   T    T  T T      T   T   T   T     T
  max_size                                        T    T  T   T    V  V T      T   T   T   T     V
  replace_probability                             ok   T  T   T    V  ok ok     ok  V   V   V     V
  expected_survival_length                        ok   T  T   T    V  V T      T   T   T   T     V

TensorRingBuffer
  max_size                                        T    T  T   T    V  V T      T   T   T   T     V
  columns                                         ok   T  T   T    T  T T      T   T   T   T     T
  episode_end                                     T    V  ok  T    T  T T      T   T   T   T     T
  device                                          ok   V  V   T    T  T T      T   T   T   T     T
  pin_memory                                      T    T  T   -    T  T T      T   T   T   T     T
  max_queue_size                                  ok   T  T   T    V  V T      T   T   T   T     ok

Trainer
  training_condition_data_user                    ok   U  ok  T    T  T T      T   T   T   T     T
  min_buffer_size                                 T    T  T   T    V  ok T      T   T   T   T     V
  min_new_data_count                              T    T  T   T    V  ok T      T   T   T   T     V
  max_replay_ratio                                ok   T  T   T    V  V ok     ok  V   V   ok    V
  max_replay_burst                                ok   T  T   T    V  V T      T   T   T   T     ok

TorchTrainer
  training_condition_data_user                    ok   U  ok  T    T  T T      T   T   T   T     T
  min_buffer_size                                 T    T  T   T    V  ok T      T   T   T   T     V
  min_new_data_count                              T    T  T   T    V  ok T      T   T   T   T     V
  max_replay_ratio                                ok   T  T   T    V  V ok     ok  V   V   ok    V
  max_replay_burst                                ok   T  T   T    V  V T      T   T   T   T     ok

TorchTrainingModel
  has_inference_model                             T    T  T   ok   T  T T      T   T   T   T     T
  inference_thread_only                           T    T  T   ok   T  T T      T   T   T   T     T
  device                                          ok   V  V   T    T  T T      T   T   T   T     T
  dtype                                           ok   T  T   T    T  T T      T   T   T   T     T
  inference_procedure                             T    U  U   T    T  T T      T   T   T   T     T
  pretrained_parameter_file                       ok   V  V   T    T  T T      T   T   T   T     T
  compile                                         T    T  T   -    T  T T      T   T   T   T     T
  inference_replicas                              T    T  T   T    V  V T      T   T   T   T     V
  inference_device                                ok   V  V   T    T  T T      T   T   T   T     T
  inference_dtype                                 ok   T  T   T    T  T T      T   T   T   T     T
  inference_compile                               ok   T  T   -    T  T T      T   T   T   T     T
  ema_decay                                       ok   T  T   T    V  ok ok     ok  V   V   V     V

SleepIntervalAdjustor
  interval                                        T    T  T   T    V  V V      ok  V   V   ok    V
  offset                                          T    T  T   T    V  ok ok     ok  V   V   V     V
  missed                                          V    V  V   V    V  V V      V   V   V   V     V

FixedIntervalInteraction.with_sleep_adjustor
  interval                                        T    T  T   T    V  V V      ok  V   V   ok    V
  offset                                          T    T  T   T    V  ok ok     ok  V   V   V     V
  missed                                          V    V  V   V    V  V V      V   V   V   V     V

GymEnvironment
  env                                             T    -  -   T    T  T T      T   T   T   T     T
  seed                                            ok   T  T   T    V  ok T      T   T   T   T     ok
  num_envs                                        ok   T  T   T    V  V T      T   T   T   T     -
  check_action_mask                               T    T  T   ok   T  T T      T   T   T   T     T

build_optimizer
  name                                            T    U  U   T    T  T T      T   T   T   T     T
  AdamW.lr                                        T    T  T   T    V  ok ok     ok  V   V   ok    V
  AdamW.betas                                     T    T  T   T    T  T T      T   T   T   T     T
  AdamW.weight_decay                              T    T  T   T    V  ok ok     ok  V   V   ok    V
  AdamW.amsgrad                                   T    T  T   ok   T  T T      T   T   T   T     T
  SGD.momentum                                    T    T  T   T    V  ok ok     ok  V   V   ok    V
  SGD.nesterov                                    T    T  T   -    T  T T      T   T   T   T     T

build_scheduler
  name                                            T    U  U   T    T  T T      T   T   T   T     T
  StepLR.schedule_target                          T    V  U   T    T  T T      T   T   T   T     T
  StepLR.default_value                            ok   T  T   T    ok ok ok     ok  T   T   ok    T
  StepLR.step_size                                T    T  T   T    V  V ok     ok  V   V   ok    V
  StepLR.gamma                                    T    T  T   T    ok ok ok     ok  V   V   ok    V
  MultiStepLR.milestones                          T    T  T   T    T  T T      T   T   T   T     T
  MultiStepLR.milestones[]                        T    T  T   T    V  ok T      T   T   T   T     ok
  ExponentialLR.gamma                             T    T  T   T    ok ok ok     ok  V   V   ok    V
  LinearLR.start_factor                           T    T  T   T    V  V ok     ok  V   V   V     V
  CosineAnnealingLR.T_max                         T    T  T   T    V  V ok     ok  V   V   ok    V
  CosineAnnealingLR.eta_min                       T    T  T   T    ok ok ok     ok  V   V   ok    V
  CosineAnnealingWarmRestarts.T_0                 T    T  T   T    V  V V      V   V   V   V     V
  CosineAnnealingWarmRestarts.T_mult              T    T  T   T    V  V V      V   V   V   V     V
  ReduceLROnPlateau.factor                        T    T  T   T    ok ok ok     ok  V   V   V     V
  ReduceLROnPlateau.patience                      T    T  T   T    ok ok ok     ok  V   V   ok    V
  SequentialLR.milestones                         T    T  T   T    T  T T      T   T   T   T     T
  SequentialLR.milestones[]                       T    T  T   T    V  V T      T   T   T   T     ok
  linear_schedule_with_warmup.warmup_to_value     T    T  T   T    ok ok ok     ok  V   V   ok    V
  linear_schedule_with_warmup.anneal_to_value     T    T  T   T    ok ok ok     ok  V   V   ok    V
  linear_schedule_with_warmup.num_warmup_steps    T    T  T   T    V  ok T      T   T   T   T     V
  linear_schedule_with_warmup.num_training_steps  T    T  T   T    V  V T      T   T   T   T     V
  CosineCurve.steps                               T    T  T   T    V  V ok     ok  V   V   ok    V
  CosineCurve.past_end                            V    V  V   V    V  V V      V   V   V   V     V
  CosineCurve.by                                  V    V  V   V    V  V V      V   V   V   V     V
  CosineCurve.samples_per_step                    ok   T  T   T    V  V T      T   T   T   T     ok
  timm_CosineLRScheduler.t_initial                T    T  T   T    V  V ok     ok  V   V   ok    V
  timm_CosineLRScheduler.warmup_t                 T    T  T   T    ok ok ok     ok  V   V   ok    V
"""


def read_table():
    """The cells: (section, field, column, decision)."""
    header, *lines = [line for line in TABLE.splitlines() if line.strip()]
    assert header.split() == list(VALUES)
    section = ""
    for line in lines:
        if not line.startswith(" "):
            section = line
            continue
        field, *decisions = line.split()
        yield from ((section, field, *cell) for cell in zip(VALUES, decisions, strict=True))


CELLS = list(read_table())


# How each thing is made, and used with what was accepted.


class Idle(Trainer):
    def train(self):
        pass


class IdleTorch(TorchTrainer):
    def create_optimizers(self):
        return {}

    def train(self):
        pass


class Unbounded(DataBuffer):
    def add(self, data):
        pass

    def get_data(self):
        return []

    def __len__(self):
        return 0


def use_clock(clock: ManualClock) -> None:
    """Agent time goes on, and never to infinity."""
    before = clock.monotonic()
    for _ in range(3):
        clock.advance(1.0)
        assert before <= clock.monotonic() < math.inf


def make_clock(**given: Any) -> None:
    ((name, value),) = given.items()
    clock = Clock()
    getattr(clock, name.partition(".")[0])(value) if name != "sleep.seconds" else sleep_until_woken(clock, value)
    assert math.isfinite(clock.monotonic())


def sleep_until_woken(clock: Clock, seconds: Any) -> None:
    """A sleep of any length waits in the lock underneath, and ends when it is woken."""
    asked = iter([False, True])
    waker = threading.Timer(0.0, clock.wake)

    def is_over() -> bool:
        if waker.ident is None:
            waker.start()  # it rings when the sleeper has let go of the lock
        return next(asked, True)

    clock.sleep(seconds, wake_if=is_over)
    if waker.ident is not None:
        waker.join()


def make_manual_clock(**given: Any) -> None:
    ((name, value),) = given.items()
    if name == "advance.seconds":
        clock = ManualClock()
        clock.advance(value)
    else:
        clock = ManualClock(**given)
    use_clock(clock)
    if name == "advance.seconds" and value == 1e308:
        with pytest.raises(ValueError, match="advance"):
            clock.advance(value)  # the second time it would be infinite


def make_time_scheduler(**given: Any) -> None:
    clock = ManualClock()
    given = given if {"interval", "interval_seconds"} & set(given) else {"interval_seconds": 1.0, **given}
    scheduler = TimeIntervalScheduler(**given, clock=clock)
    for seconds in (0.25, 10.0, 1e9):
        clock.advance(seconds)
        scheduler.update()
    scheduler.load_state_dict(scheduler.state_dict())
    assert 0.0 <= scheduler.seconds_until_due() < math.inf


def make_step_scheduler(**given: Any) -> None:
    given = given if {"interval", "interval_steps"} & set(given) else {"interval_steps": 1, **given}
    scheduler = StepIntervalScheduler(**given)
    for _ in range(3):
        scheduler.update()


def make_save_condition(**given: Any) -> None:
    clock = ManualClock()
    due = PeriodicSaveCondition(**given, clock=clock)
    due()
    assert 0.0 < due.seconds_until_due() < math.inf
    clock.advance(1.0)
    due()


def make_step_save_condition(**given: Any) -> None:
    due = StepSaveCondition(**given)
    due.attach_step_counter(lambda: 10**6)
    assert due() is False


def make_keeper(kind: Callable[..., StatesKeeper], **given: Any) -> None:
    keeper = kind(**{"states_dir": "x", "max_keep": 1, **given})
    assert keeper.cleanup() == []


def make_collector(**given: Any) -> None:
    collector = DataCollector(**given)
    collector.collect(1)
    assert len(collector.take_all()) == 1


def use_buffer(buffer: DataBuffer[Any, Any], item: Any) -> None:
    parts = connect_components(buffers={"b": buffer})
    for _ in range(3):
        parts.data_collectors["b"].collect(item)
    parts.data_users["b"].update()


def make_trainer(kind: type[Trainer], **given: Any) -> None:
    defaults: dict[str, Any] = {"training_condition_data_user": "x"}
    if "max_replay_burst" in given:
        defaults["max_replay_ratio"] = 1.0
    trainer = kind(**{**defaults, **given})
    parts = connect_components(trainers=trainer, buffers={"x": SequentialBuffer(3)})
    for _ in range(3):
        parts.data_collectors["x"].collect(1)
    trainer.run()


def make_model(**given: Any) -> None:
    model = TorchTrainingModel(nn.Linear(1, 1), **given)
    model.warm_up()
    model.sync()
    model.inference_model(torch.zeros(1, 1))


def use_adjustor(adjustor: Any) -> None:
    start = adjustor.reset()
    adjustor.adjust()
    assert start <= adjustor.clock.perf_counter() < math.inf


def make_adjustor(**given: Any) -> None:
    use_adjustor(SleepIntervalAdjustor(**{"interval": 1.0, **given}, clock=ManualClock(autojump=True)))


def make_paced_interaction(**given: Any) -> None:
    interaction = FixedIntervalInteraction.with_sleep_adjustor(
        FakeAgent(), FakeEnvironment(), **{"interval": 1.0, **given}, clock=ManualClock(autojump=True)
    )
    use_adjustor(interaction.adjustor)


def make_gym_environment(**given: Any) -> None:
    environment = GymEnvironment(**{"env": "CartPole-v1", **given})
    environment.setup()
    environment.teardown()


def make_optimizer(**given: Any) -> None:
    ((field, value),) = given.items()
    name, _, parameter = field.rpartition(".")
    parameters = [torch.zeros(1, dtype=torch.float64, requires_grad=True)]
    config = {"name": name, parameter: value} if name else {"name": value}
    optimizer = build_optimizer(parameters, config)
    parameters[0].grad = torch.zeros_like(parameters[0])
    optimizer.step()


SCHEDULERS: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 1},
    "MultiStepLR": {"milestones": [2]},
    "ExponentialLR": {"gamma": 0.5},
    "LinearLR": {},
    "CosineAnnealingLR": {"T_max": 10},
    "CosineAnnealingWarmRestarts": {"T_0": 10},
    "ReduceLROnPlateau": {},
    "SequentialLR": {"schedulers": [{"name": "LinearLR"}, {"name": "ExponentialLR", "gamma": 0.5}]},
    "linear_schedule_with_warmup": {
        "warmup_to_value": 1.0,
        "anneal_to_value": 0.0,
        "num_warmup_steps": 1,
        "num_training_steps": 2,
    },
    "CosineCurve": {"start": 1.0, "stop": 0.0, "steps": 2},
    "timm_CosineLRScheduler": {"t_initial": 10},
}


def make_scheduler(**given: Any) -> None:
    ((field, value),) = given.items()
    name, _, parameter = field.rpartition(".")
    if parameter.endswith("[]"):
        parameter, value = parameter.removesuffix("[]"), [value]
    config = {"name": name, **SCHEDULERS[name], parameter: value} if name else {"name": value}
    if parameter == "samples_per_step":
        config["by"] = "samples"
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = build_scheduler(optimizer, config)
    # A value that the curve leads to may be none that the learning rate can have: that is said by the step, whose
    # rate stays what it was.
    with contextlib.suppress(ValueError):
        for _ in range(3):
            optimizer.step()
            scheduler.step()
    assert 0.0 <= optimizer.param_groups[0]["lr"] < math.inf


MAKERS = {
    "LaunchConfig": LaunchConfig,
    "Clock": make_clock,
    "ManualClock": make_manual_clock,
    "TimeIntervalScheduler": make_time_scheduler,
    "StepIntervalScheduler": make_step_scheduler,
    "PeriodicSaveCondition": make_save_condition,
    "StepSaveCondition": make_step_save_condition,
    "LatestStatesKeeper": partial(make_keeper, LatestStatesKeeper),
    "BestStatesKeeper": partial(make_keeper, partial(BestStatesKeeper, metric=lambda: 0.0)),
    "DataCollector": make_collector,
    "DataBuffer": lambda **given: use_buffer(Unbounded(**given), 1),
    "SequentialBuffer": lambda **given: use_buffer(SequentialBuffer(**given), 1),
    "DictSequentialBuffer": lambda **given: use_buffer(
        DictSequentialBuffer(**{"keys": ["x"], "max_size": 2, **given}), {"x": 1}
    ),
    "RandomReplacementBuffer": lambda **given: use_buffer(RandomReplacementBuffer(**{"max_size": 2, **given}), 1),
    "DictRandomReplacementBuffer": lambda **given: use_buffer(
        DictRandomReplacementBuffer(**{"keys": ["x"], "max_size": 2, **given}), {"x": 1}
    ),
    "TensorRingBuffer": lambda **given: use_buffer(TensorRingBuffer(**{"max_size": 2, **given}), {"x": 1}),
    "Trainer": partial(make_trainer, Idle),
    "TorchTrainer": partial(make_trainer, IdleTorch),
    "TorchTrainingModel": make_model,
    "SleepIntervalAdjustor": make_adjustor,
    "FixedIntervalInteraction.with_sleep_adjustor": make_paced_interaction,
    "GymEnvironment": make_gym_environment,
    "build_optimizer": make_optimizer,
    "build_scheduler": make_scheduler,
}

# What the table says about itself.

# Parameters that take parts of a system, or are told what to do with the others.
PARTS = {"self", "clock", "agent", "environment", "model", "example_inputs", "metric", "name", "gym_make_kwds"}


@pytest.mark.parametrize(
    "kind",
    [
        LaunchConfig,
        ManualClock,
        TimeIntervalScheduler,
        StepIntervalScheduler,
        PeriodicSaveCondition,
        StepSaveCondition,
        LatestStatesKeeper,
        BestStatesKeeper,
        DataCollector,
        DataBuffer,
        SequentialBuffer,
        DictSequentialBuffer,
        RandomReplacementBuffer,
        DictRandomReplacementBuffer,
        TensorRingBuffer,
        Trainer,
        TorchTrainer,
        TorchTrainingModel,
        SleepIntervalAdjustor,
        GymEnvironment,
    ],
    ids=lambda kind: kind.__name__,
)
def test_the_table_has_every_parameter(kind):
    rows = {field for section, field, _, _ in CELLS if section == kind.__name__ and "." not in field}
    assert rows == set(inspect.signature(kind).parameters) - PARTS


def test_every_section_of_the_table_is_made():
    assert {section for section, _, _, _ in CELLS} == set(MAKERS)


def cells(*decisions: str) -> list[Any]:
    return [
        pytest.param(section, field, VALUES[column], decision, id=f"{section}-{field}-{column}")
        for section, field, column, decision in CELLS
        if decision in decisions
    ]


# What the table decides.

ERRORS = {"T": (TypeError,), "V": (ValueError,), "U": (ValueError, KeyError, AttributeError)}


@pytest.mark.parametrize(("section", "field", "value", "decision"), cells("T", "V", "U"))
def test_a_value_is_refused_by_field_and_value(section, field, value, decision):
    with pytest.raises(ERRORS[decision]) as refused:
        MAKERS[section](**{field: value})
    assert isinstance(refused.value, ERRORS[decision])
    text = str(refused.value)
    # "seconds" of a sleep, "milestones" of which one is meant; spaces where a sentence wants them.
    word = field.rpartition(".")[2].removesuffix("[]").removesuffix("s")
    assert word in text or word.replace("_", " ") in text or decision == "U"
    assert repr(value) in text


@pytest.mark.parametrize(
    ("section", "field", "value", "decision"), [c for c in cells("ok") if c.values[0] != "LaunchConfig"]
)
def test_a_value_that_is_accepted_works(section, field, value, decision):
    MAKERS[section](**{field: value})


# A whole system, by its configuration.


class Signalling(FakeAgent):
    """Tells when it has acted."""

    def __init__(self) -> None:
        super().__init__()
        self.acted = threading.Event()

    def step(self, observation):
        self.acted.set()
        return super().step(observation)


def arguments(agent: Signalling, clock: Clock, **config: Any) -> dict[str, Any]:
    # Freezing takes a whole collection at each start.
    return {
        "interaction": FixedIntervalInteraction.with_sleep_adjustor(agent, FakeEnvironment(), 0.001, clock=clock),
        "models": {},
        "buffers": {},
        "trainers": {},
        "config": {"freeze_garbage": False, **config},
    }


@pytest.mark.parametrize(
    ("section", "field", "value", "decision"),
    [cell for cell in cells("T", "V") if cell.values[0] == "LaunchConfig"],
)
def test_a_system_is_refused_before_a_thread_starts(section, field, value, decision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    agent, threads = Signalling(), set(threading.enumerate())
    with pytest.raises(ERRORS[decision], match=field):
        System(**arguments(agent, Clock(), **{field: value}))
    assert set(threading.enumerate()) == threads
    assert not agent.acted.is_set()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [launch, System])
@pytest.mark.parametrize(("unknown", "near"), [("max_uptme", "max_uptime"), ("state_dir", "states_dir")])
def test_an_unknown_field_is_refused_with_a_near_one(unknown, near, start):
    threads = set(threading.enumerate())
    with pytest.raises((TypeError, ValueError, KeyError)) as refused:
        start(**arguments(Signalling(), Clock(), **{unknown: 1}))
    assert repr(unknown) in str(refused.value)
    assert repr(near) in str(refused.value)
    assert set(threading.enumerate()) == threads


# What a value that is allowed says of a system that cannot keep to it.
EXPECTED = {
    "saved_state_path": FileNotFoundError,
    "timeout_for_all_threads_pause": TimeoutError,
    "shutdown_timeout": TimeoutError,
    "max_uptime": SystemStoppedError,
}


@pytest.mark.parametrize(
    ("section", "field", "value", "decision"),
    [cell for cell in cells("ok") if cell.values[0] == "LaunchConfig"],
)
def test_a_configuration_that_is_accepted_runs(section, field, value, decision, tmp_path, monkeypatch):
    """It acts, pauses, saves and ends; nothing overflows in a lock or in a queue."""
    monkeypatch.chdir(tmp_path)
    agent, clock = Signalling(), Clock()
    expected = EXPECTED.get(field, ())
    with contextlib.suppress(expected), System(**arguments(agent, clock, **{field: value}), clock=clock) as system:
        assert agent.acted.wait(30.0)
        system.pause()
        system.save_state()
        system.resume()
        assert system.wait(0.0) is False
    assert not clock.is_paused()
    assert math.isfinite(clock.monotonic())
