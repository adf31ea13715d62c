"""Models, data and pauses together: what the agent acts upon, and what trainers may learn from it."""

import threading

import pytest
import torch
from torch import nn

from pamiq_sched import (
    Interaction,
    SequentialBuffer,
    System,
    TorchTrainer,
    TorchTrainingModel,
    Trainer,
)
from pamiq_sched.data import DataBuffer
from pamiq_sched.testing import FakeAgent, FakeEnvironment

SECONDS = 30  # until a thread that should go on is given up


class Marking(DataBuffer):
    """Keeps the items in lists, a new one for each sequence."""

    def __init__(self):
        super().__init__(100_000)
        self.sequences = [[]]

    def add(self, data):
        self.sequences[-1].append(data)

    def break_sequence(self):
        self.sequences.append([])

    def get_data(self):
        return [sequence for sequence in self.sequences if sequence]

    def __len__(self):
        return sum(map(len, self.sequences))


class Counting(FakeAgent):
    """Collects the numbers of its steps; tells when it has taken some after a moment."""

    def __init__(self):
        super().__init__()
        self.step_number = 0
        self.stepped = threading.Condition()

    def on_data_collectors_attached(self):
        self.collector = self.get_data_collector("steps")

    def step(self, observation):
        with self.stepped:
            self.collector.collect(self.step_number)
            self.step_number += 1
            self.stepped.notify_all()

    def wait_for_steps(self, count):
        with self.stepped:
            goal = self.step_number + count
            assert self.stepped.wait_for(lambda: self.step_number >= goal, SECONDS)


def test_the_agents_sequence_ends_at_every_pause_and_nowhere_else(tmp_path):
    buffer, agent = Marking(), Counting()
    interaction = Interaction(agent, FakeEnvironment())
    ends = []
    with System(interaction, {}, {"steps": buffer}, {}, {"states_dir": tmp_path}) as system:
        for _ in range(3):
            agent.wait_for_steps(5)
            system.pause()
            ends.append(agent.step_number)
            system.resume()
        agent.wait_for_steps(5)
    sequences = buffer.get_data()
    assert [sequence[0] for sequence in sequences] == [0, *ends]
    assert [number for sequence in sequences for number in sequence] == list(range(agent.step_number))


def test_a_pause_that_times_out_ends_the_agents_sequence_too(tmp_path):
    """The agent stood still until the pause was given up."""
    buffer, agent = Marking(), Counting()
    in_train, go_on = threading.Event(), threading.Event()

    class Deaf(Trainer):
        def train(self):
            in_train.set()
            assert go_on.wait(SECONDS)

    config = {
        "states_dir": tmp_path,
        "timeout_for_all_threads_pause": 0.1,
        "max_attempts_to_pause_all_threads": 1,
    }
    with System(Interaction(agent, FakeEnvironment()), {}, {"steps": buffer}, {"deaf": Deaf()}, config) as system:
        try:
            assert in_train.wait(SECONDS)
            agent.wait_for_steps(1)
            with pytest.raises(TimeoutError):
                system.pause()
            agent.wait_for_steps(1)
        finally:
            go_on.set()
    assert len(buffer.get_data()) == 2


class Learner(TorchTrainer):
    """One session when it is told to."""

    def __init__(self):
        super().__init__("items", min_new_data_count=1, max_replay_ratio=4)

    def create_optimizers(self):
        self.model = self.get_torch_training_model("line")
        return {"sgd": torch.optim.SGD(self.model.model.parameters(), lr=0.1)}

    def train(self):
        self.get_data_user("items").count_samples(8)
        self.optimizers["sgd"].step()


def test_the_status_tells_what_the_agent_acts_upon_and_how_often_items_are_trained_on(tmp_path):
    synced = threading.Semaphore(0)

    class Watched(TorchTrainingModel):
        def sync_impl(self, inference_model):
            super().sync_impl(inference_model)
            synced.release()

    class Asking(FakeAgent):
        def on_inference_models_attached(self):
            self.model = self.get_inference_model("line")

        def on_data_collectors_attached(self):
            self.collector = self.get_data_collector("items")

    agent = Asking()
    with System(
        Interaction(FakeAgent(), FakeEnvironment()),
        {},
        {},
        {},
        {"states_dir": tmp_path / "empty"},
    ) as empty:
        assert empty.status().staleness == {}
        assert empty.status().replay_ratios == {}
    system = System(
        Interaction(agent, FakeEnvironment()),
        {"line": Watched(nn.Linear(1, 1))},
        {"items": SequentialBuffer(10)},
        {"learner": Learner()},
        {"states_dir": tmp_path},
    )
    with system:
        assert system.status().replay_ratios == {"learner": None}
        agent.collector.collect("item")
        assert synced.acquire(timeout=SECONDS)
        agent.model(torch.ones(1))
        for _ in range(2):  # 8 samples at 4 for each item: the first new one pays the debt, the second a session
            agent.collector.collect("item")
        assert synced.acquire(timeout=SECONDS)
        system.pause()
        status = system.status()
        assert status.staleness["line"].version == 2
        assert status.staleness["line"].versions_behind == 1
        assert status.staleness["line"].seconds_behind >= 0
        assert status.replay_ratios == {"learner": 16 / 3}
