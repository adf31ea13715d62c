"""Every message on the page docs/troubleshooting.md is raised here, really, and reads as the page has it.

A section of the page is a heading and the message in a block of text; ``<something>`` stands for what varies. A
heading without a provocation fails, and so does a provocation without a heading.
"""

import logging
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from pamiq_sched import (
    Agent,
    Clock,
    DataCollector,
    DataUser,
    Interaction,
    LaunchConfig,
    MetricsSink,
    Schedule,
    SequentialBuffer,
    System,
    TensorRingBuffer,
    TorchTrainer,
    TorchTrainingModel,
    build_scheduler,
    connect_components,
)
from pamiq_sched.console import Failure, client
from pamiq_sched.optim import ConstantCurve, LinearCurve
from pamiq_sched.state import save
from pamiq_sched.testing import FakeAgent, FakeEnvironment
from pamiq_sched.web.records import running

PAGE = (Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"(?ms)^### ([^\n]+)\n\n(.*?)(?=^##|\Z)", PAGE))

PROVOCATIONS: dict[str, Callable[["Scene"], str]] = {}


def provokes(title):
    """Register what makes the library say what the page has below a heading."""

    def register(provocation):
        PROVOCATIONS[title] = provocation
        return provocation

    return register


@pytest.mark.parametrize("title", SECTIONS)
def test_the_library_says_what_the_page_has(title, scene):
    text = re.search(r"```text\n(.*?)```", SECTIONS[title], re.DOTALL)
    assert text is not None, "the section has no message"
    assert title in PROVOCATIONS, "nothing here provokes the message"
    wanted = re.sub(r"<[a-z ]+>", ".+?", re.escape(" ".join(text[1].split())).replace(r"\ ", " "))

    said = " ".join(PROVOCATIONS[title](scene).split())

    assert re.fullmatch(wanted, said), said


def test_every_provocation_has_its_section():
    assert PROVOCATIONS.keys() == SECTIONS.keys()
    assert len(SECTIONS) > 25


@dataclass
class Scene:
    """Where a message is provoked."""

    path: Path
    monkeypatch: pytest.MonkeyPatch
    heard: "Listener"
    gate: threading.Event = field(default_factory=threading.Event)
    """What keeps user code from going on; opened at the end."""

    def system(self, agent=None, environment=None, *, models=(), buffers=(), trainers=(), **config):
        return System(
            Interaction(agent or FakeAgent(self.wait_a_moment), environment or FakeEnvironment()),
            dict(models),
            dict(buffers),
            dict(trainers),
            {"states_dir": self.path / "states", "freeze_garbage": False, **config},
            clock=Clock(),
        )

    def wait_a_moment(self, _observation):
        """Step at a pace that lets others run."""
        self.gate.wait(0.001)

    def hang(self, *_):
        """Be user code that does not come back."""
        self.gate.wait(30.0)

    def raised_by(self, action):
        """Return the error that an action ends by, as a traceback has it."""
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - the text is what is compared
            action()
        return f"{type(caught.value).__name__}: {caught.value}"


class Listener(logging.Handler):
    """Keeps what is logged, and lets a test wait for it."""

    def __init__(self):
        super().__init__(logging.INFO)
        self._changed = threading.Condition()
        self._lines = []

    def emit(self, record):
        with self._changed:
            self._lines.append(f"{record.levelname}: {record.getMessage()}")
            self._changed.notify_all()

    def wait_for(self, beginning):
        with self._changed:
            assert self._changed.wait_for(lambda: any(beginning in line for line in self._lines), 30.0), (
                self._lines
            )
            return next(line for line in self._lines if beginning in line)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setenv("PAMIQ_SCHED_RUN_DIR", str(tmp_path / "run"))
    heard = Listener()
    logger = logging.getLogger("pamiq_sched")
    before = logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    made = Scene(tmp_path, monkeypatch, heard)
    yield made
    made.gate.set()
    logger.removeHandler(heard)
    logger.setLevel(before)


class Training(TorchTrainer):
    """Has an optimizer and does as it is told."""

    def __init__(self, *args, schedules=lambda _: {}, train=lambda _: None, **kwargs):
        super().__init__(*args, **kwargs)
        self._schedules, self._train = schedules, train

    def create_optimizers(self):
        return {"sgd": torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)}

    def create_schedules(self):
        return self._schedules(self.optimizers["sgd"])

    def train(self):
        self._train(self)
        self.optimizers["sgd"].step()


# Before anything runs.


@provokes("there is no field of LaunchConfig")
def _(scene):
    return scene.raised_by(lambda: LaunchConfig.of({"state_dir": "states"}))


@provokes("there is no inference model")
def _(scene):
    class Asking(Agent):
        def on_inference_models_attached(self):
            self.get_inference_model("polcy")

        def step(self, observation):
            return observation

    models = {"policy": TorchTrainingModel(nn.Linear(1, 1))}
    return scene.raised_by(lambda: scene.system(Asking(), models=models))


@provokes("are attached yet")
def _(scene):
    return scene.raised_by(lambda: FakeAgent().get_inference_model("policy"))


