"""Wrappers change what passes, and hand on everything else to what is behind them."""

import threading
from functools import partial

import pytest

from pamiq_sched import LaunchConfig, System
from pamiq_sched.interaction import (
    ActuatorWrapper,
    EnvironmentWrapper,
    Interaction,
    LambdaWrapper,
    ModularEnvironment,
    SensorWrapper,
    Wrapper,
)
from pamiq_sched.interaction.parts import set_up
from pamiq_sched.lifecycle import without_state
from pamiq_sched.testing import FakeAgent
from tests.interaction.noting import (
    ForgetfulSensor,
    NotingActuator,
    NotingEnvironment,
    NotingSensor,
    NotingWrapper,
)


def negative(value):
    return -value


def wrapped_environment(calls, **raises):
    return EnvironmentWrapper(
        NotingEnvironment("env", calls, **raises.get("env", {})),
        NotingWrapper("obs_wrapper", calls, **raises.get("obs_wrapper", {})),
        NotingWrapper("act_wrapper", calls, **raises.get("act_wrapper", {})),
    )


def wrapped_sensor(calls, **raises):
    return SensorWrapper(
        NotingSensor("sensor", calls, **raises.get("sensor", {})),
        NotingWrapper("wrapper", calls, **raises.get("wrapper", {})),
    )


def wrapped_actuator(calls, **raises):
    return ActuatorWrapper(
        NotingActuator("actuator", calls, **raises.get("actuator", {})),
        NotingWrapper("wrapper", calls, **raises.get("wrapper", {})),
    )


WRAPPED = [
    pytest.param(wrapped_environment, ["env", "obs_wrapper", "act_wrapper"], id="environment"),
    pytest.param(wrapped_sensor, ["sensor", "wrapper"], id="sensor"),
    pytest.param(wrapped_actuator, ["actuator", "wrapper"], id="actuator"),
]

# What passes.


def test_observations_and_actions_are_wrapped():
    room = NotingEnvironment("room")
    environment = EnvironmentWrapper(room, NotingWrapper("tenfold"), str)
    assert environment.env is room
    assert environment.observe() == 10
    environment.affect(3)
    assert room.actions == ["3"]


def test_readings_are_wrapped():
    camera = NotingSensor("camera")
    sensor = SensorWrapper(camera, negative)
    assert sensor.sensor is camera
    assert [sensor.read(), sensor.read()] == [-1, -2]


def test_operations_are_wrapped():
    motor = NotingActuator("motor")
    actuator = ActuatorWrapper(motor, negative)
    assert actuator.actuator is motor
    actuator.operate(3)
    assert motor.actions == [-3]


def test_a_wrapper_is_called_as_a_function():
    assert NotingWrapper("tenfold")(4) == 40
    assert LambdaWrapper(negative)(4) == LambdaWrapper(negative).wrap(4) == -4


def test_a_wrapper_wraps_sensors_and_actuators():
    wrapper, motor = NotingWrapper("tenfold"), NotingActuator("motor")
    assert wrapper.wrap_sensor(NotingSensor("camera")).read() == 10
    wrapper.wrap_actuator(motor).operate(5)
    assert motor.actions == [50]


def test_what_is_wrapped_can_be_wrapped():
    sensor = LambdaWrapper(str).wrap_sensor(LambdaWrapper(negative).wrap_sensor(NotingSensor("camera")))
    assert sensor.read() == "-1"


# What is refused.


@pytest.mark.parametrize("wrapper", [None, "gray", 3])
@pytest.mark.parametrize(
    "wrap",
    [
        LambdaWrapper,
        partial(SensorWrapper, NotingSensor("s")),
        partial(ActuatorWrapper, NotingActuator("a")),
        partial(EnvironmentWrapper, NotingEnvironment("e"), negative),
        lambda wrapper: EnvironmentWrapper(NotingEnvironment("e"), wrapper, negative),
    ],
    ids=["lambda", "sensor", "actuator", "act", "obs"],
)
def test_what_cannot_be_called_is_no_wrapper(wrap, wrapper):
    with pytest.raises(TypeError, match=f"must be a Wrapper or a function of one value, got {wrapper!r}"):
        wrap(wrapper)


