"""An environment of sensors and actuators: what reaches it reaches them, and each has its part of an action."""

import re

import pytest

from pamiq_sched.interaction import Actuator, ActuatorsDict, Interaction, ModularEnvironment, Sensor, SensorsDict
from pamiq_sched.interaction.parts import set_up, tear_down
from pamiq_sched.lifecycle import without_state
from pamiq_sched.testing import FakeAgent
from tests.interaction.noting import ForgetfulSensor, NotingActuator, NotingSensor

NAMES = ["left", "right", "arm", "leg"]


def robot(calls=None, **raises):
    """Two sensors and two actuators; ``raises`` has errors by part and hook."""
    calls = [] if calls is None else calls

    def make(kind, *names):
        return {name: kind(name, calls, **raises.get(name, {})) for name in names}

    return ModularEnvironment.from_dict(make(NotingSensor, "left", "right"), make(NotingActuator, "arm", "leg"))


def test_a_sensor_is_observed_and_an_actuator_affected():
    sensor, actuator = NotingSensor("sensor"), NotingActuator("actuator")
    environment = ModularEnvironment(sensor, actuator)
    assert (environment.sensor, environment.actuator) == (sensor, actuator)
    assert [environment.observe(), environment.observe()] == [1, 2]
    environment.affect("forward")
    assert actuator.actions == ["forward"]


def test_several_sensors_are_observed_by_name():
    environment = robot()
    environment.sensor["left"].count = 40
    assert environment.observe() == {"left": 41, "right": 1}


def test_each_actuator_gets_its_part_of_an_action():
    environment = robot()
    environment.affect({"leg": "kick", "arm": "wave"})
    assert [environment.actuator[name].actions for name in ("arm", "leg")] == [["wave"], ["kick"]]


@pytest.mark.parametrize(
    ("action", "named"),
    [
        ({"arm": 1}, "missing: ['leg'], unknown: []"),
        ({"arm": 1, "leg": 2, "tail": 3}, "missing: [], unknown: ['tail']"),
        ({"arm": 1, "Leg": 2, 3: 4}, "missing: ['leg'], unknown: [3, 'Leg']"),
        ({}, "missing: ['arm', 'leg'], unknown: []"),
    ],
)
def test_an_action_of_other_names_is_refused_before_anything_moves(action, named):
    calls = []
    with pytest.raises(KeyError, match=re.escape(f"of the actuators ['arm', 'leg']; {named}")):
        robot(calls).affect(action)
    assert calls == []


def test_an_action_without_names_is_refused():
    with pytest.raises(TypeError, match=re.escape("the names of the actuators ['arm', 'leg'], got 0.5")):
        robot().affect(0.5)


def test_a_sensor_that_raises_is_named():
    with pytest.raises(OSError, match="unplugged") as caught:
        robot(right={"read": OSError("unplugged")}).observe()
    assert caught.value.__notes__ == ["raised by the sensor 'right'"]


def test_an_actuator_that_raises_is_named():
    with pytest.raises(OSError, match="stuck") as caught:
        robot(arm={"operate": OSError("stuck")}).affect({"arm": 1, "leg": 2})
    assert caught.value.__notes__ == ["raised by the actuator 'arm'"]


# What is refused.


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((NotingActuator("a"), NotingActuator("b")), "the sensor must be of the class Sensor"),
        ((NotingSensor("a"), lambda action: None), "the actuator must be of the class Actuator"),
    ],
)
def test_parts_of_other_classes_are_refused(parts, message):
    with pytest.raises(TypeError, match=message):
        ModularEnvironment(*parts)


@pytest.mark.parametrize(
    ("sensors", "actuators", "message"),
    [
        ({"a": NotingActuator("a")}, {}, "the sensor 'a' must be of the class Sensor"),
        ({}, {"a": NotingSensor}, "the actuator 'a' must be of the class Actuator"),
    ],
)
def test_named_parts_of_other_classes_are_refused(sensors, actuators, message):
    with pytest.raises(TypeError, match=message):
        ModularEnvironment.from_dict(sensors, actuators)


@pytest.mark.parametrize("kind", [SensorsDict, ActuatorsDict])
@pytest.mark.parametrize(
    ("name", "error"), [("../x", ValueError), ("", ValueError), ("a.json", ValueError), (3, TypeError)]
)
def test_a_name_that_cannot_be_a_file_is_refused(kind, name, error):
    part = NotingSensor("part") if kind is SensorsDict else NotingActuator("part")
    with pytest.raises(error, match="name becomes a file name"):
        kind({name: part})


