"""A model as agents ask it: replicas of their own, replaced without making anyone wait.

Two replicas: one is published and lent to whoever infers, the other is written by the next sync and then
published in its place, by one assignment. So an inference never waits for a sync, not even for a lock, and never
sees parts of two versions. Any thread may infer; one thread, that of training, syncs.

How a replica is lent: a reader enters itself with the replica that is published, then looks whether that one is
published still; if not, it goes back and tries again. The writer takes a replica out of publication first, and
waits for those who are entered with it. Entering and leaving are appends and pops of a list, which are atomic.
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

from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.model import InferenceModel, Staleness

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


def default_infer_procedure(model: nn.Module, *args: Any, **kwds: Any) -> Any:
    """Call the module, with tensors among the arguments moved to its device."""
    return _call(model, args, kwds, None)


def converting_infer_procedure(dtype: torch.dtype) -> InferenceProcedure:
    """Return the default procedure with floating-point tensors among the arguments converted to ``dtype``."""
    return lambda module, *args, **kwds: _call(module, args, kwds, dtype)


def _call(module: nn.Module, args: tuple[Any, ...], kwds: dict[str, Any], dtype: torch.dtype | None) -> Any:
    device = get_device(module)

    def move(argument: Any) -> Any:
        if not isinstance(argument, torch.Tensor):
            return argument
        return argument.to(device, dtype if argument.is_floating_point() else None)

    return module(*map(move, args), **{name: move(argument) for name, argument in kwds.items()})


class Replica(Generic[ModuleT]):
    """A module that is lent to whoever infers, and what it holds."""

    def __init__(self, module: ModuleT) -> None:
        self.hold(module)
        self.version = 0
        self.taken_at = 0.0  # when its values were taken from the module in training, in agent seconds
        # One entry for each loan. Appended and popped by the borrowers, looked at by the writer.
        self.loans: list[None] = []
        # Set by the writer while it waits for the last loan; the borrower who gives one back rings it.
        self.returned: threading.Event | None = None
        # On a GPU: when its values are there, and when those who read them, by thread, are done.
        self.written: torch.cuda.Event | None = None
        self.read: dict[int, torch.cuda.Event] = {}

    def hold(self, module: ModuleT) -> None:
        """Be this module from now on."""
        self.module = module.eval()
        device = get_device(module)
        self.gpu = device if device.type == "cuda" else None

    def give_back(self) -> None:
        """End a loan that was used."""
        if self.gpu is not None:
            self.read[threading.get_ident()] = torch.cuda.current_stream(self.gpu).record_event()
        self.leave()

    def leave(self) -> None:
        """End a loan."""
        self.loans.pop()
        # Behind the pop: the writer sets it, then looks at the loans, so one of the two sees the other.
        if self.returned is not None:
            self.returned.set()

    def wait_until_returned(self) -> None:
        """Wait for the end of all loans; nobody gets a new one for good, since it is not published."""
        if not self.loans:
            return
        self.returned = returned = threading.Event()
        while self.loans:
            returned.wait()
            returned.clear()
        self.returned = None


class _OfThread(threading.local):
    """What a model keeps for each thread that asks it."""

    def __init__(self) -> None:
        self.held: list[Replica[Any]] = []
        self.version: int | None = None


class TorchInferenceModel(InferenceModel, Generic[ModuleT]):
    """Asks replicas of a module, in eval mode and without gradients.

    Args:
        model: The first replica, a module whose only owner this is from now on.
        inference_procedure: How to ask it, given the module and the agent's arguments.
        spare: The second replica, a copy of the first. Without one a sync writes into the only replica, while
            nobody uses it: whoever infers waits for the copy.
        clock: Agent time; the system clock by default.
    """

    def __init__(
        self,
        model: ModuleT,
        inference_procedure: InferenceProcedure = default_infer_procedure,
        *,
        spare: ModuleT | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._procedure = inference_procedure
        self._now = (system_clock() if clock is None else clock).monotonic
        # Assigned by the thread that syncs, in one piece; None while an only replica is written.
        self._published: Replica[ModuleT] | None = Replica(model)
        self._latest = self._published  # that replica, or the one that was published before the write
        self._latest.taken_at = self._now()
        self._spare = None if spare is None else Replica(spare)  # of the thread that syncs
        self._opened = threading.Event()  # set when an only replica is published again
        self._of_thread = _OfThread()
        self._version_used = 0  # by the latest inference of any thread; one assignment, the last one counts

    @property
    def version(self) -> int:
        """How many syncs the published replica is the result of, over all runs that were continued."""
        return self._latest.version

    @property
    def used_version(self) -> int | None:
        """The version that the calling thread's latest inference used; None before its first.

        Example:
            >>> from pamiq_sched import TorchTrainingModel
            >>> model = TorchTrainingModel(nn.Linear(1, 1))
            >>> answer = model.inference_model(torch.zeros(1))
            >>> model.sync()
            >>> model.inference_model.used_version, model.inference_model.version
            (0, 1)
        """
        return self._of_thread.version

    @override
    def staleness(self) -> Staleness:
        """How far the agents' side is behind; any thread."""
        latest = self._latest
        return Staleness(
            version=latest.version,
            versions_behind=max(0, latest.version - self._version_used),
            seconds_behind=max(0.0, self._now() - latest.taken_at),
        )

    @override
    def infer(self, *args: Any, **kwds: Any) -> Any:
        """Return the answer of the published replica."""
        replica = self._borrow()
        try:
            with torch.inference_mode():
                return self._procedure(replica.module, *args, **kwds)
        finally:
            self._give_back(replica)

    @contextmanager
    def unwrap(self, inference_mode: bool = True) -> Iterator[ModuleT]:
        """Lend the published replica: within the block nobody changes it.

        Leave the block soon: a sync may go on in the other replica meanwhile, but not the one after it.

        Args:
            inference_mode: Whether gradients are off.
        """
        replica = self._borrow()
        try:
            with torch.inference_mode(inference_mode):
                yield replica.module
        finally:
            self._give_back(replica)

    def _borrow(self) -> Replica[ModuleT]:
        mine = self._of_thread
        while True:
            replica = self._published
            if replica is None:
                if not mine.held:
                    self._opened.wait()
                    continue
                replica = mine.held[-1]  # within a loan of this thread, for whose end the writer waits
                replica.loans.append(None)
                break
            replica.loans.append(None)
            if replica is self._published:
                break
            replica.leave()  # it was taken out in between, and may be written by now
        mine.held.append(replica)
        mine.version = self._version_used = replica.version
        if replica.written is not None:
            torch.cuda.current_stream(replica.gpu).wait_event(replica.written)
        return replica

    def _give_back(self, replica: Replica[ModuleT]) -> None:
        self._of_thread.held.pop()
        replica.give_back()

    def publish(self, write: Callable[[Replica[ModuleT]], None]) -> None:
        """Let ``write`` bring a replica up to date, then publish it; for the thread that syncs alone.

        Args:
            write: Called with the replica to write, while nobody uses it; it may replace the module.
        """
        if self._spare is None:
            self._publish_alone(self._latest, write)
            return
        spare = self._spare
        self._write(spare, write)
        self._spare, self._published = self._latest, spare
        self._latest = spare

    def _publish_alone(self, replica: Replica[ModuleT], write: Callable[[Replica[ModuleT]], None]) -> None:
        self._opened.clear()
        self._published = None
        try:
            self._write(replica, write)
        finally:
            self._published = replica
            self._opened.set()

    def _write(self, replica: Replica[ModuleT], write: Callable[[Replica[ModuleT]], None]) -> None:
        replica.wait_until_returned()
        now = self._now()
        write(replica)
        replica.version = self._latest.version + 1
        replica.taken_at = now

    def continue_from(self, version: int) -> None:
        """Count on from a saved version; for the thread that syncs, before there are others."""
        self._latest.version = self._version_used = version

    def replicas(self) -> list[Replica[ModuleT]]:
        """All replicas, the published one first; for the thread that syncs, or before there are others."""
        return [self._latest] if self._spare is None else [self._latest, self._spare]
