"""Parts that note what is done to them in one list, and raise where they are told to."""

from pamiq_sched.interaction import Actuator, Environment, Sensor, Wrapper
from pamiq_sched.state import load, save


class Noting:
    """Notes its hooks; its state is what it counted."""

    def __init__(self, name, calls=None, **raises):
        super().__init__()
        self.name = name
        self.calls = [] if calls is None else calls
        self.raises = raises
        self.count = 0
        self.seed = None

    def note(self, hook):
        self.calls.append(f"{self.name} {hook}")
        if hook in self.raises:
            raise self.raises[hook]

    def attach_seed(self, seed):
        self.seed = seed

    def setup(self):
        super().setup()
        self.note("setup")

    def teardown(self):
        super().teardown()
        self.note("teardown")

    def on_paused(self):
        super().on_paused()
        self.note("on_paused")

    def on_resumed(self):
        super().on_resumed()
        self.note("on_resumed")

    def save_state(self, path):
        super().save_state(path)
        save(self.count, path)

    def load_state(self, path):
        super().load_state(path)
        self.count = load(path)


class NotingSensor(Noting, Sensor):
    """Reads how often it was read."""

    def read(self):
        self.note("read")
        self.count += 1
        return self.count


class NotingActuator(Noting, Actuator):
    """Keeps its actions; counts them."""

    def __init__(self, name, calls=None, **raises):
        super().__init__(name, calls, **raises)
        self.actions = []

    def operate(self, action):
        self.note("operate")
        self.count += 1
        self.actions.append(action)


class NotingEnvironment(Noting, Environment):
    """Shows how often it was observed, and keeps its actions."""

    def __init__(self, name, calls=None, **raises):
        super().__init__(name, calls, **raises)
        self.actions = []

    def observe(self):
        self.count += 1
        return self.count

    def affect(self, action):
        self.actions.append(action)


class NotingWrapper(Noting, Wrapper):
    """Makes ten times the value; counts the values."""

    def wrap(self, value):
        self.count += 1
        return 10 * value


class ForgetfulSensor(Sensor):
    """A sensor without state."""

    def read(self):
        return 0.0
