"""A directory made by an enemy, with checksums that are right: nothing is run, nothing read outside of it.

The cases of a test are loaded in a process of their own, which reports what became of each.
"""

import hashlib
import json
import os
import pickle
import resource
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pamiq_sched import BestStatesKeeper, StateStore, latest_state
from pamiq_sched.state import StateDictMixin
from tests.state.disks import OwnFiles, WatchedDisk, end, make_keeper, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and has files of special kinds")

DEEP = 100_000


class Anything(StateDictMixin):
    """Takes over whatever it is given, so that all refusals are the package's own."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"tensor": torch.ones(3), "array": np.ones(3)}

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def make_store(states_dir: Path) -> StateStore:
    store = StateStore(states_dir, files=WatchedDisk())
    store.register("any", Anything())
    store.register("own", OwnFiles(3))
    return store


class Lair:
    """A directory of states with one state that was saved, and a secret outside."""

    def __init__(self, folder: Path) -> None:
        self.states_dir = folder / "states"
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.secret = self.outside / "secret.json"
        self.secret.write_text('{"format": 1, "value": "the secret", "tensors": 0, "arrays": 0}')
        self.marker = folder / "marker"
        self.state = make_store(self.states_dir).save_state()

    def sign(self, **changes: Any) -> None:
        """Write a manifest of what is there now, with changes, and the checksum that belongs to it."""
        document = json.loads((self.state / "manifest.json").read_text())
        inner = {str(path.relative_to(self.state)): path for path in self.state.rglob("*")}
        document["directories"] = [name for name, path in inner.items() if path.is_dir()]
        document["files"] = {
            name: record_of(path)
            for name, path in inner.items()
            if path.is_file() and not name.startswith("manifest.json")
        }
        document.update(changes)
        self.sign_text(json.dumps(document).encode())

    def sign_text(self, text: bytes) -> None:
        (self.state / "manifest.json").write_bytes(text)
        self.sum(hashlib.sha256(text).hexdigest())

    def sum(self, digest: str) -> None:
        (self.state / "manifest.json.sha256").write_text(f"{digest}  manifest.json\n")

    def text_with(self, field: str, text: str) -> None:
        """Sign a manifest in which a field is written as a text that no value would give."""
        document = json.loads((self.state / "manifest.json").read_text())
        document[field] = "HERE"
        self.sign_text(json.dumps(document).replace('"HERE"', text).encode())

    def replace(self, name: str, content: bytes) -> None:
        (self.state / name).write_bytes(content)
        self.sign()

    def value(self, value: Any) -> None:
        """Have the component hold a value, as the codec writes it."""
        self.text(json.dumps(value))

    def text(self, value: str) -> None:
        self.replace("any.json", f'{{"format": 1, "value": {value}, "tensors": 1, "arrays": 1}}'.encode())

    def table(self, header: Any, data: bytes = b"", *, length: int | None = None, arrays: bool = False) -> None:
        """Have the component hold one tensor, or array, as a header tells."""
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        content = struct.pack("<Q", len(text) if length is None else length) + text + data
        if arrays:
            self.value({"$array": "0", "shape": [3]})
        else:
            self.value({"$tensor": "0"})
        self.replace("any.arrays.safetensors" if arrays else "any.safetensors", content)

    def bomb(self) -> bytes:
        """A pickle that makes the marker where it is loaded."""
        return pickle.dumps(Bomb(self.marker))


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def record_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def lair(quick_path: Path) -> Iterator[Lair]:
    yield Lair(quick_path)
    # No removal of this library's: it would call itself for each level.
    subprocess.run(["/bin/rm", "-rf", str(quick_path)], check=True)
    quick_path.mkdir()


def load(lair: Lair) -> object:
    return make_store(lair.states_dir).load_state(lair.state)


def outcomes(
    lair: Lair, preparations: dict[str, Callable[[], object]], action: Callable[[Lair], object] = load
) -> dict[str, str]:
    """Do something after each preparation, in another process; return the errors that it ended with, if any.

    Fails if one takes two seconds, if all of them take 64 MB, or if one opens anything but the states and what it
    needs to run.
    """

    def watched(report: int, gate: int) -> None:
        opened: list[str] = []
        sys.addaudithook(partial(_note, opened, lair))
        kept = shutil.copytree(lair.states_dir, lair.states_dir.with_name(f"kept-{os.getpid()}"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, prepare in preparations.items():
            prepare()
            opened.clear()
            began = time.monotonic()
            try:
                action(lair)
                error = ""
            except (OSError, ValueError) as refusal:
                error = f"{type(refusal).__name__}: {refusal}"
            took = time.monotonic() - began
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
            told = [name, error[:1000], took, grown, opened]
            os.write(report, json.dumps(told).encode() + b"\n")
            if len(preparations) > 1:
                shutil.rmtree(lair.states_dir)
                shutil.copytree(kept, lair.states_dir)

    found = {}
    for line in end(*start(watched)).splitlines():
        name, error, took, grown, opened = json.loads(line)
        assert opened == [], name
        assert took < 2.0, name
        assert grown < 64, name
        found[name] = error
    assert not lair.marker.exists(), "something was run"
    assert len(found) == len(preparations)
    return found


def _note(opened: list[str], lair: Lair, event: str, arguments: tuple[Any, ...]) -> None:
    """Take note of what is opened or run, unless it is the states or needed to run."""
    if event in ("pickle.find_class", "os.system", "subprocess.Popen"):
        opened.append(event)
    elif event in ("open", "os.scandir", "os.listdir") and isinstance(arguments[0], str | bytes | Path):
        path = os.fsdecode(arguments[0])
        needed = (f"{tempfile.gettempdir()}/pamiq-sched-", sys.prefix, sys.base_prefix)
        # A name alone is one in a directory that was opened before.
        if (
            "/" in path
            and len(path) < 300
            and not os.path.realpath(path).startswith((str(lair.states_dir), *needed))
        ):
            opened.append(f"{event} {path}")


def refusals(lair: Lair, table: dict[str, Any], prepare: Callable[[Any], object]) -> dict[str, str]:
    """Load a state for each value of a table; each has to be refused."""
    found = outcomes(lair, {name: partial(prepare, value) for name, value in table.items()})
    assert [name for name, said in found.items() if not said] == []
    return found


def test_a_state_that_is_signed_anew_is_loaded(lair):
    """What is refused below is the change, not the signature."""
    assert outcomes(lair, {"": lair.sign}) == {"": ""}


# Paths.

NAMES = {
    "up": "../../outside/secret.json",
    "absolute": "/etc/passwd",
    "up from within": "own/../../../outside/secret.json",
    "here": "./any.json",
    "empty": "",
    "empty part": "own//number.txt",
    "null": "any\0.json",
}
HARMLESS = {"backslashes": "..\\..\\outside\\secret.json", "long": "x" * 100_000, "surrogate": "\ud800"}
"""Names of files that are not there."""


def test_a_file_outside_is_refused(lair):
    record = record_of(lair.secret)
    said = refusals(lair, NAMES, lambda name: lair.sign(files={name: record}))
    assert all("must lead into it" in text for text in said.values())
    said = refusals(lair, HARMLESS, lambda name: lair.sign(files={name: record}))
    assert all("any.json" in text for text in said.values())


def test_a_directory_outside_is_refused(lair):
    said = refusals(lair, NAMES, lambda name: lair.sign(directories=[name]))
    assert all("must lead into it" in text for text in said.values())
    refusals(lair, HARMLESS, lambda name: lair.sign(directories=[name]))


def test_a_component_outside_is_refused(lair):
    names = NAMES | {"dot": ".", "dots": "..", "slash": "own/inner", "backslashes": "..\\x"}
    said = refusals(lair, names, lambda name: lair.sign(components=["any", "own", name]))
    assert all("a component's name becomes a file name" in text for text in said.values())


# Fields of the manifest.

HUGE = "9" * DEEP
FIELDS = {
    "number": [-1, 1.5, "1", None, True, [], 10**4000, 1 << 63],
    "saved_at": [1, None, [], {}],
    "crashed": [0, 1, "no", None, []],
    "components": [{}, "any", None, [1], [None], [["any"]], [{}]],
    "failed": [[], "any", None, 0],
    "about": [[], "x", None, 0],
    "directories": [{}, "own", None, [1], [["own"]], [None]],
    "files": [
        [],
        "any.json",
        None,
        {"any.json": 5},
        {"any.json": []},
        {"any.json": {}},
        *({"any.json": {"size": size, "sha256": ""}} for size in (-1, 1.5, "1", None, True, [], 1 << 80)),
        *({"any.json": {"size": 1, "sha256": digest}} for digest in (1, None, [], {}, "\ud800", "x" * 100_000)),
        {"any.json": {"size": 1, "sha256": "", "path": "/etc/passwd"}},
    ],
    "unknown": [1],
}


def test_a_field_of_another_kind_is_refused(lair):
    table = {f"{field}: {value!r:.80}": {field: value} for field, values in FIELDS.items() for value in values}
    refusals(lair, table, lambda change: lair.sign(**change))


def test_a_field_that_is_deep_or_long_is_refused(lair):
    texts = {"lists": "[" * DEEP + "]" * DEEP, "objects": '{"a":' * DEEP + "1" + "}" * DEEP, "long": HUGE}
    fields = ("format", "number", "about", "files", "components", "failed")
    table = {f"{field}: {kind}": (field, text) for field in fields for kind, text in texts.items()}
    said = refusals(lair, table, lambda case: lair.text_with(*case))
    assert all("manifest.json" in text for text in said.values())


def test_a_field_that_is_nearly_too_deep_is_refused(lair):
    """It can be read, but perhaps not be told in a message any more."""
    table = {}
    for depth in (100, 300, *range(900, 1000, 20)):
        nested = "[" * depth + "]" * depth
        for field in ("format", "number", "saved_at", "components", "directories"):
            table[f"{field} {depth}"] = (field, nested)
        table[f"a component {depth}"] = ("components", f"[{nested}]")
        table[f"a file {depth}"] = ("files", f'{{"any.json": {nested}}}')
        table[f"a checksum {depth}"] = ("files", f'{{"any.json": {{"size": 1, "sha256": {nested}}}}}')
    refusals(lair, table, lambda case: lair.text_with(*case))


def test_a_manifest_that_is_no_object_is_refused(lair):
    table = {text[:9]: text for text in ("[]", '"x"', "null", "", "\0", f"[{'[],' * 600_000}[]]")}
    table |= {"no UTF-8": "\udcff\udcfe\udcff", "UTF-16": '{"format": 2}'.encode("utf-16").decode("latin-1")}
    said = refusals(lair, table, lambda text: lair.sign_text(text.encode(errors="surrogateescape")))
    assert all("manifest.json" in text for text in said.values())


def test_a_manifest_of_a_gigabyte_is_refused(lair):
    table = {name: lair.state / name for name in ("manifest.json", "manifest.json.sha256")}
    said = refusals(lair, table, lambda path: os.truncate(path, 1 << 30))
    assert all("must have at most" in text for text in said.values())


# What is in the directory.


def test_a_state_with_very_many_files_more_is_refused(lair):
    def add():
        for i in range(30_000):
            os.mknod(lair.state / str(i))

    assert "were not saved with it" in outcomes(lair, {"": add})[""]


def make_deep(directory: Path, depth: int) -> None:
    """Make directories in directories, below what a path can name if they are very many."""
    at = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


def test_directories_in_directories_in_directories_are_refused(lair):
    """A call for each level would end in an error of another kind."""
    assert outcomes(lair, {"": partial(make_deep, lair.state, 1100)})[""] != ""


def test_an_enormous_file_is_refused_by_its_size(lair):
    """It is not read for that."""

    def claim() -> None:
        lair.sign()
        document = json.loads((lair.state / "manifest.json").read_text())
        document["files"]["any.safetensors"]["size"] = 1 << 40
        lair.sign_text(json.dumps(document).encode())

    file = lair.state / "any.safetensors"
    said = outcomes(lair, {"is": partial(os.truncate, file, 1 << 40), "claimed": claim})
    assert f"got {1 << 40}" in said["is"]
    assert f"any.safetensors must have {1 << 40} bytes, got" in said["claimed"]


# Files of other kinds.


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # endless zeros
    except PermissionError:  # as which root may, in most places
        os.mkfifo(path)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a link": lambda path: path.symlink_to("../../outside/secret.json"),
    "a link to the system": lambda path: path.symlink_to("/etc/passwd"),
    "a link to a directory": lambda path: path.symlink_to("/etc"),
    "a link to the parent": lambda path: path.symlink_to(".."),
    "a loop": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": make_device,
}


def put(kind: str, path: Path) -> None:
    """Make a special file, in place of what is there."""
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    SPECIAL[kind](path)


def test_what_is_neither_file_nor_directory_is_refused(lair):
    """Wherever it is, and whatever the manifest says that it is."""
    names = ("any.json", "any.safetensors", "own", "own/number.txt", "own/inner", "added", "own/inner/added")
    table = {f"{name} is {kind}": (kind, lair.state / name) for name in names for kind in SPECIAL}
    said = refusals(lair, table, lambda case: put(*case))
    assert [name for name, text in said.items() if name.partition(" ")[0] not in text] == []
    kinds = ("is a symbolic link", "is neither file nor directory", "added was not saved with it")
    assert [name for name, text in said.items() if not any(kind in text for kind in kinds)] == []


def test_a_link_is_refused_though_it_is_signed_as_the_file_that_it_leads_to(lair):
    def put_and_sign() -> None:
        put("a link", lair.state / "any.json")
        lair.sign()

    assert "any.json is a symbolic link" in outcomes(lair, {"": put_and_sign})[""]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sha256"])
def test_a_manifest_that_is_no_file_is_refused(name, lair):
    table = {kind: partial(put, kind, lair.state / name) for kind in SPECIAL}
    found = outcomes(lair, table)
    assert [kind for kind, said in found.items() if "must be a regular file" not in said] == []
    assert outcomes(lair, table, lambda lair: latest_state(lair.states_dir)) == found
    assert set(outcomes(lair, table, lambda lair: latest_state(lair.states_dir, fall_back=True)).values()) == {""}


def save_clean_and_load(lair: Lair) -> None:
    store = make_store(lair.states_dir)
    store.save_state()
    make_keeper(lair.states_dir, WatchedDisk()).cleanup()
    store.load_state("latest")


@pytest.mark.parametrize("name", ["other.state", ".staging-other", ".removing-other", ".hidden"])
def test_what_lies_among_the_states_is_left_alone(name, lair):
    """The next save works, a keeper removes states only, the latest state is one."""

    def act(lair: Lair) -> None:
        save_clean_and_load(lair)
        assert os.path.lexists(lair.states_dir / name)

    table = {kind: partial(put, kind, lair.states_dir / name) for kind in SPECIAL}
    assert set(outcomes(lair, table, act).values()) == {""}


@pytest.mark.parametrize("name", [".staging-other", ".removing-other"])
def test_a_leftover_is_removed_but_not_what_it_leads_to(name, lair):
    def make(kind: str) -> None:
        (lair.states_dir / name).mkdir()
        put(kind, lair.states_dir / name / "x")

    def act(lair: Lair) -> None:
        save_clean_and_load(lair)
        assert not (lair.states_dir / name).exists()

    assert set(outcomes(lair, {kind: partial(make, kind) for kind in SPECIAL}, act).values()) == {""}
    assert lair.secret.exists()
    assert Path("/etc/passwd").exists()


def test_a_deep_leftover_does_not_hinder_the_next_save(lair):
    (lair.states_dir / ".staging-deep").mkdir()
    prepare = partial(make_deep, lair.states_dir / ".staging-deep", 1100)
    assert outcomes(lair, {"": prepare}, save_clean_and_load) == {"": ""}


def test_a_number_that_cannot_be_followed_does_not_hinder_the_next_save(lair):
    prepare = partial(lair.text_with, "number", "9" * 4299)
    assert outcomes(lair, {"": prepare}, save_clean_and_load) == {"": ""}


def test_a_metric_that_is_none_does_not_hinder_a_keeper(lair):
    def choose(lair: Lair) -> None:
        make_store(lair.states_dir).save_state()
        list(BestStatesKeeper(lair.states_dir, lambda: 1.0).select_removal_states())

    metrics = ("1e999", "9" * 4000, "NaN", "-Infinity", '"best"', "[1]", "true", "null")
    table = {text[:9]: partial(lair.text_with, "about", f'{{"metric": {text}}}') for text in metrics}
    assert set(outcomes(lair, table, choose).values()) == {""}


# Pickles.


def test_a_pickle_in_place_of_a_file_is_refused(lair):
    names = ("any.json", "any.safetensors", "any.arrays.safetensors")
    said = refusals(lair, {name: name for name in names}, lambda name: lair.replace(name, lair.bomb()))
    assert [name for name, text in said.items() if name not in text] == []
    assert "manifest.json" in outcomes(lair, {"": lambda: lair.sign_text(lair.bomb())})[""]


def test_a_pickle_beside_the_files_is_not_opened(lair):
    """It was signed, so that the state is whole; nobody asks for it."""
    names = ("any.pkl", "any.pt", "own/number.pkl", "__init__.py", "any.npy", "sitecustomize.py")
    table = {name: partial(lair.replace, name, lair.bomb()) for name in names}
    assert set(outcomes(lair, table).values()) == {""}


def test_the_bomb_goes_off(lair):
    """The test's own tool."""
    pickle.loads(lair.bomb())  # noqa: S301 - what the package never does
    assert lair.marker.exists()


