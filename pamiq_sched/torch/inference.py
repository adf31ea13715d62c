"""A model as agents ask it: replicas of their own, replaced without making anyone wait.

Two replicas: one is published and lent to whoever infers, the other is written by the next sync and then
published in its place. So an inference never waits for a sync and never sees parts of two versions. Any
thread may infer; one thread, that of training, syncs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from typing_extensions import override

from pamiq_sched.model import InferenceModel

ModuleT = TypeVar("ModuleT", bound=nn.Module)

InferenceProcedure = Callable[..., Any]
"""Called with the module and what the agent gave; returns the answer."""


def get_device(module: nn.Module, default_device: torch.device | None = None) -> torch.device:
    """Return the device on which a module runs: that of its first parameter or buffer.

    Args:
        module: Any module.
        default_device: For a module without either; torch's default device if not given.

    Example:
        >>> get_device(nn.Linear(1, 1))
        device(type='cpu')
    """
    for tensor in chain[torch.Tensor](module.parameters(), module.buffers()):
        return tensor.device
    return torch.get_default_device() if default_device is None else default_device


def default_infer_procedure(module: nn.Module, *args: Any, **kwds: Any) -> Any:
    """Call the module, with tensors among the arguments moved to its device."""
    device = get_device(module)
    moved = [a.to(device) if isinstance(a, torch.Tensor) else a for a in args]
    moved_kwds = {k: a.to(device) if isinstance(a, torch.Tensor) else a for k, a in kwds.items()}
    return module(*moved, **moved_kwds)


class _Replica(Generic[ModuleT]):
    """A module, the version that it holds, and how many are using it; the counts are guarded by the model."""

    def __init__(self, module: ModuleT) -> None:
        self.module = module
        self.version = 0
        self.users = 0


class TorchInferenceModel(InferenceModel, Generic[ModuleT]):
    """Asks replicas of a module, in eval mode and without gradients.

    Args:
        module: The first replica; the model is its only owner from now on.
        inference_procedure: How to ask it, given the module and the agent's arguments.
        spare: The second replica, a copy of the first; without one nothing can be synced.
    """

    def __init__(
        self,
        module: ModuleT,
        inference_procedure: InferenceProcedure = default_infer_procedure,
        *,
        spare: ModuleT | None = None,
    ) -> None:
        self._procedure = inference_procedure
        # Guards which replica is published and how many use each; held for a few instructions only.
        self._lock = threading.Condition(threading.Lock())
        self._published = _Replica(module.eval())
        self._spare = None if spare is None else _Replica(spare.eval())

    @property
    def version(self) -> int:
        """How many syncs the published replica is the result of."""
        return self._published.version

    @override
    def infer(self, *args: Any, **kwds: Any) -> Any:
        """Return the answer of the published replica."""
        with self.unwrap() as module:
            return self._procedure(module, *args, **kwds)

    @contextmanager
    def unwrap(self, inference_mode: bool = True) -> Iterator[ModuleT]:
        """Lend the published replica: within the block nobody changes it.

        Leave the block soon: a sync may go on in the other replica meanwhile, but not the one after it.

        Args:
            inference_mode: Whether gradients are off.
        """
        with self._lock:
            replica = self._published
            replica.users += 1
        try:
            with torch.inference_mode(inference_mode):
                yield replica.module
        finally:
            with self._lock:
                replica.users -= 1
                if not replica.users:
                    self._lock.notify_all()

    def publish(self, write: Callable[[ModuleT], ModuleT]) -> None:
        """Let ``write`` bring the spare replica up to date, then publish it.

        Args:
            write: Called with the spare module, while nobody uses it; returns the module to publish, usually
                the same one.

        Raises:
            RuntimeError: If there is no spare replica.
        """
        spare = self._spare  # only the thread that syncs changes it
        if spare is None:
            raise RuntimeError("this model has no spare replica to sync into; make it by a TorchTrainingModel")
        with self._lock:
            # Those who borrowed it before the last publication may still be at it; it is not lent any more.
            self._lock.wait_for(lambda: not spare.users)
        spare.module = write(spare.module)
        spare.version = self._published.version + 1
        with self._lock:
            self._published, self._spare = spare, self._published
