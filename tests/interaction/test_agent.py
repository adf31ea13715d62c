"""What reaches an agent reaches its children and theirs, and what was set up is torn down."""

from unittest.mock import Mock

import pytest

from pamiq_sched import Agent, Environment, Interaction
from pamiq_sched.interaction.parts import set_up, tear_down
from pamiq_sched.lifecycle import without_state
from pamiq_sched.state import StateDictMixin
from pamiq_sched.testing import FakeBuffer, FakeEnvironment, FakeTrainingModel, connect_components


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


def test_a_child_that_is_no_agent_is_refused():
    with pytest.raises(TypeError, match=r"the child agent 'low' must be of the class Agent, got .* the class str"):
        Noting("parent", [], low="walker")


def test_a_child_in_two_places_is_refused_by_the_interaction():
    """It would be set up, paused and saved twice."""
    low = Noting("low", [])
    agent = Noting("parent", [], a=Noting("a", [], low=low), b=Noting("b", [], low=low))
    with pytest.raises(ValueError, match="the same Noting as 'agent/a/low' and 'agent/b/low'"):
        Interaction(agent, FakeEnvironment())


def test_an_agent_that_forgets_the_constructor_of_its_base_has_no_children():
    class Forgetful(Agent):
        def __init__(self):
            self.model = None

        def on_inference_models_attached(self):
            self.model = self.get_inference_model("model")

        def step(self, observation):
            return observation

    agent = Forgetful()
    parts = connect_components(agent, models={"model": FakeTrainingModel()})
    assert agent.model is parts.inference_models["model"]
    set_up(agent)
    agent.on_paused()
    tear_down(agent)


# Errors.


@pytest.mark.parametrize(
    ("hook", "method"),
    [("models", "on_inference_models_attached"), ("collectors", "on_data_collectors_attached")],
)
def test_a_child_that_cannot_take_its_parts_is_named(hook, method):
    with pytest.raises(KeyError, match="mdoel") as caught:
        connect_components(family([], ab={hook: KeyError("mdoel")}))
    assert caught.value.__notes__ == [
        f"raised in {method} of 'ab' (Noting)",
        f"raised in {method} of 'a' (Noting)",
    ]


def test_a_child_that_raises_in_an_event_is_named():
    with pytest.raises(OSError, match="no") as caught:
        family([], ab={"paused": OSError("no")}).on_paused()
    assert caught.value.__notes__ == [
        "raised in on_paused of 'ab' (Noting)",
        "raised in on_paused of 'a' (Noting)",
    ]


def test_errors_of_several_children_are_a_group_that_names_those_that_raised():
    errors = RuntimeError("a"), RuntimeError("b")
    agent = Noting(
        "parent",
        [],
        a=Noting("a", [], {"paused": errors[0]}),
        b=Noting("b", []),
        c=Noting("c", [], {"paused": errors[1]}),
    )
    with pytest.raises(BaseExceptionGroup, match="a and c raised in on_paused") as caught:
        agent.on_paused()
    assert caught.value.exceptions == errors


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
        set_up(agent)
    assert caught.value is error
    assert calls == ["aa setup", "ab setup", "aa teardown"]


def test_a_parent_that_fails_after_its_children_has_them_torn_down():
    calls = []
    with pytest.raises(RuntimeError):
        set_up(family(calls, parent={"setup": RuntimeError("no")}))
    assert [c for c in calls if "teardown" in c] == ["a teardown", "aa teardown", "ab teardown", "b teardown"]


def test_errors_of_setup_and_of_the_teardown_behind_it_are_raised_as_a_group():
    errors = RuntimeError("setup"), KeyError("teardown")
    with pytest.raises(BaseExceptionGroup) as caught:
        set_up(family([], b={"setup": errors[0]}, a={"teardown": errors[1]}))
    assert caught.value.exceptions == errors


def test_an_agent_can_be_set_up_again_after_a_failure():
    calls, child_raises = [], {"setup": RuntimeError("no")}
    agent = family(calls, b=child_raises)
    with pytest.raises(RuntimeError):
        set_up(agent)
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


def test_an_agent_that_saves_itself_by_a_mixin_is_not_named_as_one_without_state(tmp_path):
    class Counting(Agent, StateDictMixin):
        count = 0

        def step(self, observation):
            return observation

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    agent = Counting({"child": Counting()})
    agent.count, agent._agents["child"].count = 3, 4
    assert without_state({"agent": agent}) == []
    agent.save_state(tmp_path / "agent")
    later = Counting({"child": Counting()})
    later.load_state(tmp_path / "agent")
    assert (later.count, later._agents["child"].count) == (3, 4)


def test_children_are_saved_where_they_were_before(tmp_path):
    """States of earlier versions can be loaded."""
    family([]).save_state(tmp_path / "agent")
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.name"))
    assert files == ["agent.name", "agent/a.name", "agent/a/aa.name", "agent/a/ab.name", "agent/b.name"]


def test_an_agent_without_children_writes_nothing(tmp_path):
    class Plain(Agent):
        def step(self, observation):
            return observation

    Plain().save_state(tmp_path / "agent")
    Plain().load_state(tmp_path / "agent")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bases", [(Agent, StateDictMixin), (StateDictMixin, Agent)])
def test_an_agent_with_a_state_dict_keeps_that_and_its_children(tmp_path, bases):
    class Counting(*bases):
        count = 0

        def step(self, observation):
            self.count += 1

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    child = Counting()
    parent = Counting({"child": child})
    parent.step(0)
    for _ in range(2):
        child.step(0)
    parent.save_state(tmp_path / "agent")
    loaded_child = Counting()
    loaded = Counting({"child": loaded_child})
    loaded.load_state(tmp_path / "agent")
    assert (loaded.count, loaded_child.count) == (1, 2)


def test_a_mock_of_an_agent_makes_an_interaction():
    """As tests written for pamiq-core have it."""
    agent, environment = Mock(Agent), Mock(Environment)
    agent.step.return_value = "action"
    interaction = Interaction(agent, environment)
    interaction.setup()
    interaction.step()
    interaction.teardown()
    environment.affect.assert_called_once_with("action")
    agent.teardown.assert_called_once_with()
