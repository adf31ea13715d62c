"""Mocks with the signatures and the meaning that pamiq-core 0.6.0 gives them."""

import inspect
from unittest.mock import MagicMock, Mock

import pytest

from pamiq_sched import (
    Agent,
    DataBuffer,
    InferenceModel,
    Interaction,
    LaunchConfig,
    ManualClock,
    System,
    Trainer,
    TrainingModel,
)
from pamiq_sched.testing import (
    FakeAgent,
    FakeEnvironment,
    connect_components,
    create_mock_buffer,
    create_mock_models,
    run_steps,
)


class Asking(Agent):
    def on_inference_models_attached(self):
        self.model = self.get_inference_model("model")

    def on_data_collectors_attached(self):
        self.collector = self.get_data_collector("data")

    def step(self, observation):
        self.collector.collect(observation)
        return self.model.infer(observation)


class Learning(Trainer):
    def on_training_models_attached(self):
        self.model = self.get_training_model("model")

    def on_data_users_attached(self):
        self.data = self.get_data_user("data")

    def train(self):
        self.model.forward(self.data.get_data())


def test_signatures_are_those_of_pamiq_core():
    """Written down from its source."""
    parameters = {name: p.default for name, p in inspect.signature(create_mock_models).parameters.items()}
    assert parameters == {"has_inference_model": True, "inference_thread_only": False}
    assert {n: p.default for n, p in inspect.signature(create_mock_buffer).parameters.items()} == {
        "max_queue_size": 1
    }


def test_mocks_pass_for_what_they_stand_for():
    training_model, inference_model = create_mock_models()
    assert isinstance(training_model, Mock)
    assert isinstance(training_model, TrainingModel)
    assert isinstance(inference_model, InferenceModel)
    buffer = create_mock_buffer(7)
    assert isinstance(buffer, MagicMock)
    assert isinstance(buffer, DataBuffer)
    assert (buffer.max_queue_size, len(buffer)) == (7, 0)


def test_mocks_have_no_more_than_the_classes():
    for mock in (*create_mock_models(), create_mock_buffer()):
        with pytest.raises(AttributeError):
            _ = mock.no_such_method


def test_a_mock_of_a_training_model_has_the_mock_of_its_inference_model():
    training_model, inference_model = create_mock_models()
    assert training_model.inference_model is inference_model
    assert (training_model.has_inference_model, training_model.inference_thread_only) == (True, False)
    assert training_model.is_synced


def test_mocks_are_joined_as_components_are():
    (training_model, inference_model), buffer = create_mock_models(), create_mock_buffer()
    agent, trainer = Asking(), Learning()
    parts = connect_components(agent, trainer, {"data": buffer}, {"model": training_model})
    assert parts.inference_models["model"] is agent.model is inference_model
    assert parts.training_models["model"] is trainer.model is training_model
    inference_model.infer.return_value = "left"
    buffer.get_data.return_value = ["a wall"]
    assert agent.step("a wall") == "left"
    assert trainer.run()
    buffer.add.assert_called_once_with("a wall")
    training_model.forward.assert_called_once_with(["a wall"])
    training_model.sync.assert_called_once_with()


def test_a_mock_without_an_inference_model_is_for_trainers_only():
    training_model, _ = create_mock_models(has_inference_model=False)
    parts = connect_components(models={"model": training_model})
    assert not training_model.is_synced
    assert "model" not in parts.inference_models
    assert parts.training_models["model"] is training_model


def test_a_mock_for_the_inference_thread_only_cannot_be_trained():
    training_model, inference_model = create_mock_models(inference_thread_only=True)
    parts = connect_components(models={"model": training_model})
    assert not training_model.is_synced
    assert parts.inference_models["model"] is inference_model
    with pytest.raises(KeyError, match="inference thread only"):
        _ = parts.training_models["model"]


def test_more_new_items_than_the_queue_of_a_mock_holds_are_refused_as_of_any_buffer():
    parts = {"buffers": {"data": create_mock_buffer()}, "models": {"model": create_mock_models()[0]}}
    with pytest.raises(ValueError, match="min_new_data_count=5 is more than"):
        connect_components(trainers=Learning("data", min_new_data_count=5), **parts)


def components():
    interaction = Interaction(FakeAgent(), FakeEnvironment(), clock=ManualClock())
    return interaction, {"model": create_mock_models()[0]}, {"data": create_mock_buffer()}, {"t": Learning()}


def test_mocks_run_in_steps_and_are_saved_and_loaded(tmp_path):
    run_steps(*components(), steps=2, save_to=tmp_path / "state")
    parts = components()
    run = run_steps(*parts, steps=2, load_from=tmp_path / "state")
    assert "models/model (Mock): it keeps no state" in run.not_restored
    assert "data/data/buffer (MagicMock): it keeps no state" in run.not_restored
    assert parts[1]["model"].sync.call_count == 2


def test_mocks_run_in_a_system(tmp_path):
    with System(*components(), LaunchConfig(states_dir=tmp_path, freeze_garbage=False)) as system:
        system.save_state()
        assert system.status().staleness == {}
