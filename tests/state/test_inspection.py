"""A save can be looked into and compared without being loaded, whatever its condition."""

import json
import math
import os
import subprocess
import sys
from collections import Counter, deque

import numpy as np
import pytest
import torch
from torch import nn

from pamiq_sched import (
    CosineCurve,
    DictSequentialBuffer,
    PersistentStateMixin,
    Schedule,
    SequentialBuffer,
    StateStore,
    TensorRingBuffer,
    TorchTrainer,
    TorchTrainingModel,
    TrainersDict,
    compare_states,
    connect_components,
    inspect_state,
    inspect_states,
)
from pamiq_sched.state import StateDictMixin, tables
from pamiq_sched.state.comparison import Difference
from pamiq_sched.state.files import FileSystem
from pamiq_sched.state.table_reader import StoredTensor, values


class Holder(StateDictMixin):
    """Keeps any value by the codec."""

    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return self.value


class Text(PersistentStateMixin):
    """Keeps a text in a file of its own kind; fails behind it when told to."""

    def __init__(self, text, fails=None):
        self.text = text
        self.fails = fails

    def save_state(self, path):
        path.write_text(self.text)
        if self.fails is not None:
            raise self.fails


class LearningTrainer(TorchTrainer):
    """Takes one step of a scheduled optimizer in each session."""

    def create_optimizers(self):
        return {"policy": torch.optim.AdamW(self.get_torch_training_model("policy").model.parameters(), lr=0.1)}

    def create_schedules(self):
        return {"lr": Schedule(self.optimizers["policy"], CosineCurve(1.0, 0.0, 100))}

    def train(self):
        self.get_training_model("policy")(torch.ones(1, 4)).sum().backward()
        self.optimizers["policy"].step()


def save(folder, about=None, traceback="", **components):
    """Save values and components by name; return where they are."""
    store = StateStore(folder)
    for name, component in components.items():
        is_component = isinstance(component, PersistentStateMixin)
        store.register(name, component if is_component else Holder(component))
    return store.publish(store.stage(about=about, crashed=bool(traceback), traceback=traceback))


def value_of(state, name):
    return next(value for component in state.components for value in component.values if value.name == name)


