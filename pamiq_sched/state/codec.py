"""Write Python values as JSON and safetensors, and read them back equal.

No pickle: reading runs no code, and what cannot be written is refused by its path in the value. JSON holds
the structure; each tensor and array in it is a reference into a safetensors file beside it. Tuples, integer
keys, bytes, sets and non-finite floats are tagged so that they come back as what they were. Any thread.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError, numpy as safetensors_numpy

from pamiq_sched import _checks
from pamiq_sched.state import tables
from pamiq_sched.state.files import FileRecord, FileSystem, write_file

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 1

T = TypeVar("T")

Write = Callable[[FileSystem], dict[Path, FileRecord]]
"""Writes one value out, on the disk when it returns, and tells what each of its files holds."""

# The writes that save() puts off in this context, if it does.
_deferred: ContextVar[deque[Write] | None] = ContextVar("_deferred", default=None)


class _Encoder:
    """One walk over a value; collects the tensors that it meets."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}

    def encode(self, value: object, path: str) -> Any:  # noqa: PLR0911 - one for each kind
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if type(value) is list:
            return self._list(value, path)
        if type(value) in (dict, OrderedDict):
            return self._dict(value, path)  # type: ignore[arg-type]
        if type(value) in (tuple, set, frozenset):
            items = value if type(value) is tuple else sorted(value, key=repr)  # type: ignore[call-overload]
            return {f"${type(value).__name__}": [self.encode(v, f"{path}[{i}]") for i, v in enumerate(items)]}
        if type(value) is deque:
            items = [self.encode(v, f"{path}[{i}]") for i, v in enumerate(value)]
            return {"$deque": items, "maxlen": value.maxlen}
        if type(value) in (bytes, bytearray):
            return {f"${type(value).__name__}": base64.b64encode(value).decode()}  # type: ignore[arg-type]
        if type(value) is Counter:
            return {"$counter": self._pairs(value, path)}
        if type(value) is np.ndarray or isinstance(value, np.generic):
            return self._array(value, path)
        if _is_tensor(value):
            return self._tensor(value, path)
        raise TypeError(
            f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which a state cannot hold without "
            "pickle; keep numbers, strings, bytes, lists, tuples, dicts, sets, arrays and tensors instead"
        )

    def _list(self, value: list[object], path: str) -> Any:
        if len(value) > 1 and _is_tensor(value[0]) and value[0].numel() and _are_alike(value):  # type: ignore[attr-defined]
            # A column of a buffer: one tensor instead of thousands, each with a header of its own.
            import torch  # noqa: PLC0415 - see _is_tensor

            return {"$stack": self._tensor(torch.stack([v.detach() for v in value]), path)["$tensor"]}  # type: ignore[attr-defined]
        return [self.encode(v, f"{path}[{i}]") for i, v in enumerate(value)]

    def _dict(self, value: dict[object, object], path: str) -> Any:
        if all(type(k) is str and not k.startswith("$") for k in value):
            return {k: self.encode(v, f"{path}.{k}") for k, v in value.items()}
        return {"$dict": self._pairs(value, path)}

    def _pairs(self, value: Mapping[Any, object], path: str) -> list[list[Any]]:
        return [[self.encode(k, f"a key of {path}"), self.encode(v, f"{path}[{k!r}]")] for k, v in value.items()]

    def _array(self, value: np.ndarray[Any, Any] | np.generic, path: str) -> Any:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(
                f"{path} is an array of {array.dtype}, which safetensors cannot hold; "
                "keep booleans, integers or floats of at most 64 bits"
            )
        name = str(len(self.arrays))
        # A fresh contiguous copy in native byte order: the caller goes on changing its own. safetensors has
        # no arrays without axes, so the shape is kept beside it.
        self.arrays[name] = np.array(array, dtype=array.dtype.newbyteorder("="), order="C").reshape(-1)
        tag = "$scalar" if isinstance(value, np.generic) else "$array"
        return {tag: name, "shape": list(array.shape)}

    def _tensor(self, value: Any, path: str) -> dict[str, str]:
        kind = _kind_without_plain_numbers(value)
        if kind:
            raise TypeError(f"{path} is a tensor that is {kind}, which safetensors cannot hold; keep a plain one")
        name = str(len(self.tensors))
        # Cloned: the caller goes on changing its own, and safetensors refuses tensors that share memory.
        self.tensors[name] = value.detach().cpu().clone().contiguous()
        return {"$tensor": name}


