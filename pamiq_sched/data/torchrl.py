"""TorchRL's replay buffers, prioritized ones above all, as buffers of ours.

Belongs to the training thread, and so does the replay buffer inside it from then on.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.data.buffer import DataBuffer
from pamiq_sched.state import StateDictMixin


class TorchRLBuffer(StateDictMixin, DataBuffer[Mapping[str, Any], Any]):
    """Keeps items in a replay buffer of TorchRL, and draws as its sampler does.

    What is drawn at random comes from the generator that the replay buffer was made with, or else from one of
    its own, seeded from torch's global one. It is saved with items and priorities: a resumed buffer draws what
    the uninterrupted one would have. Breaks between sequences are not kept; a
    :class:`~pamiq_sched.TensorRingBuffer` keeps them.

    A trainer draws through its data user, and hands the priorities to the buffer itself::

        replay = TensorDictPrioritizedReplayBuffer(alpha=0.6, beta=0.4, storage=LazyTensorStorage(100_000))
        buffers = {"steps": TorchRLBuffer(replay)}
        ...
        batch = self.steps.sample(256)
        td_error = ...
        self.steps.buffer.update_priorities(batch["index"], td_error.abs())

    TorchRL's prioritized samplers are compiled for one version of torch each; beside another one they cannot be
    made, while everything else works.

    Args:
        replay_buffer: With any sampler; it must not draw ahead (``prefetch``), and its storage must have one
            dimension.
        max_queue_size: How many items may wait for an update; as many as the storage holds by default.

    Raises:
        ImportError: If TorchRL is not installed.
        TypeError: If it is no replay buffer of TorchRL, or a part of it cannot be saved.
        ValueError: If it draws ahead, or its storage has more dimensions.
    """

    def __init__(self, replay_buffer: Any, *, max_queue_size: int | None = None) -> None:
        super().__init__(max_queue_size)
        try:
            replay_class = importlib.import_module("torchrl.data").ReplayBuffer
            self._tensordict = importlib.import_module("tensordict").TensorDict
        except ImportError as error:
            raise ImportError(
                'replay buffers of TorchRL need an extra: pip install "pamiq-sched[torchrl]"'
            ) from error
        _checks.instance("the replay buffer must be", replay_buffer, replay_class)
        self._replay = replay_buffer
        self._storage = replay_buffer.storage
        if getattr(replay_buffer, "_prefetch", False):
            raise ValueError(
                "the replay buffer draws ahead in threads of its own, which a save cannot hold; make it without "
                "prefetch"
            )
        if self._storage.ndim != 1:
            raise ValueError(
                f"items come one by one, so the storage must have 1 dimension, got {self._storage.ndim}; make it "
                "with ndim=1"
            )
        self._parts = {
            "sampler": replay_buffer.sampler,
            "writer": replay_buffer.writer,
            "transform": replay_buffer.transform,
        }
        for part in self._parts.values():
            try:
                part.state_dict()
            except NotImplementedError as error:
                raise TypeError(
                    f"a {type(part).__name__} of TorchRL has no state that could be saved; use another one"
                ) from error
        self._generator: Any = getattr(replay_buffer, "_rng", None)
        if self._generator is None:
            seed = int(torch.randint(2**63 - 1, (), dtype=torch.int64, device="cpu"))
            self._generator = torch.Generator().manual_seed(seed)
            replay_buffer.set_rng(self._generator)

    @property
    def max_size(self) -> int | None:
        """How many items the storage holds at the most; None if there is no bound."""
        size = int(self._storage.max_size)
        return size if size < torch.iinfo(torch.int64).max else None

    @override
    def __len__(self) -> int:
        return len(self._replay)

    @override
    def add(self, data: Mapping[str, Any]) -> None:
        """Take in one item: a mapping of tensors, arrays or numbers, or a TensorDict."""
        # One of its own: TorchRL puts an index into what it is given.
        self._replay.add(self._tensordict(dict(data.items()), batch_size=[]))

    def sample(self, batch_size: int, **kwargs: Any) -> Any:
        """Draw as the sampler does.

        Args:
            batch_size: How many items, at least 1.
            **kwargs: More for the replay buffer's ``sample``.

        Returns:
            What the replay buffer returns: a TensorDict, in which a ``TensorDictReplayBuffer`` puts ``"index"``
            and what else its sampler tells, as ``"priority_weight"``.

        Raises:
            ValueError: If ``batch_size`` is less than 1.
        """
        return self._replay.sample(_checks.count("batch_size", batch_size, least=1, unit="item"), **kwargs)

    def update_priorities(self, index: Tensor, priorities: Tensor) -> None:
        """Tell a prioritized sampler how much is to be learnt from items.

        Args:
            index: Shape (B,), ``batch["index"]`` of what was drawn.
            priorities: Shape (B,), finite and not negative, as the absolute TD error.

        Raises:
            ValueError: If a priority is NaN, infinite or negative; it would spoil all others.
        """
        bad = ~(priorities.isfinite() & (priorities >= 0))
        if bad.any():
            raise ValueError(
                f"priorities must be finite and not negative, got {priorities[bad][:3].tolist()}; "
                "give absolute errors"
            )
        self._replay.update_priority(index, priorities)

    @override
    def get_data(self) -> Any:
        """Return a copy of all items in the order of the storage: a TensorDict; of a ``ListStorage`` a list."""
        rows = self._rows()
        return [row.clone() for row in rows] if isinstance(rows, list) else rows.clone()

    def _rows(self) -> Any:
        if not len(self._replay):
            return self._tensordict({}, batch_size=[0])
        return self._storage.get(slice(0, len(self._replay)))

    @override
    def state_dict(self) -> dict[str, Any]:
        """The items; the states of sampler, writer and transforms; the random generator."""
        rows = self._rows()
        return {
            "items": [row.to_dict() for row in rows] if isinstance(rows, list) else rows.to_dict(),
            "len": len(self._replay),
            "made_of": self._made_of(),
            "parts": {name: _without_trees(part.state_dict()) for name, part in self._parts.items()},
            "random": self._generator.get_state(),
        }

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over all of it.

        Raises:
            ValueError: If it was saved with a storage of another size, or with another sampler or writer.
        """
        _checks.state_keys(type(self).__name__, state, {"items", "len", "made_of", "parts", "random"})
        if state["made_of"] != self._made_of():
            raise ValueError(
                f"the replay buffer is made of {self._made_of()}, the saved one was of {state['made_of']}; "
                "make it alike"
            )
        generator = torch.Generator(self._generator.device)
        generator.set_state(state["random"])
        self._replay.empty()
        if isinstance(state["items"], list):
            for cursor, item in enumerate(state["items"]):
                self._storage.set(cursor, self._tensordict(item, batch_size=[]))
        elif state["len"]:
            items = self._tensordict(state["items"], batch_size=[state["len"]])
            self._storage.set(slice(0, state["len"]), items)
        for name, part in self._parts.items():
            part.load_state_dict(_with_trees(state["parts"][name], part.state_dict()))
        self._replay.set_rng(generator)
        self._generator = generator

    def _made_of(self) -> dict[str, Any]:
        names = {name: type(part).__name__ for name, part in self._parts.items()}
        return {"storage": type(self._storage).__name__, "max_size": self.max_size, **names}


def _is_tree(value: object) -> bool:
    """Whether it is one of the trees in which a prioritized sampler keeps priorities: no tensor, no Python."""
    return type(value).__module__ == "torchrl._torchrl"


def _slots(tree: Any) -> Tensor:
    return torch.arange(len(tree), device=getattr(tree, "device", "cpu"))


def _without_trees(state: Any) -> Any:
    """Put the leaves of a tree in its place: all the rest of it follows from them."""
    if _is_tree(state):
        return torch.as_tensor(state[_slots(state)])
    if isinstance(state, Mapping):
        return {key: _without_trees(value) for key, value in state.items()}
    return state


def _with_trees(saved: Any, current: Any) -> Any:
    """Undo :func:`_without_trees`, with the trees of the current state, which is a copy."""
    if _is_tree(current):
        slots = _slots(current)
        current[slots] = saved.to(slots.device)
        return current
    if isinstance(saved, Mapping) and isinstance(current, Mapping):
        return {key: _with_trees(value, current.get(key)) for key, value in saved.items()}
    return saved
