"""Every example of the seed document on trainers, run on pamiq_sched.

The code is the document's but for the imports and for what it leaves out; ``override`` is that of
typing_extensions, for Python 3.11 has none.
"""

from datetime import datetime as real_datetime

import pytest
from typing_extensions import override

from pamiq_sched import DictSequentialBuffer, System
from pamiq_sched.testing import (
    FakeAgent,
    FakeBuffer,
    FakeEnvironment,
    FakeTrainingModel,
    connect_components,
)


def collect(parts, name, *items):
    for item in items:
        parts.data_collectors[name].collect(item)


def test_implementing_custom_trainers():
    from pamiq_sched import Trainer

    class MyTrainer(Trainer):
        """Custom trainer that implements a simple learning algorithm."""

        @override
        def train(self) -> None:
            """Implement the training logic."""
            # Get the model
            model = self.get_training_model("policy_model")

            # Training logic
            for _ in range(10):  # 10 optimization steps
                model()

            # Model parameters will be automatically synchronized after training

    steps = []
    model = FakeTrainingModel(lambda: steps.append(1))
    trainer = MyTrainer()
    connect_components(trainers=trainer, models={"policy_model": model})
    assert trainer.run()
    assert len(steps) == 10
    assert model.inference_model.synced == 1


def test_training_conditions():
    from pamiq_sched import Trainer

    class MyTrainer(Trainer):
        def train(self) -> None:
            pass

    # Create a trainer that only trains when:
    # 1. The "experience" buffer has at least 1000 samples
    # 2. At least 100 new samples have been collected since last training
    trainer = MyTrainer(training_condition_data_user="experience", min_buffer_size=1000, min_new_data_count=100)

    parts = connect_components(trainers=trainer, buffers={"experience": FakeBuffer()})
    results = []
    for n in (999, 1, 99, 1, 0):
        collect(parts, "experience", *range(n))
        results.append(trainer.run())
    assert results == [False, True, False, True, False]


@pytest.mark.parametrize(("hour", "trains"), [(7, False), (8, True), (20, True), (21, False)])
def test_custom_training_conditions(hour, trains):
    from pamiq_sched import Trainer

    class datetime(real_datetime):  # noqa: N801 - the document's name
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, hour)

    class MyTrainer(Trainer):
        def train(self) -> None:
            pass

        @override
        def is_trainable(self) -> bool:
            """Determine if training should be executed."""
            # Check parent condition first
            if not super().is_trainable():
                return False

            # Add custom condition - only train during daytime
            current_hour = datetime.now().hour
            return 8 <= current_hour <= 20

    trainer = MyTrainer("experience", min_buffer_size=1)
    parts = connect_components(trainers=trainer, buffers={"experience": FakeBuffer()})
    assert not trainer.run()
    collect(parts, "experience", "item")
    assert trainer.run() is trains


def test_accessing_training_models():
    from pamiq_sched import Trainer

    class MyTrainer(Trainer):
        @override
        def on_training_models_attached(self) -> None:
            """Called when training models are attached to the trainer."""
            # Store references to models for convenient access
            self.policy_model = self.get_training_model("policy")
            self.value_model = self.get_training_model("value")

        def train(self) -> None:
            self.policy_model()
            self.value_model()

    asked = []
    models = {name: FakeTrainingModel(lambda name=name: asked.append(name)) for name in ("policy", "value")}
    trainer = MyTrainer()
    connect_components(trainers=trainer, models=models)
    trainer.run()
    assert asked == ["policy", "value"]
    assert [model.inference_model.synced for model in models.values()] == [1, 1]


def test_using_experience_data():
    from pamiq_sched import Trainer

    class MyTrainer(Trainer):
        @override
        def on_data_users_attached(self) -> None:
            """Called when data users are attached to the trainer."""
            # Store references to data users for convenient access
            self.experience_data = self.get_data_user("experience")

        @override
        def train(self) -> None:
            """Train models using collected experience data."""
            # Update to get latest data
            self.experience_data.update()

            # Access the data
            data = self.experience_data.get_data()
            states = data["state"]
            actions = data["action"]
            rewards = data["reward"]

            # Use the data to train models
            self.seen = states, actions, rewards

    trainer = MyTrainer()
    parts = connect_components(
        trainers=trainer, buffers={"experience": DictSequentialBuffer(["state", "action", "reward"], 10)}
    )
    collect(parts, "experience", {"state": 1, "action": 2, "reward": 3}, {"state": 4, "action": 5, "reward": 6})
    trainer.run()
    assert trainer.seen == ([1, 4], [2, 5], [3, 6])


def test_setup_and_teardown():
    from pamiq_sched import Trainer

    class SomeOptimizer:
        def __init__(self, parameters):
            self.held = list(parameters)

    class MyTrainer(Trainer):
        @override
        def on_training_models_attached(self) -> None:
            self.policy_model = self.get_training_model("policy")
            self.policy_model.parameters = lambda: [1.0]

        @override
        def setup(self) -> None:
            """Called before training starts."""
            super().setup()  # Always call the parent method

            # Initialize training resources
            self.optimizer = SomeOptimizer(self.policy_model.parameters())
            self.batch_size = 64

        def train(self) -> None:
            self.trained_with = self.optimizer.held, self.batch_size

        @override
        def teardown(self) -> None:
            """Called after training finishes."""
            super().teardown()  # Always call the parent method

            # Clean up resources
            self.optimizer = None

    trainer = MyTrainer()
    connect_components(trainers=trainer, models={"policy": FakeTrainingModel()})
    trainer.run()
    assert trainer.trained_with == ([1.0], 64)
    assert trainer.optimizer is None


def test_thread_events(tmp_path):
    """On a system that is paused and resumed, for these hooks are its own."""
    from pamiq_sched import Trainer

    class Service:
        def __init__(self):
            self.events = []

        def pause(self):
            self.events.append("pause")

        def resume(self):
            self.events.append("resume")

    class MyTrainer(Trainer):
        def is_trainable(self) -> bool:
            return False

        def train(self) -> None:
            pass

        @override
        def on_paused(self) -> None:
            """Called when the system is paused."""
            super().on_paused()  # Always call the parent method

            # Pause external connections or resources
            if hasattr(self, "external_service"):
                self.external_service.pause()

        @override
        def on_resumed(self) -> None:
            """Called when the system is resumed."""
            super().on_resumed()  # Always call the parent method

            # Resume external connections or resources
            if hasattr(self, "external_service"):
                self.external_service.resume()

    from pamiq_sched import FixedIntervalInteraction

    with_service, without = MyTrainer(), MyTrainer()
    with_service.external_service = service = Service()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 0.001)
    system = System(interaction, {}, {}, {"a": with_service, "b": without}, {"states_dir": tmp_path})
    with system:
        system.pause()
        assert service.events == ["pause"]
        system.resume()
    assert service.events == ["pause", "resume"]
