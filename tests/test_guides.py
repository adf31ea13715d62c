"""The guides name everything that their rooms offer, and quote errors as they are."""

import ast
import inspect
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import torch
from torch import nn

import pamiq_sched.torch
from pamiq_sched import data, model, runtime, schedulers, trainer
from pamiq_sched.runtime import LaunchConfig, Status, System, SystemStatus
from pamiq_sched.state import codec
from pamiq_sched.testing import FakeAgent, FakeEnvironment, connect_components

GUIDES = Path(__file__).parent.parent / "docs" / "guides"

# What the rooms call of each other, and what every component has: nothing for the readers of a guide.
INTERNAL = {
    "attach_listener",
    "continue_from",
    "keeps_state",
    "on_clock_changed",
    "persistent_parts",
    "publish",
    "replicas",
    "start_from",
    "take_all",
}


def text_of(guide: str) -> str:
    return (GUIDES / f"{guide}.md").read_text(encoding="utf-8")


def members(*classes: type) -> set[str]:
    """Return what is defined in the classes themselves for whoever uses them."""
    return {name for cls in classes for name in vars(cls) if not name.startswith("_")} - INTERNAL


def parameters(*classes: type) -> set[str]:
    return {name for cls in classes for name in inspect.signature(cls).parameters}


class Idle(trainer.Trainer):
    """Trains nothing."""

    def train(self) -> None: ...


OF_TORCH_TRAINERS = {"TorchTrainer", "LRSchedulersDict", "OptimizersDict", "OptimizersSetup", "StateDict"}
TORCH_MODELS = (pamiq_sched.torch.TorchTrainingModel, pamiq_sched.torch.TorchInferenceModel)
SCHEDULERS = (schedulers.Scheduler, schedulers.TimeIntervalScheduler, schedulers.StepIntervalScheduler)
NAMES = {
    "trainer": {
        *trainer.__all__,
        *members(trainer.Trainer, trainer.TrainersDict, pamiq_sched.torch.TorchTrainer),
        *(name for name in vars(Idle()) if not name.startswith("_")),
        *(OF_TORCH_TRAINERS - {"StateDict"}),
        "optimizers",
        "lr_schedulers",
        "schedules",
        "max_replay_ratio",
        "max_replay_burst",
        "ShutdownRequested",
    },
    "schedulers": {
        *(cls.__name__ for cls in SCHEDULERS),
        *members(*SCHEDULERS),
        "missed",
        "interval",
    },
    "models": {
        *(name for name in dir(model) if name.endswith(("Model", "ModelsDict")) or name == "Staleness"),
        *(set(pamiq_sched.torch.__all__) - OF_TORCH_TRAINERS),
        *members(model.TrainingModel, model.InferenceModel, *TORCH_MODELS),
        *(parameters(pamiq_sched.torch.TorchTrainingModel) - {"model"}),
        *(field.name for field in fields(model.Staleness)),
    },
    "data": {
        *data.__all__,
        *members(data.DataBuffer, data.DataCollector, data.DataUser, data.DataUsersDict, data.DataCollectorsDict),
        *("sample", "sample_sequences", "latest", "update_priorities"),
        *parameters(data.RandomReplacementBuffer, data.DictSequentialBuffer, data.TensorRingBuffer),
    },
    "launch": {
        *runtime.__all__,
        *members(System),
        *parameters(System),
        *members(SystemStatus),
        *(field.name for field in fields(Status)),
    },
}


@pytest.mark.parametrize("guide", NAMES)
def test_a_guide_names_everything_of_its_room(guide):
    words = set(re.findall(r"\w+", text_of(guide)))
    assert NAMES[guide] - words == set()


@pytest.mark.parametrize("guide", NAMES)
def test_a_guide_begins_with_a_program(guide):
    before_the_first_section = text_of(guide).split("\n## ")[0]
    assert "```python\n" in before_the_first_section


def settings() -> dict[str, object]:
    """Return the defaults that the table of settings tells, by field."""
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| .+ \|$", text_of("launch"), re.MULTILINE)
    return {name: math.inf if cell == "inf" else ast.literal_eval(cell) for name, cell in rows}


@pytest.mark.parametrize("field", fields(LaunchConfig), ids=lambda field: field.name)
def test_the_table_of_settings_tells_each_default(field):
    default = str(field.default) if isinstance(field.default, Path) else field.default
    assert settings()[field.name] == default


def test_the_table_of_settings_has_no_others():
    assert settings().keys() <= {field.name for field in fields(LaunchConfig)}


