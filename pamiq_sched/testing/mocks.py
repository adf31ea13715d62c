"""Mocks of models and buffers as pamiq-core has them, so that tests written for it port by changing the import.

They accept every call and answer with mocks. The fakes of this package answer with what they are told, and keep
what they were given: prefer them in a new test.
"""

from __future__ import annotations

from unittest.mock import MagicMock, Mock

from pamiq_sched.data import DataBuffer
from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.model import InferenceModel, TrainingModel


def create_mock_models(has_inference_model: bool = True, inference_thread_only: bool = False) -> tuple[Mock, Mock]:
    """Return mocks of a training model and of its inference model.

    Args:
        has_inference_model: As for :class:`~pamiq_sched.TrainingModel`; without one, the two are not joined.
        inference_thread_only: As there.

    Example:
        >>> from pamiq_sched.testing import connect_components
        >>> training_model, inference_model = create_mock_models()
        >>> inference_model.infer.return_value = "left"
        >>> parts = connect_components(models={"policy": training_model})
        >>> parts.inference_models["policy"].infer("a wall")
        'left'
        >>> parts.training_models["policy"].sync()
        >>> training_model.sync.assert_called_once_with()
    """
    training_model, inference_model = Mock(TrainingModel), Mock(InferenceModel)
    training_model.has_inference_model = has_inference_model
    training_model.inference_thread_only = inference_thread_only
    training_model.is_synced = has_inference_model and not inference_thread_only
    training_model.sync.return_value = None
    if has_inference_model:
        training_model.inference_model = inference_model
    inference_model.staleness.return_value = None
    _keep_no_state(training_model)
    return training_model, inference_model


def create_mock_buffer(max_queue_size: int = 1) -> MagicMock:
    """Return a mock of a buffer, whose length is 0 until its ``__len__`` is told otherwise.

    Args:
        max_queue_size: As for :class:`~pamiq_sched.DataBuffer`. A trainer that asks for more new items than that
            is refused, as with any buffer.

    Example:
        >>> from pamiq_sched.testing import connect_components
        >>> buffer = create_mock_buffer()
        >>> parts = connect_components(buffers={"frames": buffer})
        >>> parts.data_collectors["frames"].collect("a frame")
        >>> parts.data_users["frames"].update()
        >>> buffer.add.assert_called_once_with("a frame")
    """
    buffer = MagicMock(DataBuffer)
    buffer.max_queue_size = max_queue_size
    _keep_no_state(buffer)
    return buffer


def _keep_no_state(component: Mock) -> None:
    """Let a mock say of its state what is true, which a system asks when it is saved."""
    component.keeps_state = False
    component.persistent_parts.return_value = PersistentStateMixin().persistent_parts()