def differences(folder, a, b):
    """What differs between two values, as lines."""
    comparison = compare_states(save(folder, it=a), save(folder, it=b))
    assert comparison.are_equal == (not comparison.components["it"].differences)
    return [f"{d.path}: {d.text}" for d in comparison.components["it"].differences]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A state of everything that a system saves by name, after two sessions; and one session later."""
    torch.manual_seed(0)
    trainer = LearningTrainer()
    buffers = {"ring": TensorRingBuffer(8), "rows": SequentialBuffer(8), "dicts": DictSequentialBuffer(["x"], 8)}
    model = TorchTrainingModel(nn.Linear(4, 2))
    parts = connect_components(trainers=trainer, buffers=buffers, models={"policy": model})
    for i in range(3):
        parts.data_collectors["ring"].collect({"x": torch.zeros(4), "reward": float(i)})
        parts.data_collectors["rows"].collect(torch.zeros(2))
        parts.data_collectors["dicts"].collect({"x": torch.zeros(5)})
    components = {
        "models": parts.training_models,
        "data": parts.data_users,
        "trainers": TrainersDict({"learner": trainer}),
    }
    folder = tmp_path_factory.mktemp("states")
    saved = []
    for sessions in (2, 1):
        for _ in range(sessions):
            trainer.run()
        saved.append(save(folder, about={"steps": 3}, **components))
    return saved


# What a state holds.


def test_a_whole_state_verifies(learned):
    state = inspect_state(learned[0])
    assert state.verifies
    assert state.problems == ()
    assert state.manifest.about["steps"] == 3


def test_components_come_in_the_order_of_loading_with_their_files_and_sizes(learned):
    state = inspect_state(str(learned[0]))
    assert [c.name for c in state.components] == ["models", "data", "trainers"]
    assert sum(c.files for c in state.components) == len(state.manifest.files)
    assert state.size == state.manifest.size


def test_a_model_has_a_version_and_tensors_by_their_paths(learned):
    value = value_of(inspect_state(learned[0]), "models/policy")
    assert {"module", "version"} <= set(value.keys)
    assert value.counts == {"version": 2}
    assert [(t.path, t.dtype, t.shape) for t in value.tensors] == [
        ("module.weight", "float32", (2, 4)),
        ("module.bias", "float32", (2,)),
    ]


@pytest.mark.parametrize(
    ("buffer", "path"), [("ring", "count"), ("rows", "items"), ("dicts", "columns.x")], ids=lambda p: p
)
def test_a_buffer_tells_how_many_items_it_has(learned, buffer, path):
    assert value_of(inspect_state(learned[0]), f"data/{buffer}/buffer").counts[path] == 3


def test_a_trainer_tells_how_far_its_schedules_have_come(learned):
    assert value_of(inspect_state(learned[0]), "trainers/learner/optimizers").counts == {
        "schedules.lr.last_epoch": 2
    }


def test_the_steps_of_an_optimizer_are_those_of_the_parameter_that_took_most(tmp_path):
    states = {0: {"step": 7}, 1: {"step": 9}}
    state = inspect_state(save(tmp_path, it={"optimizers": {"policy": {"state": states}}}))
    assert value_of(state, "it").counts == {"optimizers.policy.step": 9}


def test_a_truth_is_no_count(tmp_path):
    assert value_of(inspect_state(save(tmp_path, it={"done": True})), "it").counts == {}


def test_the_shape_of_an_array_is_that_which_it_had(tmp_path):
    state = inspect_state(save(tmp_path, it={"a": np.zeros((2, 3)), "b": np.float32(1)}))
    tensors = value_of(state, "it").tensors
    assert [(t.kind, t.dtype, t.shape) for t in tensors] == [
        ("array", "float64", (2, 3)),
        ("numpy scalar", "float32", ()),
    ]


def test_a_path_reads_like_the_value(tmp_path):
    value = {"a": [{3: {("x", 1): torch.zeros(1)}}], "b": (1, {"c.d": torch.ones(2)})}
    state = inspect_state(save(tmp_path, it=value))
    assert [t.path for t in value_of(state, "it").tensors] == ['a[0][3][{"$tuple": ["x", 1]}]', "b[1].c.d"]


def test_files_that_the_codec_did_not_write_are_named(tmp_path):
    state = inspect_state(save(tmp_path, text=Text("hello"), own=Text("{}")))
    assert [(c.name, c.values, c.others, c.size) for c in state.components] == [
        ("text", (), ("text",), 5),
        ("own", (), ("own",), 2),
    ]


def test_a_component_with_nothing_to_save_is_there(tmp_path):
    (component,) = inspect_state(save(tmp_path, nothing=PersistentStateMixin())).components
    assert (component.name, component.files) == ("nothing", 0)


def test_a_crashed_state_has_its_traceback_and_what_could_not_be_saved(tmp_path):
    """The file that the failed component left behind is its own."""
    path = save(tmp_path, traceback="Traceback\nValueError: boom\n", bad=Text("half", OSError("disk")), good=1)
    state = inspect_state(path)
    assert state.verifies
    assert state.traceback == "Traceback\nValueError: boom\n"
    assert state.manifest.failed == {"bad": "OSError('disk')"}
    assert [(c.name, c.files) for c in state.components] == [("good", 1), ("bad", 1)]


# Numbers.


def test_numbers_are_only_looked_at_if_they_are_asked_for(tmp_path):
    assert value_of(inspect_state(save(tmp_path, it=torch.ones(1))), "it").tensors[0].numbers is None


def numbers_of(folder, value):
    return value_of(inspect_state(save(folder, it=value), numbers=True), "it").tensors[0].numbers


def test_a_diverged_tensor_is_seen(tmp_path):
    found = numbers_of(tmp_path, torch.tensor([1.0, math.nan, -math.inf, 4.0, math.inf]))
    assert (found.least, found.greatest, found.mean) == (1.0, 4.0, 2.5)
    assert (found.nan, found.infinite) == (1, 2)


@pytest.mark.parametrize("value", [torch.zeros(0), torch.full((2,), math.nan)], ids=["empty", "NaN"])
def test_without_finite_numbers_there_is_no_least(value, tmp_path):
    found = numbers_of(tmp_path, value)
    assert (found.least, found.greatest, found.mean) == (None, None, None)


def test_numbers_beyond_one_piece_are_counted(tmp_path):
    """A piece is a megabyte."""
    value = torch.zeros(600_000)
    value[-1] = 6.0
    found = numbers_of(tmp_path, value)
    assert found.greatest == 6.0
    assert found.mean == pytest.approx(1e-5)


def test_the_parts_of_complex_numbers_count(tmp_path):
    found = numbers_of(tmp_path, torch.tensor([1 + 2j, complex(-3, math.nan)]))
    assert (found.least, found.greatest, found.nan) == (-3.0, 2.0, 1)


@pytest.mark.parametrize("name", ["bool", "uint8", "int64", "uint64", "float16", "float64"])
def test_the_numbers_of_a_dtype_that_numpy_has_are_its_own(name, tmp_path):
    array = np.array([0, 1, 1], dtype=name)
    found = numbers_of(tmp_path, array)
    assert (found.least, found.greatest, found.mean) == (0, 1, pytest.approx(2 / 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_a_dtype_that_numpy_lacks_is_read_as_torch_reads_it(dtype):
    """Every number that there is."""
    kind = torch.int16 if dtype is torch.bfloat16 else torch.int8
    limits = torch.iinfo(kind)
    every = torch.arange(limits.min, limits.max + 1).to(kind)
    bits = every.numpy().view(np.uint16 if kind is torch.int16 else np.uint8)
    read = values(bits, str(dtype).removeprefix("torch."))
    np.testing.assert_array_equal(read.astype(np.float32), every.view(dtype).float().numpy())


@pytest.mark.parametrize("name", tables.DTYPES)
def test_every_dtype_that_is_written_can_be_read(name, tmp_path):
    tensor = torch.zeros(3, dtype=getattr(torch, name))
    state = inspect_state(save(tmp_path, it=tensor), numbers=True)
    (found,) = value_of(state, "it").tensors
    assert (found.dtype, found.shape, found.numbers.least) == (name, (3,), 0)


def test_a_file_that_became_shorter_is_refused_not_padded(tmp_path):
    file = tmp_path / "table"
    file.write_bytes(bytes(10))
    with pytest.raises(ValueError, match="ends too early"):
        list(StoredTensor(file, 4, "float32", (2,)).pieces(FileSystem()))


# Damage.


@pytest.fixture
def saved(tmp_path):
    return save(
        tmp_path / "states", policy={"w": torch.ones(4), "version": 3}, steps={"count": 7}, text=Text("hello")
    )


def rewrite(file, change):
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: (path / "text").unlink(), "component 'text': text is missing"),
        (lambda path: (path / "new").write_text("x"), "no component: new was not saved with it"),
        (lambda path: rewrite(path / "text", lambda b: b[:-1]), "component 'text': text must have 5 bytes, got 4"),
        (
            lambda path: rewrite(path / "text", lambda b: b"j" + b[1:]),
            "component 'text': text has another checksum",
        ),
    ],
    ids=["missing", "added", "truncated", "changed"],
)
def test_every_difference_is_told_by_component_and_file(saved, damage, told):
    damage(saved)
    state = inspect_state(saved)
    assert not state.verifies
    assert [problem.startswith(told) for problem in state.problems] == [True]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "manifest.json").unlink(),
        lambda path: (path / "manifest.json.sha256").unlink(),
        lambda path: (path / "manifest.json").write_text("{"),
        lambda path: (path / "manifest.json").write_text('{"format": 99}'),
        lambda path: rewrite(path / "manifest.json", lambda b: b + b" "),
    ],
    ids=["no manifest", "no checksum", "no JSON", "another version", "another checksum"],
)
def test_without_a_readable_manifest_the_files_are_described(saved, damage):
    damage(saved)
    state = inspect_state(saved)
    assert len(state.problems) == 1
    assert "manifest.json" in state.problems[0]
    assert state.manifest is None
    assert [c.name for c in state.components] == ["policy", "steps", "text"]
    assert value_of(state, "policy").counts == {"version": 3}


def test_tables_without_their_structure_are_described(tmp_path):
    path = save(tmp_path, it=[torch.zeros(4), np.zeros((2, 3))])
    (path / "it.json").unlink()
    tensors = value_of(inspect_state(path), "it").tensors
    assert [(t.path, t.kind, t.shape) for t in tensors] == [("0", "tensor", (4,)), ("0", "array", (6,))]


def test_a_structure_without_its_table_is_described(saved):
    (saved / "policy.safetensors").unlink()
    value = value_of(inspect_state(saved), "policy")
    assert value.counts == {"version": 3}
    assert value.problems == ("w refers to a tensor that is not there",)


def test_a_structure_that_cannot_be_read_does_not_hide_the_rest(saved):
    rewrite(saved / "policy.json", lambda b: b[:-1])
    state = inspect_state(saved)
    assert value_of(state, "policy").problems[0].startswith("policy.json cannot be read: ")
    assert value_of(state, "steps").counts == {"count": 7}


def table(header, data=b"\0\0\0\0"):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(**changes):
    return {"0": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        (1 << 40).to_bytes(8, "little"),
        table(b"[" * 100_000),
        table([]),
        table({"0": 1}),
        table(tensor(dtype="F128")),
        table(tensor(shape=[2])),
        table(tensor(shape=[-1])),
        table(tensor(shape=[1] * 65)),
        table(tensor(shape=[1 << 62] * 60)),
        table(tensor(shape=[1.0])),
        table(tensor(data_offsets=[-4, 0])),
        table(tensor(data_offsets=[4, 8])),
        table(tensor(data_offsets=[0, 4, 8])),
    ],
    ids=lambda content: f"{content[:40]!r} of {len(content)}",
)
def test_a_header_that_lies_is_a_problem_of_its_value(saved, content):
    (saved / "policy.safetensors").write_bytes(content)
    problem, unresolved = value_of(inspect_state(saved, numbers=True), "policy").problems
    assert problem.startswith("policy.safetensors cannot be read: its header is damaged: ")
    assert unresolved == "w refers to a tensor that is not there"


@pytest.mark.parametrize(
    "value",
    [
        {"$pickle": "x"},
        {"$tuple": 5},
        {"$dict": [1]},
        {"$array": "0"},
        {"$array": "0", "shape": [1e999]},
        {"$deque": [1]},
    ],
    ids=str,
)
def test_a_structure_that_no_codec_wrote_is_a_problem_of_its_value(saved, value):
    document = {"format": 1, "value": {"version": 3, "x": value}, "tensors": 0, "arrays": 0}
    (saved / "policy.json").write_text(json.dumps(document))
    found = value_of(inspect_state(saved), "policy")
    assert found.keys == ("version", "x")
    assert found.problems[0].startswith("the structure of policy cannot be read: ")


def test_a_structure_nested_too_deeply_is_a_problem_of_its_value(saved):
    (saved / "policy.json").write_text("[" * 100_000)
    assert value_of(inspect_state(saved), "policy").problems[0].startswith("policy.json cannot be read: ")


def test_a_huge_structure_is_not_read(saved):
    with (saved / "policy.json").open("wb") as file:
        file.truncate(1 << 40)
    assert "of at most 33554432 bytes" in value_of(inspect_state(saved), "policy").problems[0]


def test_a_value_of_another_version_is_told(saved):
    rewrite(saved / "policy.json", lambda b: b.replace(b'"format": 1', b'"format": 9'))
    assert value_of(inspect_state(saved), "policy").problems == ("policy.json must have format 1, got 9",)


def test_links_are_told_and_not_followed(saved, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text('{"format": 1, "value": {"secret": 1}, "tensors": 0, "arrays": 0}')
    (saved / "steps.json").unlink()
    (saved / "steps.json").symlink_to(outside / "secret.json")
    (saved / "steps").symlink_to(outside)
    state = inspect_state(saved)
    assert "component 'steps': steps.json is a symbolic link, which a state has not" in state.problems
    assert "secret" not in repr(state.components)


def test_a_pipe_is_told_and_not_waited_for(saved):
    (saved / "text").unlink()
    os.mkfifo(saved / "text")
    assert inspect_state(saved).problems == (
        "component 'text': text is neither file nor directory, which a state has not",
    )


def test_what_cannot_be_listed_is_told(saved, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied", str(saved))

    monkeypatch.setattr(os, "scandir", refuse)  # root is refused nothing
    state = inspect_state(saved)
    assert [p for p in state.problems if "not all of it can be listed" in p]


def test_something_else_is_no_state(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a saved state: it has no manifest\.json"):
        inspect_state(tmp_path)


def test_it_works_without_torch(tmp_path):
    path = save(tmp_path, it={"a": torch.ones(2, dtype=torch.bfloat16), "b": np.zeros(1)})
    code = (
        "import sys; from pamiq_sched import inspect_state, compare_states; path = sys.argv[1];"
        "print(inspect_state(path, numbers=True).components[0].values[0].tensors[0].numbers.mean);"
        "print(compare_states(path, path).are_equal, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout == "1.0\nTrue False\n"


# A directory of states.


def test_states_come_oldest_first(tmp_path):
    saved = [save(tmp_path, it=i) for i in range(3)]
    found = inspect_states(tmp_path)
    assert [s.path for s in found.states] == saved
    assert [s.manifest.number for s in found.states] == [1, 2, 3]
    assert not any(s.problems for s in found.states)


@pytest.mark.parametrize("which", [0, 1])
def test_a_state_without_a_manifest_is_where_it_was_saved(tmp_path, which):
    saved = [save(tmp_path, it=i) for i in range(2)]
    (saved[which] / "manifest.json").write_text("")
    for i, path in enumerate(saved):
        os.utime(path, (i, i))
    found = inspect_states(tmp_path)
    assert [s.path for s in found.states] == saved
    assert [bool(s.problems) for s in found.states] == [which == 0, which == 1]


def test_of_the_newest_the_contents_are_verified(tmp_path):
    """Of the others only names and sizes: a directory of large states is listed at once."""
    saved = [save(tmp_path, it=Text("hello")) for _ in range(2)]
    for path in saved:
        (path / "it").write_text("jello")
    assert [len(s.problems) for s in inspect_states(tmp_path).states] == [0, 1]


def test_an_older_state_that_lacks_a_file_is_told(tmp_path):
    saved = [save(tmp_path, it=Text("hello")) for _ in range(2)]
    (saved[0] / "it").unlink()
    assert inspect_states(tmp_path).states[0].problems == ("component 'it': it is missing",)


def test_unfinished_saves_are_named_and_are_no_states(tmp_path):
    store = StateStore(tmp_path)
    store.register("it", Holder(1))
    staged = store.stage()
    found = inspect_states(tmp_path)
    assert found.unfinished == (staged.directory.name,)
    assert found.states == ()
    store.publish(staged)
    assert inspect_states(tmp_path).unfinished == ()


def test_another_name_of_a_state_is_not_listed(tmp_path):
    path = save(tmp_path, it=1)
    (tmp_path / "latest").symlink_to(path)
    assert [s.path for s in inspect_states(tmp_path).states] == [path]


def test_a_directory_without_states_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match="neither a saved state nor a directory of states"):
        inspect_states(tmp_path)


# Two states.


def test_a_state_equals_another_save_of_the_same(tmp_path):
    value = {"w": torch.ones(3), "a": np.zeros(2), "x": [1, None, "s", 2.5], "n": math.nan, "b": b"bytes"}
    comparison = compare_states(save(tmp_path, it=value), save(tmp_path, it=value))
    assert comparison.are_equal
    assert comparison.components["it"].equal == 8


def test_what_a_session_changed_is_named_by_path(learned):
    comparison = compare_states(*learned)
    assert not comparison.are_equal
    found = {str(d): d for c in comparison.components.values() for d in c.differences}
    assert "models/policy: version: 2 in A, 3 in B" in found
    assert "trainers/learner/optimizers: schedules.lr.last_epoch: 2 in A, 3 in B" in found
    assert any(d.startswith("models/policy: module.weight: 8 of 8 numbers differ, largest diff") for d in found)
    assert comparison.components["data"].differences == ()


CASES = {
    "numbers": (
        torch.tensor([1.0, 2, 3]),
        torch.tensor([1.0, 2.5, 2]),
        "2 of 3 numbers differ, largest difference 1",
    ),
    "one number": (torch.tensor([1.0]), torch.tensor([3.0]), "1.0 in A, 3.0 in B"),
    "zeros": (torch.tensor([0.0, 1]), torch.tensor([-0.0, 1]), "1 of 2 numbers differ, largest difference 0"),
    "NaN in one": (
        torch.tensor([0.0, 1, 2]),
        torch.tensor([math.nan, 1, 4]),
        "2 of 3 numbers differ, largest difference 2, 1 are NaN in one of them",
    ),
    "only NaN": (
        torch.zeros(2),
        torch.full((2,), math.nan),
        "2 of 2 numbers differ, 2 are NaN in one of them",
    ),
    "infinity": (torch.zeros(2), torch.full((2,), math.inf), "2 of 2 numbers differ, largest difference inf"),
    "negative integers": (
        torch.tensor([-(2**63), 0]),
        torch.tensor([2**63 - 1, 0]),
        "1 of 2 numbers differ, largest difference 1.84e+19",
    ),
    "booleans": (
        torch.tensor([True, False]),
        torch.tensor([True, True]),
        "1 of 2 numbers differ, largest difference 1",
    ),
    "bfloat16": (
        torch.tensor([1.0, 2], dtype=torch.bfloat16),
        torch.tensor([1.0, 3], dtype=torch.bfloat16),
        "1 of 2 numbers differ, largest difference 1",
    ),
    "complex": (torch.tensor([0j, 0j]), torch.tensor([3 + 4j, 0j]), "1 of 2 numbers differ, largest difference 5"),
    "dtype": (torch.zeros(2), torch.zeros(2).half(), "float32 (2,) in A, float16 (2,) in B"),
    "shape": (torch.zeros(2, 3), torch.zeros(6), "float32 (2, 3) in A, float32 (6,) in B"),
    "shape of an array": (np.zeros((2, 3)), np.zeros(6), "float64 (2, 3) in A, float64 (6,) in B"),
    "tensor and array": (
        torch.zeros(2),
        np.zeros(2, np.float32),
        "tensor of float32 (2,) in A, array of float32 (2,) in B",
    ),
    "plain": (1, 2, "1 in A, 2 in B"),
    "kinds of numbers": (1, 1.0, "1 in A, 1.0 in B"),
    "a truth and a number": (1, True, "1 in A, True in B"),
    "signs of zero": (0.0, -0.0, "0.0 in A, -0.0 in B"),
    "not finite": (1.0, math.inf, "1.0 in A, inf in B"),
    "nothing": (None, 0, "None in A, 0 in B"),
    "text": ("a", "b", "'a' in A, 'b' in B"),
    "long texts": ("a" * 99 + "b", "a" * 99 + "c", "they differ"),
    "bytes": (b"abc", b"abd", "they differ"),
    "lengths": ([1], [1, 2], "1 item in A, 2 items in B"),
    "stacked tensors": (
        [torch.zeros(1)] * 2,
        [torch.zeros(1)] * 3,
        "float32 (2, 1) in A, float32 (3, 1) in B",
    ),
    "tuple and list": ((1, 2), [1, 2], "tuple with 2 items in A, list with 2 items in B"),
    "Counter and dict": (Counter("a"), {"a": 1}, "Counter with 1 item in A, dict with 1 item in B"),
    "deques": (
        deque([1], 2),
        deque([1], 3),
        "deque of at most 2 with 1 item in A, deque of at most 3 with 1 item in B",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_difference_is_told_in_its_own_words(case, tmp_path):
    a, b, told = CASES[case]
    assert differences(tmp_path, {"x": a, "same": 1}, {"x": b, "same": 1}) == [f"x: {told}"]


def test_nan_equals_nan_whatever_its_bits(tmp_path):
    a = torch.tensor([0x7FC00000, 0], dtype=torch.int32).view(torch.float32)
    b = torch.tensor([0x7FC00001, 0], dtype=torch.int32).view(torch.float32)
    assert differences(tmp_path, {"x": a}, {"x": b}) == []


def test_a_key_in_one_of_them_is_named(tmp_path):
    assert differences(tmp_path, {"a": 1, "b": 2}, {"a": 1, "c": {1: 2}}) == ["b: only in A", "c: only in B"]


def test_items_of_unequal_lists_are_compared_as_far_as_they_go(tmp_path):
    assert differences(tmp_path, {"a": [1, 2]}, {"a": [1, 3, 4]}) == [
        "a: 2 items in A, 3 items in B",
        "a[1]: 2 in A, 3 in B",
    ]


def test_a_key_that_is_no_string_does_not_make_another_dict(tmp_path):
    assert differences(tmp_path, {"a": 1}, {"a": 2, 5: 3}) == ["a: 1 in A, 2 in B", "[5]: only in B"]


def test_a_value_that_is_a_tensor_by_itself_has_a_path(tmp_path):
    assert differences(tmp_path, torch.zeros(2), torch.ones(2)) == [
        "the value: 2 of 2 numbers differ, largest difference 1"
    ]


def test_differences_beyond_one_piece_are_counted(tmp_path):
    a, b = torch.zeros(600_000), torch.zeros(600_000)
    b[::100_000] = 0.5
    assert differences(tmp_path, a, b) == ["the value: 6 of 600000 numbers differ, largest difference 0.5"]


def test_components_in_one_of_them_are_named(tmp_path):
    comparison = compare_states(save(tmp_path, a=1, b=Text("x")), save(tmp_path, a=1, c=2))
    assert comparison.components["b"].differences == (Difference("b", "", "only in A"),)
    assert comparison.components["c"].differences == (Difference("c", "", "only in B"),)
    assert [str(d) for d in comparison.about] == ["components.b: only in A", "components.c: only in B"]


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ("hello", "jello", ["the contents differ"]),
        ("hello", "hello!", ["5 bytes in A, 6 in B"]),
        ("hello", "hello", []),
    ],
)
def test_other_files_are_compared_by_their_bytes(a, b, told, tmp_path):
    comparison = compare_states(save(tmp_path, it=Text(a)), save(tmp_path, it=Text(b)))
    assert [d.text for d in comparison.components["it"].differences] == told


def test_versions_and_steps_are_compared(tmp_path):
    a = save(tmp_path, {"torch": "2.4", "steps": 1, "sessions": {"x": 1}, "metric": None}, it=1)
    b = save(tmp_path, {"torch": "2.5", "steps": 2, "sessions": {"x": 2}, "metric": None}, it=1)
    assert [str(d) for d in compare_states(a, b).about] == [
        "torch: '2.4' in A, '2.5' in B",
        "steps: 1 in A, 2 in B",
        "sessions.x: 1 in A, 2 in B",
    ]


def test_how_long_a_run_was_up_does_not_count(tmp_path):
    """One that was resumed is not up for as long as one that was not."""
    assert compare_states(save(tmp_path, {"uptime": 1.0}), save(tmp_path, {"uptime": 2.0})).are_equal


def test_a_crash_counts(tmp_path):
    comparison = compare_states(save(tmp_path, it=1), save(tmp_path, it=1, traceback="boom"))
    assert [str(d) for d in comparison.about] == ["crashed: False in A, True in B"]


@pytest.mark.parametrize("other", [1, 2])
def test_what_looks_like_the_codecs_in_a_note_is_compared_whole(other, tmp_path):
    a, b = (save(tmp_path, {"x": {"$tensor": n}}) for n in (1, other))
    assert compare_states(a, b).are_equal == (other == 1)


def test_a_damaged_state_is_compared_as_far_as_it_can_be_read(saved, tmp_path):
    other = save(
        tmp_path / "states", policy={"w": torch.ones(4), "version": 4}, steps={"count": 7}, text=Text("hello")
    )
    rewrite(other / "steps.json", lambda b: b[:-1])
    comparison = compare_states(saved, other)
    assert not comparison.b.verifies
    assert [str(d) for c in comparison.components.values() for d in c.differences] == [
        "policy: version: 3 in A, 4 in B",
        "steps.json: 63 bytes in A, 62 in B",
    ]


def test_a_state_without_a_manifest_differs(saved, tmp_path):
    other = save(
        tmp_path / "states", policy={"w": torch.ones(4), "version": 3}, steps={"count": 7}, text=Text("hello")
    )
    (other / "manifest.json").unlink()
    comparison = compare_states(saved, other)
    assert [str(d) for d in comparison.about] == ["what B says about itself cannot be read"]
    assert not any(c.differences for c in comparison.components.values())