def test_nothing_gets_in_unchecked():
    sensors = SensorsDict()
    with pytest.raises(ValueError, match="file name"):
        sensors |= {"a/b": NotingSensor("sensor")}
    with pytest.raises(TypeError, match="must be of the class Sensor"):
        sensors.update(a=NotingActuator("actuator"))
    assert not sensors


@pytest.mark.parametrize("missing", ["read", "operate"])
def test_what_a_part_does_must_be_overridden(missing):
    with pytest.raises(TypeError, match=missing):
        (Sensor if missing == "read" else Actuator)()


def test_a_sensor_of_two_names_is_refused_by_the_interaction():
    camera = NotingSensor("camera")
    environment = ModularEnvironment.from_dict({"left": camera, "right": camera}, {})
    with pytest.raises(ValueError, match="'environment/sensor/left' and 'environment/sensor/right'"):
        Interaction(FakeAgent(), environment)


# Events.


@pytest.mark.parametrize("hook", ["setup", "on_paused", "on_resumed"])
def test_an_event_reaches_every_part_in_order(hook):
    calls = []
    getattr(robot(calls), hook)()
    assert calls == [f"{name} {hook}" for name in NAMES]


def test_what_was_set_up_is_torn_down_once_the_last_first():
    calls = []
    environment = robot(calls)
    set_up(environment)
    calls.clear()
    tear_down(environment)
    assert calls == [f"{name} teardown" for name in reversed(NAMES)]


@pytest.mark.parametrize("hook", ["teardown", "on_paused", "on_resumed"])
def test_an_event_reaches_every_part_though_several_raise(hook):
    calls, errors = [], {"left": OSError("l"), "leg": ValueError("g"), "arm": SystemExit(3)}
    environment = robot(calls, **{name: {hook: error} for name, error in errors.items()})
    environment.setup()
    calls.clear()
    with pytest.raises(BaseExceptionGroup, match=f"raised in {hook}") as caught:
        getattr(environment, hook)()
    assert sorted(calls) == sorted(f"{name} {hook}" for name in NAMES)
    leaves = [e for part in caught.value.exceptions for e in getattr(part, "exceptions", [part])]
    assert set(leaves) == set(errors.values())


def test_what_a_part_raises_tells_its_place():
    with pytest.raises(OSError, match="no") as caught:
        robot(right={"on_paused": OSError("no")}).on_paused()
    assert caught.value.__notes__ == [
        "raised in on_paused of 'right' (NotingSensor)",
        "raised in on_paused of 'sensor' (SensorsDict)",
    ]


@pytest.mark.parametrize("failing", range(4))
def test_a_failed_setup_tears_down_what_was_set_up_the_last_first(failing):
    calls, error = [], OSError("no such device")
    environment = robot(calls, **{NAMES[failing]: {"setup": error}})
    with pytest.raises(OSError, match="no such device") as caught:
        environment.setup()
    assert caught.value is error
    assert calls == [f"{name} setup" for name in NAMES[: failing + 1]] + [
        f"{name} teardown" for name in reversed(NAMES[:failing])
    ]


def test_an_override_that_raises_behind_its_parts_has_them_torn_down():
    calls = []

    class Picky(ModularEnvironment):
        def setup(self):
            super().setup()
            raise OSError("too dark")

    environment = Picky(NotingSensor("sensor", calls), NotingActuator("actuator", calls))
    with pytest.raises(OSError, match="too dark"):
        Interaction(FakeAgent(), environment).setup()
    assert calls == ["sensor setup", "actuator setup", "actuator teardown", "sensor teardown"]


def test_parts_are_torn_down_though_an_override_forgets_them():
    calls = []

    class Forgetful(ModularEnvironment):
        def teardown(self):
            calls.append("own teardown")

    interaction = Interaction(
        FakeAgent(), Forgetful(NotingSensor("sensor", calls), NotingActuator("actuator", calls))
    )
    interaction.setup()
    calls.clear()
    interaction.teardown()
    assert calls == ["own teardown", "actuator teardown", "sensor teardown"]


def test_parts_that_were_never_set_up_are_not_torn_down():
    calls = []

    class Forgetful(ModularEnvironment):
        def setup(self):
            pass

    environment = Forgetful(NotingSensor("sensor", calls), NotingActuator("actuator", calls))
    set_up(environment)
    tear_down(environment)
    assert calls == []