def test_the_class_of_a_wrapper_is_no_wrapper():
    with pytest.raises(TypeError, match=r"must be an object, got a class; write NotingWrapper\(...\)"):
        SensorWrapper(NotingSensor("camera"), NotingWrapper)


@pytest.mark.parametrize(
    ("kind", "wrappers", "message"),
    [
        (EnvironmentWrapper, (negative, negative), "env must be of the class Environment"),
        (SensorWrapper, (negative,), "the sensor must be of the class Sensor"),
        (ActuatorWrapper, (negative,), "the actuator must be of the class Actuator"),
    ],
)
def test_what_is_wrapped_must_be_of_its_class(kind, wrappers, message):
    with pytest.raises(TypeError, match=message):
        kind(object(), *wrappers)


def test_wrap_must_be_overridden():
    with pytest.raises(TypeError, match="wrap"):
        Wrapper()


# Events.


@pytest.mark.parametrize(("make", "names"), WRAPPED)
@pytest.mark.parametrize("hook", ["setup", "on_paused", "on_resumed"])
def test_an_event_reaches_what_is_behind_and_then_the_wrappers(make, names, hook):
    calls = []
    getattr(make(calls), hook)()
    assert calls == [f"{name} {hook}" for name in names]


@pytest.mark.parametrize(("make", "names"), WRAPPED)
@pytest.mark.parametrize("hook", ["teardown", "on_paused", "on_resumed"])
def test_an_event_reaches_all_though_the_first_raises(make, names, hook):
    for raising in (names[0], names[-1]):
        calls, error = [], OSError("no")
        component = make(calls, **{raising: {hook: error}})
        component.setup()
        calls.clear()
        with pytest.raises(OSError, match="no") as caught:
            getattr(component, hook)()
        assert caught.value is error
        assert sorted(calls) == sorted(f"{name} {hook}" for name in names)


@pytest.mark.parametrize(("make", "names"), WRAPPED)
def test_a_wrapper_that_fails_in_setup_has_what_is_behind_torn_down(make, names):
    calls, error = [], OSError("no")
    with pytest.raises(OSError, match="no") as caught:
        set_up(make(calls, **{names[-1]: {"setup": error}}))
    assert caught.value is error
    assert calls == [f"{name} setup" for name in names] + [f"{name} teardown" for name in names[-2::-1]]


def test_one_wrapper_may_be_put_in_several_places():
    calls = []
    wrapper = NotingWrapper("wrapper", calls)
    environment = ModularEnvironment.from_dict(
        {name: wrapper.wrap_sensor(NotingSensor(name)) for name in ("left", "right")}, {}
    )
    Interaction(FakeAgent(), environment).setup()
    assert calls == ["wrapper setup", "wrapper setup"]


def test_an_environment_that_is_wrapped_twice_over_is_no_mistake_but_one_in_two_places_is():
    room = NotingEnvironment("room")
    once = EnvironmentWrapper(room, negative, negative)
    Interaction(FakeAgent(), EnvironmentWrapper(once, negative, negative))
    camera = NotingSensor("camera")
    both = {"color": camera, "gray": SensorWrapper(camera, negative)}
    with pytest.raises(ValueError, match="'environment/sensor/color' and 'environment/sensor/gray/sensor'"):
        Interaction(FakeAgent(), ModularEnvironment.from_dict(both, {}))


# Seeds.


@pytest.mark.parametrize(("make", "names"), WRAPPED)
def test_what_is_behind_gets_the_seed_itself_and_each_wrapper_its_own(make, names):
    component = make([])
    component.attach_seed(7)
    first, *wrappers = component.persistent_parts().values()
    assert first.seed == 7
    seeds = {wrapper.seed for wrapper in wrappers}
    assert len(seeds) == len(names) - 1
    assert not seeds & {7, None}


# State.


@pytest.mark.parametrize(("make", "names"), WRAPPED)
def test_every_part_goes_on_with_its_own_state(make, names, tmp_path):
    component = make([])
    for count, part in enumerate(component.persistent_parts().values(), 5):
        part.count = count
    component.save_state(tmp_path / "component")
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert files == sorted(f"component/{name}.json" for name in names)
    later = make([])
    later.load_state(tmp_path / "component")
    assert [part.count for part in later.persistent_parts().values()] == [5, 6, 7][: len(names)]


class Memory:
    """Something that can be called and may remember."""

    def __call__(self, value):
        return value


