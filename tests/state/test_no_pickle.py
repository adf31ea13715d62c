"""Reading a state runs no code: nothing in the package can unpickle."""

import ast
from pathlib import Path

import pytest

import pamiq_sched
from pamiq_sched.state import StateDictMixin, load

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_ATTRIBUTES = {
    ("torch", "load"),
    ("torch", "save"),
    ("np", "load"),
    ("np", "save"),
    ("numpy", "load"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
}
PACKAGE = Path(pamiq_sched.__file__).parent


def offences(source):
    """Every place in a module's source, function bodies included, that could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = {alias.name.split(".")[0] for alias in node.names} & UNPICKLERS
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            found = {module} & UNPICKLERS | {
                alias.name for alias in node.names if (module, alias.name) in FORBIDDEN_ATTRIBUTES
            }
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found = {node.attr} if (node.value.id, node.attr) in FORBIDDEN_ATTRIBUTES else set()
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found = {node.func.id} & {"eval", "exec", "__import__"}
        else:
            found = set()
        if found:
            yield node.lineno, found


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_can_unpickle(module):
    assert list(offences(module.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "torch.load(path)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
    ],
)
def test_the_walk_finds_offences(source):
    assert list(offences(source))


def test_the_walk_leaves_the_codec_alone():
    assert list(offences("codec.load(path)\nimport safetensors.torch\nsafetensors.torch.load_file(path)")) == []


def test_a_component_of_a_state_dict_is_kept_by_the_codec(tmp_path):
    class Counter(StateDictMixin):
        def __init__(self):
            self.count = 0

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    counter, loaded = Counter(), Counter()
    counter.count = 3
    counter.save_state(tmp_path / "counter")
    loaded.load_state(tmp_path / "counter")
    assert loaded.count == 3
    assert load(tmp_path / "counter") == {"count": 3}


@pytest.mark.parametrize("method", ["state_dict", "load_state_dict"])
def test_a_component_that_forgot_its_state_dict_is_told(method):
    arguments = [{}] if method == "load_state_dict" else []
    with pytest.raises(NotImplementedError, match=rf"StateDictMixin must override {method}\(\)"):
        getattr(StateDictMixin(), method)(*arguments)