class Imitation(Idle):
    """By the name of the guide's."""


class Scheduled(pamiq_sched.torch.TorchTrainer):
    """Makes a schedule in one of the ways that are refused."""

    def create_optimizers(self):
        self.line = self.get_torch_training_model("line")
        return {"sgd": torch.optim.SGD(self.line.model.parameters(), lr=0.1)}

    def create_schedules(self):
        return {"lr": self.made()}

    def train(self) -> None: ...


def foreign():
    class Imitation(Scheduled):
        def made(self):
            other = torch.optim.SGD(self.line.model.parameters(), lr=0.1)
            return torch.optim.lr_scheduler.StepLR(other, 1)

    run(Imitation())


def plateau():
    class Imitation(Scheduled):
        def made(self):
            return torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizers["sgd"])

    run(Imitation())


def scheduled_rate():
    class Regression(Scheduled):
        def made(self):
            return pamiq_sched.Schedule(self.optimizers["sgd"], pamiq_sched.LinearCurve(1.0, 0.0, 100))

    regression = Regression()
    run(regression)
    regression.set_hyperparameter("lr", 0.5)


def run(one: Scheduled) -> None:
    connect_components(trainers=one, models={"line": pamiq_sched.TorchTrainingModel(nn.Linear(1, 1))})
    one.run()


def too_small():
    buffers = {"experience": data.SequentialBuffer(10)}
    connect_components(trainers=Imitation("experience", min_buffer_size=32), buffers=buffers)


def collector_twice():
    collectors = data.DataUsersDict.from_data_buffers(steps=data.SequentialBuffer(1)).data_collectors_dict
    collectors.acquire("steps")
    collectors.acquire("steps")


def other_items(*values: object) -> None:
    buffer = data.TensorRingBuffer(4)
    for value in values:
        buffer.add({"x": value})


def long_sequence():
    buffer = data.TensorRingBuffer(1000, episode_end="done")
    for step in range(300):
        buffer.add({"done": step % 50 == 49})
    buffer.sample_sequences(16, 60)


def frozen_model():
    frozen = pamiq_sched.TorchTrainingModel(nn.Linear(1, 1), inference_thread_only=True)
    one = Idle()
    connect_components(trainers=one, models={"encoder": frozen})
    one.get_training_model("encoder")


def checkpoint():
    torch.save({"model": nn.Linear(1, 1).state_dict(), "epoch": 3}, "checkpoint.pt")
    pamiq_sched.TorchTrainingModel(nn.Linear(1, 1), pretrained_parameter_file="checkpoint.pt")


def unfit_item():
    @dataclass
    class Step:
        reward: float

    Step.__module__, Step.__qualname__ = "my_project", "Step"
    codec.save({"items": [Step(1.0)]}, Path("steps"))


def waits_for_itself():
    class Pausing(FakeAgent):
        def step(self, observation):
            system.pause()

    system = System(pamiq_sched.Interaction(Pausing(), FakeEnvironment()), {}, {}, {})
    system.start()
    system.wait(timeout=30)


def second_of_a_clock():
    def make() -> System:
        return System(pamiq_sched.Interaction(FakeAgent(), FakeEnvironment()), {}, {}, {})

    with make():
        make().start()


def ended_system():
    system = System(pamiq_sched.Interaction(FakeAgent(), FakeEnvironment()), {}, {}, {})
    with system:
        pass
    system.pause()


ERRORS = {
    "trainer": [too_small, foreign, plateau, scheduled_rate],
    "schedulers": [
        lambda: schedulers.StepIntervalScheduler(2.5),
        lambda: schedulers.TimeIntervalScheduler(-1.0),
        lambda: schedulers.Scheduler.register_callback(None, 3),
    ],
    "models": [frozen_model, checkpoint],
    "data": [
        collector_twice,
        lambda: other_items(1.0, torch.zeros(2)),
        lambda: other_items(1, 1.5),
        long_sequence,
        unfit_item,
    ],
    "launch": [lambda: LaunchConfig(max_uptime=-1), ended_system, waits_for_itself, second_of_a_clock],
}


@pytest.mark.parametrize(("guide", "act"), [(guide, act) for guide, acts in ERRORS.items() for act in acts])
def test_a_guide_quotes_an_error_as_it_is(guide, act, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever is quoted
        act()
    message = " ".join(str(raised.value.args[0]).split())
    assert message in " ".join(text_of(guide).split())