@provokes("is in use by another agent")
def _(scene):
    agent = FakeAgent()
    connect_components(agent, buffers={"experience": SequentialBuffer(1)})
    agent.get_data_collector("experience")
    return scene.raised_by(lambda: agent.get_data_collector("experience"))


@provokes("would never train")
def _(scene):
    trainer = Training("experience", min_buffer_size=1000)
    buffers = {"experience": TensorRingBuffer(100)}
    return scene.raised_by(lambda: scene.system(buffers=buffers, trainers={"learning": trainer}))


@provokes("the system is not started")
def _(scene):
    return scene.raised_by(scene.system().pause)


@provokes("a System runs once")
def _(scene):
    system = scene.system()
    with system:
        pass
    return scene.raised_by(system.start)


@provokes("another System runs on this clock")
def _(scene):
    parts = Interaction(FakeAgent(scene.wait_a_moment), FakeEnvironment()), {}, {}, {}
    config, clock = {"states_dir": scene.path, "freeze_garbage": False}, Clock()
    with System(*parts, config, clock=clock):
        return scene.raised_by(System(*parts, config, clock=clock).start)


@provokes("pip install")
def _(scene):
    scene.monkeypatch.setitem(sys.modules, "uvicorn", None)  # as if it were not installed
    return scene.raised_by(lambda: scene.system(web_api_address=("127.0.0.1", 0)))


@provokes("Address already in use")
def _(scene):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        system = scene.system(web_api_address=taken.getsockname())
        return scene.raised_by(system.start)


@provokes("can be reached by others")
def _(scene):
    return scene.raised_by(lambda: LaunchConfig(web_api_address=("0.0.0.0", 8391), web_api_token=False))  # noqa: S104


# While it runs.


@provokes("a pause must be acknowledged")
def _(scene):
    entered = threading.Event()

    def observe_for_ever():
        entered.set()
        scene.hang()

    environment = FakeEnvironment()
    environment.observe = observe_for_ever
    with scene.system(
        environment=environment, timeout_for_all_threads_pause=0.01, max_attempts_to_pause_all_threads=2
    ) as system:
        assert entered.wait(30.0)
        said = scene.raised_by(system.pause)
        scene.gate.set()
    return said


@provokes("it would wait for itself")
def _(scene):
    said = []
    is_said = threading.Event()

    def ask(_):
        if not said:
            said.append(scene.raised_by(system.pause))
        is_said.set()
        scene.wait_a_moment(_)

    system = scene.system(FakeAgent(ask))
    with system:
        assert is_said.wait(30.0)
    return said[0]


@provokes("the system has ended")
def _(scene):
    with scene.system() as system:
        pass
    return scene.raised_by(system.pause)


@provokes("has not come by for")
def _(scene):
    with scene.system(FakeAgent(scene.hang), watchdog_deadline=0.02):
        said = scene.heard.wait_for("has not come by")
        scene.gate.set()
    return said


@provokes("deadlines missed so far")
def _(scene):
    with scene.system(log_tick_time_statistics_interval=0.001):
        return scene.heard.wait_for("deadlines missed")


@provokes("dropped its oldest item")
def _(scene):
    collector = DataCollector(2, name="experience")
    for item in range(3):
        collector.collect(item)
    return scene.heard.wait_for("dropped")


@provokes("has nothing to sample")
def _(scene):
    return scene.raised_by(lambda: TensorRingBuffer(10).sample(4))


@provokes("there is no sequence of")
def _(scene):
    user = DataUser(TensorRingBuffer(10))
    for x in range(6):
        if x == 4:
            user.collector.break_sequence()
        user.collector.collect({"x": x})
    return scene.raised_by(lambda: user.sample_sequences(1, length=5))


@provokes("an item must have exactly the keys")
def _(scene):
    buffer = TensorRingBuffer(10)
    buffer.add({"observation": 0.5, "action": 1})
    return scene.raised_by(lambda: buffer.add({"observation": 0.5, "reward": 1.0}))


@provokes("holds int64 of the shape")
def _(scene):
    buffer = TensorRingBuffer(10)
    buffer.add({"reward": 0})
    return scene.raised_by(lambda: buffer.add({"reward": 0.5}))


@provokes("which has no sample()")
def _(scene):
    return scene.raised_by(lambda: DataUser(SequentialBuffer(10)).sample(4))


@provokes("drew no sample that was counted")
def _(scene):
    trainer = Training("experience", max_replay_ratio=2)
    parts = connect_components(trainers=trainer, buffers={"experience": SequentialBuffer(10)})
    parts.data_collectors["experience"].collect(1.0)
    assert trainer.run()
    return scene.heard.wait_for("drew no sample")


@provokes("Inference tensors cannot be saved for backward")
def _(scene):
    model = TorchTrainingModel(nn.Linear(2, 2))
    seen = model.inference_model(torch.ones(1, 2))
    return scene.raised_by(lambda: model(seen))


@provokes("does not require grad")
def _(scene):
    model = TorchTrainingModel(nn.Linear(2, 2))
    return scene.raised_by(model.inference_model(torch.ones(1, 2)).sum().backward)