def test_an_environment_can_be_set_up_again_after_a_failure():
    calls, raises = [], {"setup": OSError("no")}
    environment = robot(calls, right=raises)
    environment.sensor["right"].raises = raises
    with pytest.raises(OSError, match="no"):
        set_up(environment)
    raises.clear()
    calls.clear()
    set_up(environment)
    tear_down(environment)
    assert calls == [f"{n} setup" for n in NAMES] + [f"{n} teardown" for n in reversed(NAMES)]


# Parts that come later.


def test_a_part_that_is_added_before_setup_is_taken_along():
    calls = []
    environment = robot(calls)
    environment.sensor["third"] = NotingSensor("third", calls)
    environment.setup()
    assert calls == ["left setup", "right setup", "third setup", "arm setup", "leg setup"]


@pytest.mark.parametrize(
    "change",
    [
        lambda sensors: sensors.update(third=NotingSensor("third")),
        lambda sensors: sensors.pop("left"),
        lambda sensors: sensors.clear(),
        lambda sensors: sensors.__ior__({"third": NotingSensor("third")}),
    ],
    ids=["add", "pop", "clear", "or"],
)
def test_parts_do_not_change_while_they_are_set_up(change):
    sensors = robot().sensor
    sensors.setup()
    with pytest.raises(
        RuntimeError, match=re.escape("between setup() and teardown(); there are ['left', 'right']")
    ):
        change(sensors)
    assert list(sensors) == ["left", "right"]
    sensors.teardown()
    change(sensors)
    assert list(sensors) != ["left", "right"]


def test_an_empty_dict_is_set_up_too():
    sensors = SensorsDict()
    sensors.setup()
    with pytest.raises(RuntimeError, match="there are \\[\\]"):
        sensors["late"] = NotingSensor("late")


# Seeds.


def test_every_part_has_a_seed_of_its_own():
    environment = robot()
    environment.attach_seed(7)
    parts = [*environment.sensor.values(), *environment.actuator.values()]
    seeds = {part.seed for part in parts}
    assert len(seeds) == 4
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds)
    assert 7 not in seeds


def test_seeds_follow_from_the_one_that_is_given_and_from_the_name_alone():
    def seed_of_right(seed, *names):
        sensors = SensorsDict({name: NotingSensor(name) for name in names})
        sensors.attach_seed(seed)
        return sensors["right"].seed

    assert seed_of_right(7, "right") == seed_of_right(7, "left", "right", "third")
    assert seed_of_right(7, "right") != seed_of_right(8, "right")


# State.


def test_every_part_goes_on_with_its_own_state(tmp_path):
    environment = robot()
    for _ in range(3):
        environment.observe()
    environment.affect({"arm": 1, "leg": 2})
    environment.sensor["right"].read()
    environment.save_state(tmp_path / "environment")
    later = robot()
    later.load_state(tmp_path / "environment")
    counts = {n: p.count for n, p in [*later.sensor.items(), *later.actuator.items()]}
    assert counts == {"left": 3, "right": 4, "arm": 1, "leg": 1}


def test_parts_are_saved_under_their_names(tmp_path):
    robot().save_state(tmp_path / "environment")
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert files == [
        "environment/actuator/arm.json",
        "environment/actuator/leg.json",
        "environment/sensor/left.json",
        "environment/sensor/right.json",
    ]


def test_without_parts_nothing_is_saved(tmp_path):
    SensorsDict().save_state(tmp_path / "sensors")
    SensorsDict().load_state(tmp_path / "sensors")
    assert list(tmp_path.iterdir()) == []


def test_the_parts_that_keep_no_state_are_named_and_not_what_holds_them():
    environment = ModularEnvironment.from_dict(
        {"left": ForgetfulSensor(), "right": NotingSensor("right")}, {"arm": NotingActuator("arm")}
    )
    assert without_state({"environment": environment}) == ["environment/sensor/left (ForgetfulSensor)"]


def test_a_derived_class_may_have_lost_something_and_is_named():
    class Counting(ModularEnvironment):
        count = 0

    class Saving(Counting):
        def save_state(self, path):
            super().save_state(path)

    parts = {
        "counting": Counting(NotingSensor("s"), NotingActuator("a")),
        "saving": Saving(NotingSensor("s"), NotingActuator("a")),
    }
    assert without_state(parts) == ["counting (Counting)"]
