"""Hooks that are due are called, whatever the others raise."""

import pytest

from pamiq_sched import ShutdownRequested
from pamiq_sched.lifecycle import ErrorCollector, PersistentStateMixin, call_all, load_parts, save_parts


def raising(error: BaseException):
    def hook():
        raise error

    return hook


def test_all_hooks_are_called_and_the_one_error_is_raised_as_itself():
    called = []
    error = SystemExit(4)
    with pytest.raises(SystemExit) as raised:
        call_all("hooks", [lambda: called.append(1), raising(error), lambda: called.append(2)])
    assert raised.value is error
    assert called == [1, 2]


def test_several_errors_are_raised_as_a_group():
    with pytest.raises(ExceptionGroup, match="hooks"):
        call_all("hooks", [raising(ValueError()), raising(KeyError())])


def test_a_group_with_an_interrupt_is_no_plain_exception():
    with pytest.raises(BaseExceptionGroup) as raised:
        call_all("hooks", [raising(ValueError()), raising(KeyboardInterrupt())])
    assert not isinstance(raised.value, Exception)


def test_a_shutdown_request_gives_way_to_an_error():
    errors = ErrorCollector("session and teardown")
    with errors:
        raise ShutdownRequested
    with errors:
        raise ValueError("teardown")
    with pytest.raises(ValueError, match="teardown"):
        errors.raise_collected()


def test_a_shutdown_request_alone_is_raised():
    with pytest.raises(ShutdownRequested):
        call_all("hooks", [raising(ShutdownRequested()), raising(ShutdownRequested())])


def test_a_shutdown_request_passes_an_except_exception():
    assert not issubclass(ShutdownRequested, Exception)


def test_nothing_collected_raises_nothing():
    call_all("hooks", [])


def test_what_cannot_be_saved_or_loaded_names_the_part(tmp_path):
    class Broken(PersistentStateMixin):
        def save_state(self, path):
            raise TypeError("no way")

        def load_state(self, path):
            raise TypeError("no way")

    for act, done in ((save_parts, "saved"), (load_parts, "loaded")):
        with pytest.raises(TypeError, match="no way") as refused:
            act({"camera": Broken()}, tmp_path)
        assert refused.value.__notes__ == [f"raised while 'camera' was {done}"]
