"""How an agent acts: agents, environments, and the loop that joins them.

All of it belongs to the inference thread.
"""

from pamiq_sched.interaction.agent import Agent
from pamiq_sched.interaction.environment import Environment
from pamiq_sched.interaction.interaction import FixedIntervalInteraction, Interaction
from pamiq_sched.interaction.pacing import IntervalAdjustor, SleepIntervalAdjustor

__all__ = [
    "Agent",
    "Environment",
    "FixedIntervalInteraction",
    "Interaction",
    "IntervalAdjustor",
    "SleepIntervalAdjustor",
]