def _is_tensor(value: object) -> bool:
    # Without importing torch: it costs seconds, and where it is not loaded there can be no tensor.
    return any(c.__module__ == "torch" and c.__name__ == "Tensor" for c in type(value).__mro__)


def _kind_without_plain_numbers(tensor: Any) -> str:
    """What keeps a tensor from being written; empty if nothing does."""
    import torch  # noqa: PLC0415 - see _is_tensor

    if torch.nn.parameter.is_lazy(tensor):
        return "not initialized yet"
    if tensor.is_meta:
        return "on the meta device"
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "sparse or nested"
    if str(tensor.dtype).removeprefix("torch.") not in tables.DTYPES:
        return f"of {tensor.dtype}"
    return ""


def _are_alike(tensors: list[Any]) -> bool:
    if not all(_is_tensor(t) and not _kind_without_plain_numbers(t) for t in tensors):
        return False
    first = tensors[0]
    return all(t.shape == first.shape and t.dtype == first.dtype and t.device == first.device for t in tensors)


def encode(value: object) -> tuple[Any, dict[str, torch.Tensor], dict[str, np.ndarray[Any, Any]]]:
    """Turn a value into a JSON structure and the tensors and arrays that it refers to.

    Tensors and arrays are copied, so that the value may change afterwards. A tensor loses its device and
    whether it wants gradients; an OrderedDict becomes a dict.

    Returns:
        The structure, the tensors by reference, the arrays by reference.

    Raises:
        TypeError: Naming the path of a part that cannot be written.

    Example:
        >>> encode({"lr": 0.1, "betas": (0.9, 0.999)})[0]
        {'lr': 0.1, 'betas': {'$tuple': [0.9, 0.999]}}
    """
    encoder = _Encoder()
    return encoder.encode(value, "state"), encoder.tensors, encoder.arrays


