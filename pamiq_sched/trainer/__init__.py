"""How an agent learns: trainers and their lifecycle. All of it belongs to the training thread."""

from pamiq_sched.trainer.containers import TrainersDict
from pamiq_sched.trainer.trainer import Trainer

__all__ = ["Trainer", "TrainersDict"]