def test_functions_have_no_state_to_lose_and_other_callables_may_have():
    wrappers = {
        "function": LambdaWrapper(negative),
        "lambda": LambdaWrapper(lambda value: value),
        "builtin": LambdaWrapper(abs),
        "class": LambdaWrapper(float),
        "partial": LambdaWrapper(partial(partial(pow), 2)),
        "object": LambdaWrapper(Memory()),
        "method": LambdaWrapper(NotingWrapper("tenfold").wrap),
    }
    assert without_state(wrappers) == ["object (LambdaWrapper)", "method (LambdaWrapper)"]


def test_what_keeps_no_state_is_named_at_any_depth():
    class Blurred(Wrapper):
        def wrap(self, value):
            return value

    environment = EnvironmentWrapper(
        ModularEnvironment.from_dict(
            {"left": Blurred().wrap_sensor(ForgetfulSensor())}, {"arm": NotingActuator("arm")}
        ),
        negative,
        NotingWrapper("tenfold"),
    )
    assert without_state({"environment": environment}) == [
        "environment/env/sensor/left/sensor (ForgetfulSensor)",
        "environment/env/sensor/left/wrapper (Blurred)",
    ]


# In a system.


class World:
    """A wrapped robot of two sensors and an actuator, and the system that it lives in."""

    def __init__(self, states_dir, **config):
        self.calls = []
        self.left = NotingSensor("left", self.calls)
        self.arm = NotingActuator("arm", self.calls)
        self.tenfold = NotingWrapper("tenfold", self.calls)
        self.environment = EnvironmentWrapper(
            ModularEnvironment.from_dict(
                {"left": self.tenfold.wrap_sensor(self.left), "right": ForgetfulSensor()},
                {"arm": LambdaWrapper(negative).wrap_actuator(self.arm)},
            ),
            lambda readings: readings["left"],
            lambda action: {"arm": action},
        )
        self.seen = []
        self.has_acted = threading.Event()
        self.agent = FakeAgent(self.decide)
        self.system = System(
            Interaction(self.agent, self.environment),
            {},
            {},
            {},
            LaunchConfig(states_dir=states_dir, freeze_garbage=False, **config),
        )

    def decide(self, observation):
        self.seen.append(observation)
        if len(self.seen) == 3:
            self.has_acted.set()
        return observation

    def wait_for_steps(self):
        assert self.has_acted.wait(30.0)

    def events(self):
        return [call for call in self.calls if not call.endswith(("read", "operate"))]


def test_a_pause_reaches_every_part_in_a_running_system(tmp_path):
    world = World(tmp_path)
    with world.system as system:
        world.wait_for_steps()
        system.pause()
        assert world.events()[-3:] == ["left on_paused", "tenfold on_paused", "arm on_paused"]
        system.resume()
        system.pause()  # done only when the resume before it was heard
        resumed = [call for call in world.events() if "resumed" in call]
        assert resumed == ["left on_resumed", "tenfold on_resumed", "arm on_resumed"]
        system.resume()
    assert world.arm.actions[:2] == [-10, -20]
    assert world.events()[-3:] == ["arm teardown", "tenfold teardown", "left teardown"]


def test_a_run_goes_on_with_the_state_of_every_part_and_names_those_without(tmp_path):
    world = World(tmp_path)
    with world.system as system:
        world.wait_for_steps()
        system.pause()
        saved = system.save_state()
        steps = system.status().steps
        assert [world.left.count, world.tenfold.count, world.arm.count] == [steps, steps, steps]
    later = World(tmp_path, saved_state_path=saved)
    with later.system as system:
        later.wait_for_steps()
        not_restored = [line for line in system.status().not_restored if "environment" in line]
    assert later.seen[:3] == [10 * (steps + 1), 10 * (steps + 2), 10 * (steps + 3)]
    assert not_restored == ["interaction/environment/env/sensor/right (ForgetfulSensor): it keeps no state"]


def test_the_seed_of_a_run_reaches_every_part(tmp_path):
    def seeds(seed):
        world = World(tmp_path, seed=seed, max_uptime=0.001)
        world.system.run()
        return [world.left.seed, world.tenfold.seed, world.arm.seed]

    first, again, other = seeds(7), seeds(7), seeds(8)
    assert first == again
    assert len({*first, *other}) == 6
