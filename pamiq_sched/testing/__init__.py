"""For tests of your own agents, trainers and systems: on the test's own thread, in its own time.

:func:`connect_components` joins a few components, :func:`run_steps` drives a whole system, fakes take the place
of what a test is not about. Together with :class:`ManualClock` nothing here waits.
"""

from pamiq_sched.clock import ManualClock
from pamiq_sched.testing.connecting import ConnectedComponents, connect_components
from pamiq_sched.testing.fakes import (
    FakeAgent,
    FakeBuffer,
    FakeEnvironment,
    FakeInferenceModel,
    FakePausePoint,
    FakeTrainingModel,
)
from pamiq_sched.testing.mocks import create_mock_buffer, create_mock_models
from pamiq_sched.testing.running import LoggedValue, RunSteps, run_steps

__all__ = [
    "ConnectedComponents",
    "FakeAgent",
    "FakeBuffer",
    "FakeEnvironment",
    "FakeInferenceModel",
    "FakePausePoint",
    "FakeTrainingModel",
    "LoggedValue",
    "ManualClock",
    "RunSteps",
    "connect_components",
    "create_mock_buffer",
    "create_mock_models",
    "run_steps",
]
