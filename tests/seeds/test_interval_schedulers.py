"""Every example of the seed document on interval schedulers, run on pamiq_sched.

The code is the document's but for the imports and for what it leaves out. Its schedulers take no clock, so its
minutes pass on the system clock, which the tests set forward.
"""

import pytest

from pamiq_sched import Trainer, system_clock, time
from pamiq_sched.testing import connect_components


@pytest.fixture
def pass_time():
    """Let time pass on the system clock, and set it back to where it was afterwards."""
    clock = system_clock()
    original = clock.source
    passed = 0.0

    def advance(seconds):
        nonlocal passed
        passed += seconds

    clock.source = lambda: original() + passed
    yield advance
    readings = {name: reading - passed for name, reading in clock.state_dict().items()}
    clock.source = original
    clock.load_state_dict(readings)


def test_base_scheduler():
    due = iter([False, True, False])

    def check_condition():
        return next(due)

    from pamiq_sched.schedulers import Scheduler

    class MyScheduler(Scheduler):
        def __init__(self, callbacks=None):
            super().__init__(callbacks)
            self.ready = False

        def is_available(self):
            return self.ready

        def update(self):
            # Set ready to True when some condition is met
            self.ready = check_condition()
            # Call parent update which will execute callbacks if is_available() returns True
            super().update()

    called = []
    scheduler = MyScheduler(lambda: called.append("now"))
    counts = []
    for _ in range(3):
        scheduler.update()
        counts.append(len(called))
    assert counts == [0, 1, 1]


def test_time_interval_scheduler(pass_time, capsys):
    from pamiq_sched.schedulers import TimeIntervalScheduler

    # Create a scheduler that executes callbacks every 60 seconds
    def log_metrics():
        print("Logging metrics...")  # noqa: T201 - the document's

    metrics_scheduler = TimeIntervalScheduler(60.0, log_metrics)

    # In your main loop:
    started, running = time.time(), True
    while running:
        pass_time(10.0)
        metrics_scheduler.update()
        running = time.time() - started < 185.0

    assert capsys.readouterr().out == "Logging metrics...\n" * 3


def test_step_interval_scheduler(capsys):
    from pamiq_sched.schedulers import StepIntervalScheduler

    # Create a scheduler that executes callbacks every 100 steps
    def evaluate_model():
        print("Evaluating model performance...")  # noqa: T201 - the document's

    eval_scheduler = StepIntervalScheduler(100, evaluate_model)

    # In your training loop:
    total_steps, printed = 350, []
    for step in range(total_steps):
        eval_scheduler.update()  # Will trigger every 100 calls
        if capsys.readouterr().out == "Evaluating model performance...\n":
            printed.append(step + 1)

    assert printed == [100, 200, 300]


def test_registering_multiple_callbacks(pass_time):
    called = []

    def save_checkpoint():
        called.append("save")

    def log_performance():
        called.append("log")

    def clean_memory():
        called.append("clean")

    from pamiq_sched.schedulers import TimeIntervalScheduler

    # Create scheduler with initial callback
    scheduler = TimeIntervalScheduler(300.0, save_checkpoint)

    # Register additional callbacks
    scheduler.register_callback(log_performance)
    scheduler.register_callback(clean_memory)

    # All three callbacks will execute every 5 minutes
    pass_time(299.0)
    scheduler.update()
    assert called == []
    pass_time(1.5)
    scheduler.update()
    assert called == ["save", "log", "clean"]


def test_removing_a_callback(pass_time):
    called = []

    def save_checkpoint():
        called.append("save")

    def clean_memory():
        called.append("clean")

    from pamiq_sched.schedulers import TimeIntervalScheduler

    scheduler = TimeIntervalScheduler(300.0, [save_checkpoint, clean_memory])

    # Remove a specific callback
    scheduler.remove_callback(clean_memory)

    pass_time(300.5)
    scheduler.update()
    assert called == ["save"]


def test_integration_with_components(pass_time):
    from pamiq_sched.schedulers import TimeIntervalScheduler

    class MyTrainer(Trainer):
        def __init__(self):
            super().__init__()
            self.evaluated = 0
            # Create scheduler for model evaluation
            self.eval_scheduler = TimeIntervalScheduler(
                interval=300.0,  # Every 5 minutes
                callbacks=self.evaluate_model,
            )

        def train(self):
            pass_time(100.0)  # Training code...
            self.eval_scheduler.update()

        def evaluate_model(self):
            self.evaluated += 1

    trainer = MyTrainer()
    connect_components(trainers=trainer)
    for _ in range(9):
        trainer.run()
    assert trainer.evaluated == 3