# Values.

VALUES: dict[str, Any] = {
    "unknown tag": {"$pickle": "gASV"},
    "object tag": {"$object": "os.system"},
    "unknown tensor": {"$tensor": "1"},
    "tensor of a list": {"$tensor": []},
    "tensor of a number": {"$tensor": 0},
    "tensor of nothing": {"$tensor": None},
    "array of too many": {"$array": "0", "shape": [1 << 40]},
    "array of far too many": {"$array": "0", "shape": [10**30]},
    "array of fractions": {"$array": "0", "shape": [1.5]},
    "array of no shape": {"$array": "0"},
    "array of a text": {"$array": "0", "shape": "many"},
    "array with a hundred axes": {"$array": "0", "shape": [1] * 100 + [3]},
    "scalar of nine": {"$scalar": "0", "shape": [3, 3]},
    "tensor twice": [{"$tensor": "0"}, {"$tensor": "0"}],
    "array twice": [{"$array": "0", "shape": [3]}, {"$array": "0", "shape": [3]}],
    "deque of too many": {"$deque": [], "maxlen": 10**30},
    "deque of less than none": {"$deque": [], "maxlen": -1},
    "deque of a text": {"$deque": [], "maxlen": "x"},
    "deque without a length": {"$deque": []},
    "deque of a number": {"$deque": 5, "maxlen": 5},
    "tuple of a number": {"$tuple": 5},
    "set of lists": {"$set": [[]]},
    "set of nothing": {"$set": None},
    "bytes of a number": {"$bytes": 5},
    "bytes of anything": {"$bytes": "\u00ff"},
    "bytes cut off": {"$bytes": "A"},
    "float of a list": {"$float": [1]},
    "float of a text": {"$float": "one"},
    "dict of a number": {"$dict": 5},
    "dict of triples": {"$dict": [[1, 2, 3]]},
    "dict with a list as a key": {"$dict": [[[], 1]]},
    "dict with an array as a key": {"$dict": [[{"$array": "0", "shape": [3]}, 1]]},
    "counter of a number": {"$counter": 5},
}
TEXTS = {
    "deep lists": "[" * DEEP + "]" * DEEP,
    "deep tuples": '{"$tuple":[' * DEEP + "]}" * DEEP,
    **{
        f"tuples {depth} deep": '{"$tuple":[' * depth + '{"$no":1}' + "]}" * depth for depth in range(100, 500, 20)
    },
    **{f"lists {depth} deep": "[" * depth + '{"$no":1}' + "]" * depth for depth in range(300, 1000, 20)},
    "long": HUGE,
    "cut off": "[1,",
    "nothing": "",
}
DOCUMENTS = {
    "a list": [],
    "null": None,
    "another format": {"format": 99, "value": 1, "tensors": 0, "arrays": 0},
    "no format": {"value": 1, "tensors": 0, "arrays": 0},
    "no value": {"format": 1, "tensors": 0, "arrays": 0},
    "one more": {"format": 1, "value": 1, "tensors": 0, "arrays": 0, "code": "import os"},
}


