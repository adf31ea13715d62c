"""Gymnasium environments and agents for them (extra ``[gym]``)."""

from pamiq_sched.gym.agent import GymAgent
from pamiq_sched.gym.env import GymEnvironment
from pamiq_sched.gym.types import EnvReset, EnvStep, GymAction, GymObs

__all__ = ["EnvReset", "EnvStep", "GymAction", "GymAgent", "GymEnvironment", "GymObs"]
