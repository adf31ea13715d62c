"""The latest items as columns of preallocated tensors, from which batches and sequences are drawn.

Nothing but torch runs over the items: the cost of a batch does not depend on how many items are held. Which
items follow each other is kept as a number beside each: how many items of its sequence are held up to it, or
were. A window of length n ends exactly where that is at least n and its first item is still held. Belongs to
the training thread.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.data.buffer import DataBuffer
from pamiq_sched.state import StateDictMixin, codec

Spec = tuple[tuple[int, ...], torch.dtype]

_CPU = torch.device("cpu")  # said outright: torch's default device may be another

_NUMPY_DTYPES = {
    torch.from_numpy(np.empty(0, code)).dtype: np.dtype(code)
    for code in ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16")
}
_TORCH_DTYPES = {numpy: dtype for dtype, numpy in _NUMPY_DTYPES.items()}
# What a number is taken as, and the dtype of a column that it makes: none for torch's default at that moment.
_NUMBERS: list[tuple[tuple[type, ...], type, torch.dtype | None]] = [
    ((bool, np.bool_), bool, torch.bool),
    ((int, np.integer), int, torch.int64),
    ((float, np.floating), float, None),
]


class TensorRingBuffer(StateDictMixin, DataBuffer[Mapping[str, Any], dict[str, Tensor]]):
    """Keeps the latest items in one tensor for each key; a new item overwrites the oldest.

    An item is a mapping of tensors, arrays or numbers. The first one fixes the columns: tensors and arrays keep
    their shape and dtype; a float, numpy's among them, takes torch's default dtype, an int int64, a bool bool.
    Later items must fit: the same keys and shapes, and a dtype that loses no more than the precision of a float
    (ints go into a column of floats, floats do not go into one of ints).

    Sequences of items never cross an episode's end, nor a break: a pause, a restart, or a gap where items were
    lost. The random generator is the buffer's own, seeded from torch's global one and saved with the buffer: a
    resumed buffer draws what the uninterrupted one would have.

    Args:
        max_size: How many items to hold, at least 1. Memory is taken up as it is filled.
        columns: Shape and dtype of each column, where the first item should not decide:
            ``{"frame": ((3, 84, 84), torch.uint8), "reward": ((), torch.float32)}``.
        episode_end: The columns, or the one, of which a true value ends an episode behind its item.
        device: Where the columns lie; the CPU by default.
        pin_memory: Whether batches are gathered in pinned memory, from which a copy to a CUDA device runs
            beside the computation.
        max_queue_size: How many items may wait for an update; ``max_size`` by default.

    Raises:
        ValueError: If a value is out of range, or memory cannot be pinned here.
        TypeError: If a value is of a wrong type, or a column is not a shape and a dtype.

    Example:
        >>> buffer = TensorRingBuffer(1000, episode_end="done")
        >>> for step in range(10):
        ...     buffer.add({"observation": torch.full((3,), float(step)), "done": step == 4})
        >>> buffer.sample(32)["observation"].shape
        torch.Size([32, 3])
        >>> windows = buffer.sample_sequences(8, 4)["observation"]
        >>> windows.shape, bool((windows.diff(dim=1) == 1).all())
        (torch.Size([8, 4, 3]), True)
        >>> buffer.latest(2)["done"]
        tensor([False, False])
    """

    def __init__(
        self,
        max_size: int,
        columns: Mapping[str, Spec] | None = None,
        *,
        episode_end: str | Iterable[str] = (),
        device: torch.device | str | None = None,
        pin_memory: bool = False,
        max_queue_size: int | None = None,
    ) -> None:
        super().__init__(max_queue_size)
        self._max_size = _checks.count("max_size", max_size, least=1, most=sys.maxsize, unit="item")
        episode_end = (episode_end,) if isinstance(episode_end, str) else episode_end
        self._episode_end = _checks.names("episode_end", episode_end)
        self._device = _CPU if device is None else _checks.device("device", device)
        self._pin_memory = _checks.flag("pin_memory", pin_memory)
        if columns is not None and not isinstance(columns, Mapping):
            raise TypeError(f"columns must map names to (shape, dtype), got {columns!r}")
        if pin_memory and self._device.type != "cpu":
            raise ValueError(
                f"pin_memory is for columns on the CPU, got the device {str(self._device)!r}; leave one out"
            )
        if pin_memory and not torch.cuda.is_available():
            raise ValueError("pin_memory needs CUDA, which torch does not find here; leave it False")
        self._columns: dict[str, _Column] = {}
        self._head = 0  # where the next item goes
        self._count = 0
        # How many items of its sequence there are up to the item in a slot, itself included; those that were
        # overwritten count. A view of the same memory, in which numpy writes one number for less.
        self._runs = torch.empty(self._max_size, dtype=torch.int64, device=_CPU)
        self._run_of_slot = self._runs.numpy()
        self._run = 0  # that of the newest item; 0 if the next one begins a sequence
        self._generator = torch.Generator().manual_seed(
            int(torch.randint(2**63 - 1, (), dtype=torch.int64, device=_CPU))
        )
        if columns is not None:
            self._columns = self._made_columns({name: _given_spec(name, spec) for name, spec in columns.items()})

    @property
    def max_size(self) -> int:
        """How many items it holds at the most."""
        return self._max_size

    @property
    def is_full(self) -> bool:
        """Whether new items overwrite old ones."""
        return self._count == self._max_size

    @override
    def __len__(self) -> int:
        return self._count

    @override
    def add(self, data: Mapping[str, Any]) -> None:
        """Copy one item in.

        Raises:
            ValueError: If its keys are not those of the columns, or a shape or a number does not fit.
            TypeError: If it is no mapping, or a dtype does not fit. Nothing has changed then.
        """
        if not isinstance(data, Mapping):
            raise TypeError(
                f"an item must be a mapping of tensors, arrays or numbers, got a {type(data).__name__}"
            )
        columns = self._columns or self._made_columns({name: _spec_of(name, data[name]) for name in data})
        if data.keys() != columns.keys():
            missing, unknown = columns.keys() - data.keys(), data.keys() - columns.keys()
            raise ValueError(
                f"an item must have exactly the keys {list(columns)}, as all in the buffer; "
                f"missing: {sorted(missing)}, unknown: {sorted(unknown, key=str)}"
            )
        # All of them before the first is written: a refused item leaves no trace.
        ready = [column.fitted(data[name]) for name, column in columns.items()]
        ends = any(data[name] for name in self._episode_end)
        self._columns = columns
        slot = self._head
        if self._count == self._max_size:
            self._count -= 1  # whatever interrupts the writing, the oldest item is never half of another
        for column, value in zip(columns.values(), ready, strict=True):
            column.rows[slot] = value
        self._run += 1
        self._run_of_slot[slot] = self._run
        if ends:
            self._run = 0
        self._head = slot + 1 if slot + 1 < self._max_size else 0
        self._count += 1

    @override
    def break_sequence(self) -> None:
        """Let no sequence cross from the items so far to the next one."""
        self._run = 0

    def sample(self, batch_size: int, *, device: torch.device | str | None = None) -> dict[str, Tensor]:
        r"""Draw items uniformly, with replacement.

        Args:
            batch_size: B, how many, at least 1.
            device: Where the batch is wanted; where the columns lie by default.

        Returns:
            Shape (B, \*item shape) for each column; a copy.

        Raises:
            ValueError: If nothing is held.
        """
        batch_size = _checks.count("batch_size", batch_size, least=1, unit="item")
        if not self._count:
            raise ValueError(
                "an empty buffer has nothing to sample; wait for data, by min_buffer_size of a trainer"
            )
        if self.is_full:  # then any slot will do
            slots = torch.randint(self._max_size, (batch_size,), generator=self._generator, device=_CPU)
        else:
            slots = self._slots(self._drawn(batch_size, 0))
        return self._gather(slots, (batch_size,), device)

    def sample_sequences(
        self, batch_size: int, length: int, *, device: torch.device | str | None = None
    ) -> dict[str, Tensor]:
        r"""Draw runs of items that follow each other, uniformly of all that are held, with replacement.

        None crosses an episode's end, a pause, a restart or a gap; they may overlap.

        Args:
            batch_size: B, how many, at least 1.
            length: T, how many items each has, at least 1.
            device: Where the batch is wanted; where the columns lie by default.

        Returns:
            Shape (B, T, \*item shape) for each column, the oldest item first; a copy.

        Raises:
            ValueError: If no sequence is as long.
        """
        batch_size = _checks.count("batch_size", batch_size, least=1, unit="sequence")
        length = _checks.count("length", length, least=1, unit="item")
        ends = self._drawn_ends(batch_size, length)
        window = ends[:, None] + torch.arange(1 - length, 1, device=_CPU)
        return self._gather(self._slots(window.view(-1)), (batch_size, length), device)

    def latest(self, n: int) -> dict[str, Tensor]:
        r"""Return the newest items in the order in which they came.

        Args:
            n: How many, at least 1.

        Returns:
            Shape (n, \*item shape) for each column; a copy.

        Raises:
            ValueError: If fewer are held.
        """
        n = _checks.count("n", n, least=1, unit="item")
        if n > self._count:
            raise ValueError(
                f"the latest {n} items were asked for, the buffer holds {self._count}; wait for more, by "
                "min_buffer_size of a trainer, or ask for fewer"
            )
        return self._newest(n)

    @override
    def get_data(self) -> dict[str, Tensor]:
        r"""Return all that is held, oldest first: shape (len, \*item shape) for each column; a copy."""
        return self._newest(self._count)

    @override
    def state_dict(self) -> dict[str, Any]:
        """All items as they lie in their slots, what follows what, and the random generator; a copy."""
        state = self._state()
        columns = {name: rows.clone() for name, rows in state["columns"].items()}
        return {**state, "columns": columns, "runs": state["runs"].clone()}

    @override
    def save_state(self, path: Path) -> None:
        # The codec copies what it is given, while the threads of a system stand still: once is enough.
        codec.save(self._state(), path)

    def _state(self) -> dict[str, Any]:
        oldest = self._oldest()
        used = min(oldest + self._count, self._max_size)
        return {
            "columns": {name: column.data[:used] for name, column in self._columns.items()},
            "runs": self._runs[:used],
            "run": self._run,
            "oldest": oldest,
            "count": self._count,
            "random": self._generator.get_state(),
        }

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the items, of more than ``max_size`` the newest, and the random generator.

        Raises:
            ValueError: If the columns are others, or the state is damaged. Nothing has changed then.
        """
        keys = {"columns", "runs", "run", "oldest", "count", "random"}
        _checks.state_keys(type(self).__name__, state, keys)
        columns, runs = state["columns"], state["runs"]
        oldest, count = int(state["oldest"]), int(state["count"])
        lengths = {name: len(rows) for name, rows in columns.items()}
        if set(lengths.values()) - {len(runs)} or (count and not lengths) or not 0 <= count <= len(runs):
            raise ValueError(
                f"a saved {type(self).__name__} with {count} items in {len(runs)} slots must have as many slots "
                f"in each column, got {lengths}; the state is damaged"
            )
        specs: dict[str, Spec] = {name: (tuple(rows.shape[1:]), rows.dtype) for name, rows in columns.items()}
        own = {name: column.spec for name, column in self._columns.items()}
        if own and specs and own != specs:
            raise ValueError(
                f"the buffer has the columns {own}, the saved one had {specs}; make it with the columns of then"
            )
        generator = torch.Generator()
        generator.set_state(state["random"])
        if specs and not own:
            self._columns = self._made_columns(specs)
        self._generator = generator
        self._run = int(state["run"])
        self._count = min(count, self._max_size)
        newest = (oldest + torch.arange(count - self._count, count, device=_CPU)) % max(len(runs), 1)
        # Where they were: a full ring draws slots, and the same ones must hold the same items.
        first = oldest if count == self._max_size else 0
        self._head = (first + self._count) % self._max_size
        slots = (first + torch.arange(self._count, device=_CPU)) % self._max_size
        self._runs[slots] = runs[newest]
        for name, rows in columns.items():
            self._columns[name].data[slots] = rows[newest].to(self._device)

    def _made_columns(self, specs: Mapping[str, Spec]) -> dict[str, _Column]:
        for name in specs:
            _checks.instance("the name of a column must be", name, str)
        if not specs:
            raise ValueError("a tensor ring buffer needs at least one column, got none; give items with a key")
        for name in self._episode_end:
            if name not in specs:
                raise ValueError(
                    f"episode_end names the column {name!r}, which is not there; there are {list(specs)}"
                )
            shape, _ = specs[name]
            if math.prod(shape) != 1:
                raise ValueError(
                    f"episode_end names the column {name!r} of the shape {shape}; "
                    "what ends an episode is one value for each item"
                )
        return {name: _Column(name, spec, self._max_size, self._device) for name, spec in specs.items()}

    def _drawn(self, n: int, first: int) -> Tensor:
        """Draw n of the items from the ``first``-th held one on, as positions: slots counted on past the end."""
        oldest = self._oldest()
        return torch.randint(oldest + first, oldest + self._count, (n,), generator=self._generator, device=_CPU)

    def _oldest(self) -> int:
        return (self._head - self._count) % self._max_size

    def _slots(self, positions: Tensor) -> Tensor:
        wraps = self._oldest() + self._count > self._max_size
        return positions.remainder(self._max_size) if wraps else positions

    def _drawn_ends(self, n: int, length: int) -> Tensor:
        """Draw the positions of the last items of n windows: any positions, and keep those that are one."""
        kept: list[Tensor] = []
        missing, tries = n, n
        # Four times as many each time, until it is less to look at every item once.
        while missing > 0 and length <= self._count and tries <= max(self._count, n):
            positions = self._drawn(tries, length - 1)
            is_end = self._runs.index_select(0, self._slots(positions)) >= length
            kept.append(positions[is_end][:missing])
            missing, tries = missing - len(kept[-1]), 4 * tries
        if missing > 0:
            ends = self._ends(length)
            kept.append(ends[torch.randint(len(ends), (missing,), generator=self._generator, device=_CPU)])
        return kept[0] if len(kept) == 1 else torch.cat(kept)

    def _ends(self, length: int) -> Tensor:
        """Return the positions at which a window of a length ends; refuse if there is none."""
        runs = self._in_order(self._runs, self._count)
        ends = (runs[length - 1 :] >= length).nonzero().view(-1)
        if not len(ends):
            # Of a sequence that lost its first items only what is held counts.
            held = torch.minimum(runs, torch.arange(1, self._count + 1, device=_CPU))
            longest = int(held.max()) if self._count else 0
            raise ValueError(
                f"there is no sequence of {length} items: the longest without an episode's end, a pause, a "
                f"restart or a gap has {longest}; wait for more data, or ask for shorter ones"
            )
        return ends + (self._oldest() + length - 1)

    def _gather(
        self, slots: Tensor, shape: tuple[int, ...], device: torch.device | str | None
    ) -> dict[str, Tensor]:
        if self._device.type != "cpu":
            slots = slots.to(self._device)
        batch = {}
        for name, column in self._columns.items():
            data = column.data
            if self._pin_memory:
                rows = torch.empty((len(slots), *data.shape[1:]), dtype=data.dtype, pin_memory=True, device=_CPU)
                torch.index_select(data, 0, slots, out=rows)
            else:
                rows = data.index_select(0, slots)
            if len(shape) > 1:
                rows = rows.view(*shape, *data.shape[1:])
            batch[name] = rows if device is None else rows.to(device, non_blocking=self._pin_memory)
        return batch

    def _newest(self, n: int) -> dict[str, Tensor]:
        return {name: self._in_order(column.data, n) for name, column in self._columns.items()}

    def _in_order(self, data: Tensor, n: int) -> Tensor:
        """Copy the rows of the n newest items, oldest first."""
        first = self._head - n
        if first >= 0:
            return data[first : self._head].clone()
        return torch.cat((data[first % self._max_size :], data[: self._head]))