def test_a_value_that_is_never_written_is_refused(lair):
    said = refusals(lair, VALUES, lair.value) | refusals(lair, TEXTS, lair.text)
    assert [name for name, text in said.items() if "any.json" not in text] == []


def test_a_document_that_is_never_written_is_refused(lair):
    said = refusals(lair, DOCUMENTS, lambda document: lair.replace("any.json", json.dumps(document).encode()))
    assert [name for name, text in said.items() if "any.json" not in text] == []


def test_a_thousand_stacks_of_one_tensor_are_refused(lair):
    """A file of some kilobytes would become ten million tensors."""

    def prepare() -> None:
        lair.table({"0": {"dtype": "U8", "shape": [10_000], "data_offsets": [0, 10_000]}}, bytes(10_000))
        lair.value([{"$stack": "0"}] * 1000)

    assert "any.json" in outcomes(lair, {"": prepare})[""]


def test_a_stack_of_nothing_is_refused(lair):
    def prepare(shape: list[int]) -> None:
        size = 0 if shape else 4
        lair.table({"0": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}, bytes(size))
        lair.value({"$stack": "0"})

    shapes = {str(shape): shape for shape in ([1 << 40, 0], [1 << 62, 0], [0], [0, 1 << 40], [])}
    assert all("any.json" in said for said in refusals(lair, shapes, prepare).values())


