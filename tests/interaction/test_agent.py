"""What reaches an agent reaches its children and theirs, and what was set up is torn down."""

import pytest

from pamiq_sched import Agent
from pamiq_sched.interaction.agent import set_up_agent
from pamiq_sched.testing import FakeBuffer, FakeTrainingModel, connect_components


class Noting(Agent):
    """Notes its hooks in a list shared by the family, and raises where it is told to."""

    def __init__(self, name, calls, raises=None, **children):
        super().__init__(children)
        self.name = name
        self.calls = calls
        self.raises = {} if raises is None else raises

    def note(self, hook):
        self.calls.append(f"{self.name} {hook}")
        if hook in self.raises:
            raise self.raises[hook]

    def step(self, observation):
        return observation

    def on_inference_models_attached(self):
        self.note("models")

    def on_data_collectors_attached(self):
        self.note("collectors")

    def setup(self):
        super().setup()
        self.note("setup")

    def teardown(self):
        self.note("teardown")
        super().teardown()

    def on_paused(self):
        super().on_paused()
        self.note("paused")

    def on_resumed(self):
        super().on_resumed()
        self.note("resumed")

    def save_state(self, path):
        super().save_state(path)
        path.with_name(path.name + ".name").write_text(self.name)

    def load_state(self, path):
        super().load_state(path)
        self.note(f"loaded {path.with_name(path.name + '.name').read_text()}")


def family(calls, **raises):
    """A parent with two children, the first of which has two of its own."""
    return Noting(
        "parent",
        calls,
        raises.get("parent"),
        a=Noting(
            "a",
            calls,
            raises.get("a"),
            aa=Noting("aa", calls, raises.get("aa")),
            ab=Noting("ab", calls, raises.get("ab")),
        ),
        b=Noting("b", calls, raises.get("b")),
    )


EVERYONE = {"parent", "a", "aa", "ab", "b"}


@pytest.mark.parametrize(
    ("method", "hook"),
    [("setup", "setup"), ("on_paused", "paused"), ("on_resumed", "resumed")],
)
def test_an_event_reaches_the_whole_family_once(method, hook):
    calls = []
    getattr(family(calls), method)()
    assert sorted(calls) == sorted(f"{name} {hook}" for name in EVERYONE)


def test_teardown_reaches_the_whole_family_once():
    calls = []
    agent = family(calls)
    agent.setup()
    calls.clear()
    agent.teardown()
    assert sorted(calls) == sorted(f"{name} teardown" for name in EVERYONE)


def test_models_and_collectors_reach_the_whole_family():
    calls = []
    connect_components(family(calls))
    assert {c for c in calls if "models" in c} == {f"{name} models" for name in EVERYONE}
    assert {c for c in calls if "collectors" in c} == {f"{name} collectors" for name in EVERYONE}


def test_a_child_takes_models_and_collectors_of_its_own():
    class Taking(Noting):
        def on_inference_models_attached(self):
            self.model = self.get_inference_model("model")

        def on_data_collectors_attached(self):
            self.collector = self.get_data_collector("data")

    child = Taking("child", [])
    parts = connect_components(
        Noting("parent", [], child=child), models={"model": FakeTrainingModel()}, buffers={"data": FakeBuffer()}
    )
    assert child.model is parts.inference_models["model"]
    assert child.collector is parts.data_collectors["data"]


def test_two_agents_of_a_family_cannot_share_a_collector():
    class Taking(Noting):
        def on_data_collectors_attached(self):
            self.get_data_collector("data")

    with pytest.raises(KeyError, match="'data' is in use by another agent"):
        connect_components(Taking("parent", [], child=Taking("child", [])), buffers={"data": FakeBuffer()})


@pytest.mark.parametrize(
    ("ask", "hook"),
    [
        ("get_inference_model", "on_inference_models_attached"),
        ("get_data_collector", "on_data_collectors_attached"),
    ],
)
def test_asking_before_the_parts_are_attached_names_the_hook(ask, hook):
    with pytest.raises(RuntimeError, match=hook):
        getattr(Noting("agent", []), ask)("name")


@pytest.mark.parametrize("name", ["../x", "", ".x", "a/b", "a\\b"])
def test_a_child_name_that_cannot_be_a_file_is_refused(name):
    with pytest.raises(ValueError, match="a child agent's name becomes a file name"):
        Noting("parent", [], **{name: Noting("child", [])})


def test_step_must_be_overridden():
    with pytest.raises(TypeError, match="step"):
        Agent()


# Errors.


@pytest.mark.parametrize(("method", "hook"), [("on_paused", "paused"), ("on_resumed", "resumed")])
def test_every_child_hears_an_event_though_one_raises(method, hook):
    calls, error = [], RuntimeError("no")
    agent = family(calls, aa={hook: error})
    with pytest.raises(RuntimeError) as caught:
        getattr(agent, method)()
    assert caught.value is error
    assert {"ab " + hook, "b " + hook} <= set(calls)


def test_every_child_is_torn_down_though_one_raises():
    calls, error = [], RuntimeError("no")
    agent = family(calls, aa={"teardown": error})
    agent.setup()
    calls.clear()
    with pytest.raises(RuntimeError) as caught:
        agent.teardown()
    assert caught.value is error
    assert sorted(calls) == sorted(f"{name} teardown" for name in EVERYONE)


def test_a_failed_setup_tears_down_exactly_what_was_set_up():
    """The parent never gets to its own; b was not reached."""
    calls, error = [], RuntimeError("no")
    agent = family(calls, ab={"setup": error})
    with pytest.raises(RuntimeError) as caught:
        set_up_agent(agent)
    assert caught.value is error
    assert calls == ["aa setup", "ab setup", "aa teardown"]


def test_a_parent_that_fails_after_its_children_has_them_torn_down():
    calls = []
    with pytest.raises(RuntimeError):
        set_up_agent(family(calls, parent={"setup": RuntimeError("no")}))
    assert [c for c in calls if "teardown" in c] == ["a teardown", "aa teardown", "ab teardown", "b teardown"]


def test_errors_of_setup_and_of_the_teardown_behind_it_are_raised_as_a_group():
    errors = RuntimeError("setup"), KeyError("teardown")
    with pytest.raises(BaseExceptionGroup) as caught:
        set_up_agent(family([], b={"setup": errors[0]}, a={"teardown": errors[1]}))
    assert caught.value.exceptions == errors


def test_an_agent_can_be_set_up_again_after_a_failure():
    calls, child_raises = [], {"setup": RuntimeError("no")}
    agent = family(calls, b=child_raises)
    with pytest.raises(RuntimeError):
        set_up_agent(agent)
    child_raises.clear()
    calls.clear()
    agent.setup()
    agent.teardown()
    assert sorted(calls) == sorted(f"{name} {hook}" for name in EVERYONE for hook in ("setup", "teardown"))


# State.


def test_the_state_of_the_whole_family_is_saved_and_loaded(tmp_path):
    family([]).save_state(tmp_path / "agent")
    calls = []
    family(calls).load_state(tmp_path / "agent")
    assert sorted(calls) == sorted(f"{name} loaded {name}" for name in EVERYONE)


def test_an_agent_without_children_writes_nothing(tmp_path):
    class Plain(Agent):
        def step(self, observation):
            return observation

    Plain().save_state(tmp_path / "agent")
    Plain().load_state(tmp_path / "agent")
    assert list(tmp_path.iterdir()) == []
