"""How an agent acts: agents, environments, and the loop that joins them.

All of it belongs to the inference thread.
"""

from pamiq_sched.interaction.agent import Agent
from pamiq_sched.interaction.environment import Environment
from pamiq_sched.interaction.interaction import FixedIntervalInteraction, Interaction
from pamiq_sched.interaction.modular_env import Actuator, ActuatorsDict, ModularEnvironment, Sensor, SensorsDict
from pamiq_sched.interaction.pacing import IntervalAdjustor, SleepIntervalAdjustor
from pamiq_sched.interaction.wrappers import (
    ActuatorWrapper,
    EnvironmentWrapper,
    LambdaWrapper,
    SensorWrapper,
    Wrapper,
)

__all__ = [
    "Actuator",
    "ActuatorWrapper",
    "ActuatorsDict",
    "Agent",
    "Environment",
    "EnvironmentWrapper",
    "FixedIntervalInteraction",
    "Interaction",
    "IntervalAdjustor",
    "LambdaWrapper",
    "ModularEnvironment",
    "Sensor",
    "SensorWrapper",
    "SensorsDict",
    "SleepIntervalAdjustor",
    "Wrapper",
]