class _Column:
    """One preallocated tensor, and what may be put into a row of it."""

    def __init__(self, name: str, spec: Spec, size: int, device: torch.device) -> None:
        self.spec = spec
        self._name = name
        self._shape, self._dtype = spec
        # Not zeros: pages that nothing was written to take up no memory.
        self.data = torch.empty((size, *self._shape), dtype=self._dtype, device=device)
        # numpy writes a row in a fraction of the time that torch takes; it has no bfloat16, and no devices.
        self._by_numpy = device.type == "cpu" and self._dtype in _NUMPY_DTYPES
        self.rows: Any = self.data.numpy() if self._by_numpy else self.data
        fitting = {d for d in (*_NUMPY_DTYPES, torch.bfloat16, self._dtype) if _fits(d, self._dtype)}
        self._fitting = frozenset((*fitting, *(_NUMPY_DTYPES[d] for d in fitting if d in _NUMPY_DTYPES)))
        kinds = {bool: torch.bool, int: torch.int64, float: torch.float64}
        self._numbers = {kind for kind, like in kinds.items() if _rank(like) <= _rank(self._dtype)}
        self._least, self._most = _range(self._dtype)

    def fitted(self, value: Any) -> Any:
        """Return what can be assigned to a row; refuse what does not fit."""
        if type(value) in self._numbers and not self._shape:
            # What is neither NaN nor infinite must be in range.
            if self._least <= value <= self._most or value - value != 0:
                return value
            raise ValueError(self._refusal(value, "give columns= with a wider dtype"))
        if isinstance(value, Tensor) and value.shape == self._shape and value.dtype in self._fitting:
            if value.requires_grad:
                value = value.detach()
            return self._as_array(value) if self._by_numpy else value
        if isinstance(value, np.ndarray) and value.shape == self._shape and value.dtype in self._fitting:
            return value if self._by_numpy else torch.from_numpy(value.copy())
        for kinds, kind, _ in _NUMBERS:
            if isinstance(value, kinds) and type(value) is not kind:  # numpy's scalars, enums
                return self.fitted(kind(value))
        raise self._misfit(value)

    def _as_array(self, value: Tensor) -> np.ndarray[Any, Any]:
        try:
            return value.numpy()
        except (TypeError, RuntimeError):  # on a device, conjugate, or of a dtype that numpy lacks
            plain = torch.empty(self._shape, dtype=self._dtype, device=_CPU)
        try:
            return plain.copy_(value).numpy()
        except RuntimeError as error:
            raise TypeError(self._refusal(value, f"{error}; give a dense tensor")) from error

    def _misfit(self, value: Any) -> Exception:
        try:
            shape, _ = _spec_of(self._name, value)
        except TypeError as error:
            return error
        if shape != self._shape:
            remedy = "all items of a buffer have the same shapes: pad or reshape it, or use another buffer"
            return ValueError(self._refusal(value, remedy))
        return TypeError(self._refusal(value, "convert it, or give columns= with a dtype that holds both"))

    def _refusal(self, value: Any, remedy: str) -> str:
        is_number = isinstance(value, bool | int | float)
        got = repr(value) if is_number else _described(_spec_of(self._name, value))
        return f"the column {self._name!r} holds {_described(self.spec)}, got {got}; {remedy}"