def decode(structure: Any, tensors: dict[str, torch.Tensor], arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Turn what :func:`encode` returned back into the value.

    Raises:
        ValueError: If the structure has an unknown tag or refers to a tensor that is not there.
    """
    return _decode(structure, dict(tensors), dict(arrays))


def _decode(structure: Any, tensors: dict[str, torch.Tensor], arrays: dict[str, np.ndarray[Any, Any]]) -> Any:  # noqa: PLR0911 - one for each tag
    if isinstance(structure, list):
        return [_decode(v, tensors, arrays) for v in structure]
    if not isinstance(structure, dict):
        return structure
    tag = next(iter(structure), "")
    if not tag.startswith("$"):
        return {k: _decode(v, tensors, arrays) for k, v in structure.items()}
    content = structure[tag]
    if tag == "$tensor":
        return _referred(tensors, content)
    if tag == "$stack":
        stack = _referred(tensors, content)
        if not stack.numel():  # which is never written: a few bytes could claim any number of empty tensors
            raise ValueError(f"the stack {content!r} of a state is empty; the state is damaged")
        return list(stack.unbind())
    if tag in ("$array", "$scalar"):
        array = _referred(arrays, content).reshape(structure["shape"])
        return array[()] if tag == "$scalar" else array
    if tag in ("$dict", "$counter"):
        pairs = {_decode(k, tensors, arrays): _decode(v, tensors, arrays) for k, v in content}
        return Counter(pairs) if tag == "$counter" else pairs
    if tag == "$deque":
        return deque((_decode(v, tensors, arrays) for v in content), maxlen=structure["maxlen"])
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](_decode(v, tensors, arrays) for v in content)
    if tag in _BYTES:
        return _BYTES[tag](base64.b64decode(content))
    if tag == "$float":
        return float(content)
    raise ValueError(f"unknown tag {tag!r} in a state; it was saved by another version, or is damaged")


_SEQUENCES: dict[str, Callable[[Any], Any]] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}
_BYTES: dict[str, Callable[[bytes], Any]] = {"$bytes": bytes, "$bytearray": bytearray}


def _referred(table: dict[str, Any], name: str) -> Any:
    if name not in table:
        raise ValueError(f"the state refers to tensor {name!r}, which is not in its safetensors file")
    # Each is referred to once; a few bytes could claim any number of stacks of the same tensor.
    return table.pop(name)


@contextmanager
def deferring() -> Iterator[deque[Write]]:
    """Let :func:`save` copy within the block and write later: a copy takes a fraction of the time of a write.

    Yields:
        The writes, in order; each holds its copy until it is let go, and raises what :func:`save` would have.
    """
    writes: deque[Write] = deque()
    token = _deferred.set(writes)
    try:
        yield writes
    finally:
        _deferred.reset(token)


def save(value: object, path: Path) -> None:
    """Write a value as ``path.json`` and, where it has any, tensors and arrays beside it.

    While a system saves itself, the value is copied here and written when the threads run again.

    Args:
        value: See :func:`encode`.
        path: Without an ending; its parent exists.

    Raises:
        TypeError: Naming the path of a part that cannot be written; nothing is written then.
        OSError: If the disk refuses.
    """
    write = partial(_write, path, *encode(value))
    writes = _deferred.get()
    if writes is None:
        write(FileSystem(), durable=False)
    else:
        writes.append(write)


def _write(
    path: Path,
    structure: Any,
    tensors: dict[str, torch.Tensor],
    arrays: dict[str, np.ndarray[Any, Any]],
    files: FileSystem,
    *,
    durable: bool = True,
) -> dict[Path, FileRecord]:
    contents: dict[Path, Iterator[bytes | memoryview]] = {}
    if tensors:
        columns = {name: tables.column_of_tensor(tensor) for name, tensor in tensors.items()}
        contents[_beside(path, ".safetensors")] = tables.pieces(columns)
    if arrays:
        columns = {name: tables.column_of_array(array) for name, array in arrays.items()}
        contents[_beside(path, ".arrays.safetensors")] = tables.pieces(columns)
    document = {"format": FORMAT_VERSION, "value": structure, "tensors": len(tensors), "arrays": len(arrays)}
    contents[_beside(path, ".json")] = _json(document)
    return {file: write_file(files, file, content, durable=durable) for file, content in contents.items()}


def _json(document: object) -> Iterator[bytes]:
    # Not dumps(): in one piece, a long document would hold the GIL, and with it the agent.
    texts = json.JSONEncoder(allow_nan=False).iterencode(document)
    while piece := "".join(islice(texts, 4096)):
        yield piece.encode()


# What comes of values that were never written.
_DAMAGES = (ArithmeticError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def load(path: Path) -> Any:
    """Read back what :func:`save` wrote; tensors arrive on the CPU.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it was written by another version or is damaged.
    """
    document, tensors, arrays = _read(path)
    try:
        return decode(document["value"], tensors, arrays)
    except _DAMAGES as error:
        raise ValueError(f"{_beside(path, '.json')} is damaged: {error!r}") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, np.ndarray[Any, Any]]]:
    try:
        document = json.loads(_beside(path, ".json").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{_beside(path, '.json')} is not a state: {error}") from error
    version = document.get("format") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{_beside(path, '.json')} must have format {FORMAT_VERSION}, got {version!r}")
    _checks.state_keys(str(_beside(path, ".json")), document, {"format", "value", "tensors", "arrays"})
    tensors: dict[str, torch.Tensor] = {}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    if document["tensors"]:
        import safetensors.torch as safetensors_torch  # noqa: PLC0415 - see _is_tensor

        # Copied: what is read is mapped to the file, and would change, or crash the process, with it.
        mapped = _read_table(safetensors_torch.load_file, _beside(path, ".safetensors"))
        tensors = {name: tensor.clone() for name, tensor in mapped.items()}
    if document["arrays"]:
        arrays = _read_table(safetensors_numpy.load_file, _beside(path, ".arrays.safetensors"))
    return document, tensors, arrays


def _read_table(load_file: Callable[[Path], dict[str, T]], file: Path) -> dict[str, T]:
    try:
        return load_file(file)
    except (SafetensorError, *_DAMAGES) as error:
        raise ValueError(f"{file} is damaged: {error}") from error


def _beside(path: Path, ending: str) -> Path:
    # Not with_suffix(): a name may have a dot of its own.
    return path.with_name(path.name + ending)
