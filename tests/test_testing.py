"""What we give to those who test their own agents and trainers."""

import pytest

from pamiq_sched import Agent, Interaction, ManualClock, SequentialBuffer, Trainer, connect_components
from pamiq_sched.testing import (
    FakeAgent,
    FakeBuffer,
    FakeEnvironment,
    FakeInferenceModel,
    FakeTrainingModel,
)


class Taking(Agent):
    """Takes a model and a collector."""

    def on_inference_models_attached(self):
        self.model = self.get_inference_model("model")

    def on_data_collectors_attached(self):
        self.collector = self.get_data_collector("data")

    def step(self, observation):
        self.collector.collect(observation)
        return self.model(observation)


class Learning(Trainer):
    """Takes a model and its data."""

    def on_training_models_attached(self):
        self.model = self.get_training_model("model")

    def on_data_users_attached(self):
        self.data = self.get_data_user("data")

    def train(self):
        self.learned = self.data.get_data()


def test_an_agent_and_a_trainer_are_joined_as_in_a_system():
    agent, trainer, model = Taking(), Learning("data", min_buffer_size=2), FakeTrainingModel(lambda x: 10 * x)
    connect_components(agent, trainer, {"data": SequentialBuffer(5)}, {"model": model})
    assert not trainer.run()
    assert [agent.step(i) for i in (1, 2)] == [10, 20]
    assert trainer.run()
    assert trainer.learned == [1, 2]
    assert model.inference_model.synced == 1


def test_nothing_need_be_given():
    parts = connect_components()
    assert [len(part) for part in parts] == [0, 0, 0, 0]


def test_trainers_may_be_several():
    trainers = {"a": Learning(), "b": Learning()}
    parts = connect_components(
        trainers=trainers, buffers={"data": FakeBuffer()}, models={"model": FakeTrainingModel()}
    )
    assert all(trainer.data is parts.data_users["data"] for trainer in trainers.values())


def test_what_was_joined_is_returned():
    model = FakeTrainingModel()
    parts = connect_components(buffers={"data": FakeBuffer()}, models={"model": model})
    assert parts.training_models["model"] is model
    assert parts.inference_models["model"] is model.inference_model
    assert parts.data_users["data"].collector is parts.data_collectors["data"]


def test_a_missing_part_is_refused():
    with pytest.raises(KeyError, match="no inference model 'model'"):
        connect_components(Taking(), buffers={"data": FakeBuffer()})


def test_a_condition_that_can_never_hold_is_refused():
    with pytest.raises(ValueError, match="would never train"):
        connect_components(
            trainers=Learning("data", min_buffer_size=9),
            buffers={"data": SequentialBuffer(5)},
            models={"model": FakeTrainingModel()},
        )


def test_a_fake_buffer_keeps_everything_in_order(tmp_path):
    buffer = FakeBuffer()
    for item in "abc":
        buffer.add(item)
    assert (buffer.get_data(), len(buffer)) == (["a", "b", "c"], 3)
    buffer.save_state(tmp_path / "buffer")
    loaded = FakeBuffer()
    loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == ["a", "b", "c"]


def test_a_fake_inference_model_keeps_what_it_was_asked():
    model = FakeInferenceModel(lambda *args, **kwds: "answer")
    assert model(1, key=2) == "answer"
    assert model.questions == [((1,), {"key": 2})]


def test_a_fake_model_answers_none_unless_told():
    model = FakeTrainingModel()
    assert (model("x"), model.inference_model("x", y=1)) == (None, None)


def test_a_fake_model_counts_its_syncs():
    model = FakeTrainingModel()
    model.sync()
    assert model.inference_model.synced == 1


def test_a_fake_environment_shows_its_observations_then_the_last_one():
    environment = FakeEnvironment([1, 2])
    assert [environment.observe() for _ in range(4)] == [1, 2, 2, 2]
    environment.affect("action")
    assert environment.actions == ["action"]


def test_a_fake_environment_without_observations_shows_none():
    assert FakeEnvironment().observe() is None


def test_fakes_make_an_interaction():
    agent, environment = FakeAgent(lambda observation: -observation), FakeEnvironment([1, 2])
    interaction = Interaction(agent, environment)
    interaction.setup()
    for _ in range(3):
        interaction.step()
    interaction.teardown()
    assert agent.observations == [1, 2, 2]
    assert environment.actions == [-1, -2, -2]


def test_time_is_the_tests_own():
    """Together with a manual clock a trainer is tested without waiting."""
    clock, fired = ManualClock(), []
    trainer = Learning(clock=clock)
    trainer.every_seconds(60.0, lambda: fired.append(clock.time()))
    clock.advance(60.0)
    trainer.step_completed()
    assert fired == [60.0]