def _described(spec: Spec) -> str:
    shape, dtype = spec
    return f"{str(dtype).removeprefix('torch.')} of the shape {shape}"


def _given_spec(name: str, spec: Any) -> Spec:
    is_pair = isinstance(spec, tuple) and len(spec) == 2
    if not (is_pair and isinstance(spec[0], tuple) and isinstance(spec[1], torch.dtype)):
        raise TypeError(
            f"the column {name!r} must be given as (shape, dtype), as ((3,), torch.float32), got {spec!r}"
        )
    shape, dtype = spec
    return tuple(_checks.count(f"a dimension of the column {name!r}", n) for n in shape), dtype


def _spec_of(name: str, value: Any) -> Spec:
    """Return the shape and dtype of the column that a value makes."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, np.ndarray) and value.dtype in _TORCH_DTYPES:
        return value.shape, _TORCH_DTYPES[value.dtype]
    for kinds, _, dtype in _NUMBERS:
        if isinstance(value, kinds):
            return (), torch.get_default_dtype() if dtype is None else dtype
    got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"{value!r:.80}"
    raise TypeError(
        f"the column {name!r} can hold tensors, arrays of numbers, or real numbers, got {got}; convert it first"
    )


def _rank(dtype: torch.dtype) -> int:
    """Booleans below integers below floats below complex numbers."""
    if dtype is torch.bool:
        return 0
    return 3 if dtype.is_complex else 2 if dtype.is_floating_point else 1


def _fits(source: torch.dtype, target: torch.dtype) -> bool:
    """Whether no value of one dtype is lost in another, but for the precision of floats."""
    if _rank(source) != 1 or _rank(target) != 1:
        return _rank(source) <= _rank(target)
    return _range(target)[0] <= _range(source)[0] and _range(source)[1] <= _range(target)[1]


def _range(dtype: torch.dtype) -> tuple[float, float]:
    """The least and the greatest finite number of a dtype."""
    if dtype is torch.bool:
        return 0, 1
    info = torch.finfo(dtype) if _rank(dtype) > 1 else torch.iinfo(dtype)
    return info.min, info.max
