"""The shape of the house: floors, lazy torch, public names."""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pamiq_sched

ROOT = Path(pamiq_sched.__file__).parent

FLOORS = [
    ["_checks", "_lazy", "_text"],
    ["clock", "lifecycle", "optim.curves"],
    ["time", "schedulers", "state", "model", "metrics"],
    ["data", "state_persistence", "thread", "utils"],
    ["interaction", "trainer", "optim"],
    ["torch", "web"],
    ["runtime"],
    ["gym", "launcher", "report", "testing"],
    ["console"],
    ["__main__"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_at(path: str) -> str:
    """The room of a dotted path inside the package: its first part, unless a module has a floor of its own."""
    parts = path.split(".")
    inner = ".".join(parts[:2])
    return inner if inner in FLOOR_OF else parts[0]


def room_of(file: Path) -> str:
    return room_at(".".join(file.relative_to(ROOT).with_suffix("").parts))


def imported_rooms(file: Path) -> set[str]:
    """The rooms that a module imports, function bodies included, type-checking blocks too."""
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; write it out"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        rooms |= {room_at(name.removeprefix("pamiq_sched.")) for name in names if name.startswith("pamiq_sched.")}
    return rooms


SOURCES = [file for file in sorted(ROOT.rglob("*.py")) if file != ROOT / "__init__.py"]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down_only(file):
    own = room_of(file)
    assert own in FLOOR_OF, f"{own} is on no floor; put it on one"
    if file == ROOT / "optim" / "__init__.py":
        return  # which names its rooms for type checkers and loads none, as the root does
    for room in imported_rooms(file) - {own}:
        assert FLOOR_OF[room] < FLOOR_OF[own], f"{own} must not import {room}"


def test_a_walk_that_finds_an_upward_arrow_fails(tmp_path):
    """The guard itself works: an arrow hidden in a function body is seen."""
    file = tmp_path / "clock.py"
    file.write_text("def f():\n    from pamiq_sched.runtime import System\n", encoding="utf-8")
    assert imported_rooms(file) == {"runtime"}


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_the_package_loads_neither_torch_nor_its_rooms():
    loaded = json.loads(run_python("import sys, json, pamiq_sched; print(json.dumps(sorted(sys.modules)))"))
    assert "torch" not in loaded
    assert "numpy" not in loaded
    assert [name for name in loaded if name.startswith("pamiq_sched.")] == ["pamiq_sched._lazy"]


@pytest.mark.parametrize(
    "name",
    ["Clock", "Trainer", "Agent", "SequentialBuffer", "StateStore", "System", "launch", "Scheduler", "Curve"],
)
def test_names_that_need_no_torch_load_none(name):
    code = f"import sys; from pamiq_sched import {name}; print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"


def test_every_public_name_is_the_one_of_its_room():
    for name, room in pamiq_sched._ROOM_OF.items():
        module = __import__(f"pamiq_sched.{room}", fromlist=[name])
        assert getattr(pamiq_sched, name) is getattr(module, name)
        assert not hasattr(module, "__all__") or name in module.__all__


def names_for_type_checkers(file: Path, package: str) -> dict[str | None, str]:
    """The names in the block that only type checkers read, and the module of each."""
    block, *_ = [n for n in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(n, ast.If)]
    return {
        alias.asname: node.module.removeprefix(f"{package}.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module != package
    }


def test_type_checkers_see_the_same_names_as_the_interpreter():
    seen = names_for_type_checkers(ROOT / "__init__.py", "pamiq_sched")
    assert seen == pamiq_sched._ROOM_OF


def test_the_names_of_optim_are_the_same_for_type_checkers_the_interpreter_and_the_package():
    seen = names_for_type_checkers(ROOT / "optim" / "__init__.py", "pamiq_sched.optim")
    assert seen == pamiq_sched.optim._MODULE_OF
    assert set(seen) == {name for name, room in pamiq_sched._ROOM_OF.items() if room == "optim"}
    for name in seen:
        assert getattr(pamiq_sched.optim, name) is getattr(pamiq_sched, name)


def test_the_lazy_names_of_data_are_the_same_for_type_checkers_and_the_interpreter():
    assert (
        names_for_type_checkers(ROOT / "data" / "__init__.py", "pamiq_sched.data") == pamiq_sched.data._MODULE_OF
    )


def test_the_rooms_are_attributes_but_not_in_a_star_import():
    """A star import must not put our torch and time in the place of the real ones."""
    assert pamiq_sched.torch.__name__ == "pamiq_sched.torch"
    assert not {"torch", "time", "gym"} & set(pamiq_sched.__all__)
    assert {"torch", "time", "System"} <= set(dir(pamiq_sched))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Trainerr'"):
        _ = pamiq_sched.Trainerr


def test_every_module_can_be_imported_on_its_own():
    names = [m.name for m in pkgutil.walk_packages([str(ROOT)], "pamiq_sched.")]
    code = "import importlib, sys\nfor n in sys.argv[1:]: importlib.import_module(n)"
    subprocess.run([sys.executable, "-c", code, *names], check=True)
    for name in ["pamiq_sched.trainer", "pamiq_sched.runtime.threads", "pamiq_sched.data.user"]:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)


def test_the_version_is_that_of_the_project():
    import tomllib

    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pamiq_sched.__version__ == project["version"]
