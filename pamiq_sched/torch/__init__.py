"""The parts made for PyTorch: models with replicas, trainers with live optimizers, typed access for agents."""

from pamiq_sched.torch.agent import TorchAgent
from pamiq_sched.torch.inference import TorchInferenceModel, default_infer_procedure, get_device
from pamiq_sched.torch.model import TorchTrainingModel
from pamiq_sched.torch.trainer import TorchTrainer

__all__ = [
    "TorchAgent",
    "TorchInferenceModel",
    "TorchTrainer",
    "TorchTrainingModel",
    "default_infer_procedure",
    "get_device",
]
