"""Typed access of agents to PyTorch models."""

import pytest
import torch
from torch import nn

from pamiq_sched import TorchAgent, TorchInferenceModel, TorchTrainingModel
from pamiq_sched.testing import FakeTrainingModel, connect_components


class Thinker(TorchAgent):
    """Asks the model of a given name and class."""

    def __init__(self, name, *module_cls):
        super().__init__()
        self.asked = name, *module_cls

    def on_inference_models_attached(self):
        self.model = self.get_torch_inference_model(*self.asked)

    def step(self, observation):
        return self.model(observation)


def connect(agent):
    connect_components(agent, models={"line": TorchTrainingModel(nn.Linear(1, 1)), "fake": FakeTrainingModel()})
    return agent


@pytest.mark.parametrize("module_cls", [[], [nn.Linear], [nn.Module]])
def test_a_model_is_given_by_name_and_class(module_cls):
    agent = connect(Thinker("line", *module_cls))
    assert isinstance(agent.model, TorchInferenceModel)
    assert agent.step(torch.ones(1)).shape == (1,)


def test_a_module_of_another_class_is_refused():
    with pytest.raises(
        TypeError,
        match="module of the model 'line' must be of the class Conv2d, got an object of the class Linear",
    ):
        connect(Thinker("line", nn.Conv2d))


def test_a_model_without_torch_is_refused():
    with pytest.raises(
        TypeError, match="'fake' must be of the class TorchInferenceModel, got an object of the class FakeI"
    ):
        connect(Thinker("fake"))


def test_an_unknown_model_is_refused():
    with pytest.raises(KeyError, match="no inference model 'other'"):
        connect(Thinker("other"))
