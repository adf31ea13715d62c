"""The parts made for PyTorch: models with replicas, trainers with live optimizers, typed access for agents."""

from pamiq_sched.torch.agent import TorchAgent
from pamiq_sched.torch.inference import (
    InferenceProcedure,
    TorchInferenceModel,
    default_infer_procedure,
    get_device,
)
from pamiq_sched.torch.model import TorchTrainingModel
from pamiq_sched.torch.trainer import (
    LRSchedulersDict,
    OptimizersDict,
    OptimizersSetup,
    StateDict,
    TorchTrainer,
)

__all__ = [
    "InferenceProcedure",
    "LRSchedulersDict",
    "OptimizersDict",
    "OptimizersSetup",
    "StateDict",
    "TorchAgent",
    "TorchInferenceModel",
    "TorchTrainer",
    "TorchTrainingModel",
    "default_infer_procedure",
    "get_device",
]
