"""Gymnasium environments and agents for them (extra ``[gym]``)."""

try:
    import gymnasium as _gymnasium  # noqa: F401 - what everything here needs
except ImportError as error:
    raise ImportError('Gymnasium environments need an extra: pip install "pamiq-sched[gym]"') from error

from pamiq_sched.gym.agent import GymAgent, VectorGymAgent
from pamiq_sched.gym.env import GymEnvironment
from pamiq_sched.gym.filming import Film
from pamiq_sched.gym.types import EnvOutput, EnvReset, EnvStep, GymAction, GymObs, VectorStep

__all__ = [
    "EnvOutput",
    "EnvReset",
    "EnvStep",
    "Film",
    "GymAction",
    "GymAgent",
    "GymEnvironment",
    "GymObs",
    "VectorGymAgent",
    "VectorStep",
]