@provokes("it keeps the value that it had")
def _(scene):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    return scene.raised_by(lambda: Schedule(optimizer, lambda t: -1.0))


@provokes("is moved by the schedule")
def _(scene):
    trainer = Training(schedules=lambda sgd: {"lr": Schedule(sgd, ConstantCurve(1.0))})
    trainer.run()
    return scene.raised_by(lambda: trainer.set_hyperparameter("lr", 0.01))


@provokes("two schedules move")
def _(scene):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    configs = [{"name": "ConstantCurve", "value": 1.0}, {"name": "StepLR", "step_size": 10}]
    return scene.raised_by(lambda: build_scheduler(optimizer, configs))


@provokes("is a plain ReduceLROnPlateau")
def _(scene):
    trainer = Training(schedules=lambda sgd: {"lr": torch.optim.lr_scheduler.ReduceLROnPlateau(sgd)})
    return scene.raised_by(trainer.run)


@provokes("a sink of numbers has failed")
def _(scene):
    class Full(MetricsSink):
        def write(self, points, events):
            raise OSError(28, "No space left on device")

    with scene.system(metrics_sinks=[Full()]):
        return scene.heard.wait_for("a sink of numbers has failed")


# At the end.


@provokes("the state of the crashed run is in")
def _(scene):
    def fall(_):
        raise RuntimeError("the camera was unplugged")

    with pytest.raises(RuntimeError), scene.system(FakeAgent(fall)) as system:
        system.wait(timeout=30.0)
    return scene.heard.wait_for("the state of the crashed run")


@provokes("threads must end within")
def _(scene):
    entered = threading.Event()

    def decide_for_ever(_):
        entered.set()
        scene.hang()

    system = scene.system(FakeAgent(decide_for_ever), shutdown_timeout=0.01)
    system.start()
    assert entered.wait(30.0)
    said = scene.raised_by(system.shutdown)
    scene.gate.set()
    return said


@provokes("another one ends the process at once")
def _(scene):
    def interrupt(_):
        if not scene.gate.is_set():
            scene.gate.set()
            signal.raise_signal(signal.SIGINT)

    scene.system(FakeAgent(interrupt)).run()
    return scene.heard.wait_for("SIGINT")


# States.


@provokes("to go on from; for a first run")
def _(scene):
    scene.monkeypatch.chdir(scene.path)
    return scene.raised_by(scene.system(states_dir="states", saved_state_path="latest").start)


@provokes("is of a run that an error ended")
def _(scene):
    PROVOCATIONS["the state of the crashed run is in"](scene)
    (crashed,) = (scene.path / "states").iterdir()
    return scene.raised_by(scene.system(saved_state_path=crashed).start)


@provokes("is damaged, and nothing of it was loaded")
def _(scene):
    with scene.system() as system:
        saved = system.save_state()
    (saved / "time.json").write_text("{}")
    return scene.raised_by(scene.system(saved_state_path=saved).start)


@provokes("it keeps no state")
def _(scene):
    with scene.system():
        pass
    with scene.system(saved_state_path="latest"):
        return scene.heard.wait_for("begun anew")


@provokes("size mismatch for")
def _(scene):
    with scene.system(models={"policy": TorchTrainingModel(nn.Linear(2, 1))}):
        pass
    wider = {"policy": TorchTrainingModel(nn.Linear(3, 1))}
    return scene.raised_by(scene.system(models=wider, saved_state_path="latest").start)


@provokes("was saved with the curve")
def _(scene):
    def made(steps):
        return Schedule(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), LinearCurve(1.0, 0.0, steps))

    state = made(100).state_dict()
    return scene.raised_by(lambda: made(200).load_state_dict(state))


@provokes("which a state cannot hold without pickle")
def _(scene):
    return scene.raised_by(lambda: save({"camera": scene.gate}, scene.path / "agent"))


@provokes("a periodic save failed")
def _(scene):
    class Disk(FakeEnvironment):
        def save_state(self, path):
            raise OSError(28, "No space left on device", str(path))

    condition = iter([True])
    with (
        pytest.raises(OSError, match="No space"),  # of the save at the end
        scene.system(environment=Disk(), save_state_condition=lambda: next(condition, False)),
    ):
        scene.heard.wait_for("a periodic save failed")
    return scene.heard.wait_for("a periodic save failed")


# From elsewhere.


@provokes("no system that can be controlled runs here")
def _(scene):
    return command(scene, lambda: client.find(None, None, None))


@provokes("nothing listens there")
def _(scene):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and not listening
        host, port = closed.getsockname()
        with client.Client(host, port) as asking:
            return command(scene, asking.status)


@provokes("wants a token")
def _(scene):
    with scene.system(web_api_address=("127.0.0.1", 0)):
        (record,) = running()
        with client.Client(record.host, record.port) as asking:
            return command(scene, asking.status)


def command(scene, action):
    """Return what the command line prints when an action fails."""
    with pytest.raises(Failure) as caught:
        action()
    return f"error: {caught.value}"
