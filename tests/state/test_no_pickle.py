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


WEIGHTS_ONLY = PACKAGE / "torch" / "pretrained.py"
"""The one place where torch's files may be read."""


def reads_weights_only(node):
    return isinstance(node, ast.Call) and any(
        keyword.arg == "weights_only" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in node.keywords
    )


def offences(source, *, weights_may_be_read=False):
    """Every place in a module's source, function bodies included, that could run what it reads."""
    nodes = list(ast.walk(ast.parse(source)))
    allowed = {id(node.func) for node in nodes if weights_may_be_read and reads_weights_only(node)}
    for node in nodes:
        if id(node) in allowed:
            continue
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
    source = module.read_text(encoding="utf-8")
    assert list(offences(source, weights_may_be_read=module == WEIGHTS_ONLY)) == []


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


def test_the_walk_finds_what_is_read_otherwise_than_as_weights_only():
    assert not list(offences("torch.load(p, weights_only=True)", weights_may_be_read=True))
    for call in ("torch.load(p)", "torch.load(p, weights_only=False)", "torch.load(p, weights_only=safe)"):
        assert list(offences(call, weights_may_be_read=True))
    assert list(offences("torch.load(p, weights_only=True)"))


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
