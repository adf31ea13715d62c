"""The random generators that a process has by itself, as a component: python's, numpy's, torch's.

Generators of a component's own belong to its state. Loaded last, so that what loading draws changes nothing.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.state.persistence import StateDictMixin

GREATEST_SEED = 2**32 - 1
"""numpy's global generator takes no larger one."""


def seed_generators(seed: int) -> None:
    """Seed the generators of ``random``, ``numpy.random`` and, where it is loaded, ``torch``, on all devices.

    Args:
        seed: From 0 to 2**32 - 1.

    Example:
        >>> seed_generators(7)
        >>> first = random.random()
        >>> seed_generators(7)
        >>> random.random() == first
        True
    """
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def environment_seed(seed: int) -> int:
    """Return the seed of an environment that follows from that of a run: another one, from 0 to 2**31 - 1.

    Example:
        >>> environment_seed(7) == environment_seed(7) != environment_seed(8)
        True
    """
    return int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)


class RandomGenerators(StateDictMixin):
    """The global generators of ``random``, ``numpy.random`` and, where it is loaded, ``torch``, on all devices.

    Example:
        >>> import random
        >>> generators = RandomGenerators()
        >>> state = generators.state_dict()
        >>> number = random.random()
        >>> generators.load_state_dict(state)
        >>> random.random() == number
        True
    """

    def __init__(self) -> None:
        self.not_restored: list[str] = []
        """Devices that there are now, or were then, but not both; from the last load."""

    @override
    def state_dict(self) -> dict[str, Any]:
        """The state of each generator; of torch's that of the CPU and those of the GPUs that are in use."""
        state: dict[str, Any] = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": None}
        torch = sys.modules.get("torch")
        if torch is not None:
            in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
            state["torch"] = {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if in_use else [],
            }
        return state

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the generators.

        Raises:
            ValueError: If keys are missing or unknown.
        """
        _checks.state_keys("the random generators", state, {"python", "numpy", "torch"})
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])
        self.not_restored = []
        if state["torch"] is None:
            return
        import torch  # noqa: PLC0415 - loaded when the state was saved, so the run needs it

        torch.set_rng_state(state["torch"]["cpu"])
        saved = state["torch"]["cuda"]
        there = torch.cuda.device_count()
        for i, generator in enumerate(saved[:there]):
            torch.cuda.set_rng_state(generator, i)
        if len(saved) > there:
            self.not_restored = [f"the random generator of cuda:{i}" for i in range(there, len(saved))]
