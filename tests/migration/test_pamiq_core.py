"""The page for those who come from pamiq-core: every public name of 0.6.0 has its row and is here as that says.

``pamiq_core_0_6_0.json`` has the peer's names, written out because the peer needs Python 3.12: of what can be
called the parameters, of a class those of its constructor (``""``) and of each method. One with a default ends in
``=``.
A string is the home of a name that is there as well.
"""

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

import pamiq_sched
from pamiq_sched import LaunchConfig, clock, system_clock

ROOT = Path(__file__).parents[2]
PEER = json.loads(Path(__file__).with_name("pamiq_core_0_6_0.json").read_text(encoding="utf-8"))
HOMES = {name: parameters for name, parameters in PEER.items() if not isinstance(parameters, str)}
AGAIN = {name: home for name, home in PEER.items() if isinstance(home, str)}
ROOMS = {name for name, parameters in HOMES.items() if parameters is None and name.islower()}
ROWS = {
    row[0]: row[1:]
    for row in re.findall(
        r"^\| `([\w.]+)` \| (?:`([\w.]+)`|none) \| (.+) \| `([\w/.:]+)` \|$",
        (ROOT / "docs" / "migrate-from-pamiq-core.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}
HERE = {name: here for name, (here, _, _) in ROWS.items() if here}

BY_ANOTHER_NAME = {"time.sleep": "secs", "time.load_state_dict": "state_dict"}
"""Parameters that the page says are given by position."""
INTERNAL = {"TimeControllerState", "load_state", "save_state", "with_lock"}
"""Of the class TimeController, which no code of a user's calls."""


def find(name):
    room, _, last = name.rpartition(".")
    return getattr(importlib.import_module(f"pamiq_sched.{room}" if room else "pamiq_sched"), last)


def problems(theirs, function, *, is_method):
    """What keeps a call that is right there from being right here; ``theirs`` are the parameters there."""
    ours = list(inspect.signature(function).parameters.values())[is_method:]
    takes_any = {"*", "**"} <= {str(p)[: str(p).count("*")] for p in ours}
    by_position = [p for p in ours if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [name for name in theirs.split() if not name.startswith(("*", "/"))]
    for i, name in enumerate([] if takes_any else named):
        if i >= len(by_position) or by_position[i].name != name.rstrip("="):
            yield f"{name} is {by_position[i].name if i < len(by_position) else 'not there'}"
        elif name.endswith("=") and by_position[i].default is inspect.Parameter.empty:
            yield f"{name} has no default"
    known = {name.rstrip("=") for name in named}
    for parameter in ours:
        is_needed = parameter.default is parameter.empty and not str(parameter).startswith("*")
        if is_needed and parameter.name not in known:
            yield f"{parameter.name} is needed"


def test_every_public_name_has_its_row_and_no_row_is_of_anything_else():
    assert set(ROWS) == set(HOMES) - ROOMS
    assert len(ROWS) > 80


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_a_room_is_there_under_its_name(name):
    assert inspect.ismodule(importlib.import_module(f"pamiq_sched.{name}"))
    assert find(name) is importlib.import_module(f"pamiq_sched.{name}") or name == "time"


@pytest.mark.parametrize("name", sorted(HERE))
def test_a_name_is_where_its_row_says(name):
    here = HERE[name]
    assert find(here) is not None
    if here != name:
        # Elsewhere than a change of the first word leads to: at the top, or by another name, which the row tells.
        assert here in {name.rpartition(".")[2], "state.save", "state.load"}


@pytest.mark.parametrize("name", sorted(AGAIN))
def test_a_name_that_is_there_twice_is_here_twice(name):
    assert find(name) is find(HERE[AGAIN[name]])


CALLABLE = sorted(
    (name, method)
    for name, methods in HOMES.items()
    if name in HERE and HERE[name].endswith(name.rpartition(".")[2]) and methods is not None
    for method, parameters in methods.items()
    if parameters is not None
)


@pytest.mark.parametrize(("name", "method"), CALLABLE)
def test_a_call_that_is_right_there_is_right_here(name, method):
    found = find(HERE[name])
    if method in INTERNAL and name == "time.TimeController":
        pytest.skip("internal")
    function = (found.__init__ if inspect.isclass(found) else found) if not method else getattr(found, method)
    is_method = inspect.isclass(found) and not inspect.ismethod(function)
    is_method = is_method and not isinstance(inspect.getattr_static(found, method or "__init__"), staticmethod)
    if function is object.__init__:
        assert not HOMES[name][method]
        return
    theirs = HOMES[name][method]
    wrong = list(problems(theirs, function, is_method=is_method))
    last = f"time.{method or name.rpartition('.')[2]}"
    if last in BY_ANOTHER_NAME and name.startswith("time."):
        assert theirs == BY_ANOTHER_NAME[last]
        assert len(wrong) == 2  # the name that they have, and the one that we have
        assert "position" in ROWS[name][1]
    elif name.startswith("utils.schedulers.") and not method and "Interval" in name:
        assert theirs.split()[0] == "interval"
        assert find(HERE[name])(interval=3, callbacks=None)
    elif name == "trainer.TrainersDict":
        assert find(name)({}) == {}
    else:
        assert wrong == []


def test_the_check_of_calls_finds_what_is_wrong():
    assert list(problems("a b=", lambda self, a, b=1, *, c=2: None, is_method=True)) == []
    assert list(problems("a", lambda a, b: None, is_method=False)) == ["b is needed"]
    assert list(problems("a=", lambda a: None, is_method=False)) == ["a= has no default"]
    assert list(problems("a b", lambda b, a: None, is_method=False)) == ["a is b", "b is a"]
    assert list(problems("a", lambda: None, is_method=False)) == ["a is not there"]


@pytest.mark.parametrize("name", sorted(set(ROWS) - set(HERE)))
def test_what_has_no_name_here_is_not_there(name):
    with pytest.raises((ImportError, AttributeError)):
        find(name)


@pytest.mark.parametrize(("name", "row"), ROWS.items())
def test_what_shows_a_row_is_there(name, row):
    file, _, test = row[2].partition("::")
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert f"def {test or 'test_'}" in source


@pytest.mark.parametrize(
    "name",
    [
        "torch.OptimizersDict",
        "torch.LRSchedulersDict",
        "torch.OptimizersSetup",
        "torch.StateDict",
        "gym.types.EnvOutput",
        "gym.types.GymObs",
        "utils.schedulers.Callback",
        "utils.schedulers.CallbackIterable",
    ],
)
def test_types_for_annotations_are_there(name):
    """They can be joined with others, as in an annotation that is evaluated."""
    assert find(name) | None


def test_the_defaults_of_a_launch_differ_where_the_page_says_so_and_nowhere_else():
    theirs = {
        "states_dir": Path("states"),
        "state_name_format": "%Y-%m-%d_%H-%M-%S,%f.state",
        "saved_state_path": None,
        "save_state_condition": None,
        "states_keeper": None,
        "timeout_for_all_threads_pause": 60.0,
        "max_attempts_to_pause_all_threads": 3,
        "max_uptime": float("inf"),
        "web_api_address": ("localhost", 8391),
        "web_api_command_queue_size": 1,
        "log_tick_time_statistics_interval": 60.0,
        "time_scale": 1.0,
    }
    assert list(theirs) == HOMES["launcher.LaunchConfig"][""].replace("=", "").split()
    differ = {
        name: getattr(LaunchConfig(), name) for name in theirs if getattr(LaunchConfig(), name) != theirs[name]
    }
    assert differ == {"web_api_address": None, "web_api_command_queue_size": 16}


@pytest.mark.parametrize("name", ["save_pickle", "load_pickle"])
def test_pickles_are_refused_with_what_to_use_instead(name):
    with pytest.raises(ImportError, match=rf"no {name} here: a pickle can run code.*pamiq_sched\.state\.\w+\("):
        find(f"state_persistence.{name}")


def test_another_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'save_json'"):
        find("state_persistence.save_json")


def test_the_time_controller_is_the_system_clock():
    assert isinstance(pamiq_sched.time.get_global_time_controller(), pamiq_sched.time.TimeController)
    assert pamiq_sched.time.get_global_time_controller() is system_clock()
    assert pamiq_sched.time.TimeController is clock.Clock