# Headers.


def header(dtype: str = "F32", shape: object = (3,), offsets: object = (0, 12)) -> dict[str, Any]:
    return {"0": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


FINE = header()
HEADERS: dict[str, tuple[Any, bytes, int | None]] = {
    "of a terabyte": (FINE, bytes(12), 1 << 40),
    "of exabytes": (FINE, bytes(12), 1 << 63),
    "of all there is": (FINE, bytes(12), (1 << 64) - 1),
    "of nothing": (FINE, bytes(12), 0),
    "of less": (FINE, bytes(12), 5),
    "a byte more than the file": (FINE, b"", len(json.dumps(FINE)) + 1),
    "just under what is read": (FINE, bytes(12), 99_999_999),
    "a trillion numbers": (header(shape=[10**12]), bytes(12), None),
    "a trillion numbers and offsets": (header(shape=[10**12], offsets=[0, 4 * 10**12]), bytes(12), None),
    "more than can be counted": (header(shape=[1 << 62, 1 << 62]), bytes(12), None),
    "an axis that cannot be counted": (header(shape=[1 << 70]), bytes(12), None),
    "nothing, of an endless axis": (header(shape=[(1 << 64) - 1, 0], offsets=[0, 0]), b"", None),
    "less than none": (header(shape=[-3]), bytes(12), None),
    "offsets behind the end": (header(offsets=[1 << 40, (1 << 40) + 12]), bytes(12), None),
    "offsets the wrong way": (header(offsets=[12, 0]), bytes(12), None),
    "offsets before the begin": (header(offsets=[-12, 0]), bytes(12), None),
    "data that belongs to nobody": (FINE, bytes(24), None),
    "data of two": ({**FINE, "1": FINE["0"]}, bytes(12), None),
    "an unknown dtype": (header("OBJECT"), bytes(12), None),
    "a dtype of quarter bytes": (header("F6_E2M3", [4], [0, 3]), bytes(3), None),
    "fields of other kinds": ({"0": 5}, bytes(12), None),
    "no object": ([], bytes(12), None),
    "deep": (b"[" * DEEP + b"]" * DEEP, b"", None),
    "deep metadata": (b'{"__metadata__":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", b"", None),
    "not a text": (b"\xff\xfe" * 10, b"", None),
}
OF_ARRAYS: dict[str, tuple[Any, bytes, int | None]] = {
    "of a dtype with a letter before": (header("BF16", [4], [0, 8]), bytes(8), None),
    **{dtype: (header(dtype, [4], [0, 4]), bytes(4), None) for dtype in ("F8_E4M3", "F8_E5M2", "F8_E8M0")},
    "of half bytes": (header("F4", [4], [0, 2]), bytes(2), None),
    "65 axes": (header(shape=[1] * 65, offsets=[0, 4]), bytes(4), None),
    "5000 axes": (header(shape=[1] * 5000, offsets=[0, 4]), bytes(4), None),
}


def test_a_header_that_is_never_written_is_refused(lair):
    said = refusals(lair, HEADERS, lambda case: lair.table(case[0], case[1], length=case[2]))
    assert [name for name, text in said.items() if "any.safetensors is damaged" not in text] == []


def test_a_header_of_arrays_that_is_never_written_is_refused(lair):
    table = HEADERS | OF_ARRAYS
    said = refusals(lair, table, lambda case: lair.table(case[0], case[1], length=case[2], arrays=True))
    assert [name for name, text in said.items() if "any.arrays.safetensors is damaged" not in text] == []


def test_a_table_of_seven_bytes_is_refused(lair):
    assert "any.safetensors is" in outcomes(lair, {"": partial(lair.replace, "any.safetensors", bytes(7))})[""]
