"""The small hooks that every component has, and how they are called.

Three pairs: setup/teardown around a component's work, on_paused/on_resumed around a stop of the system,
save_state/load_state around the end of a process. The invariant is that a hook that is due is called,
whatever another hook raised, and that whatever was raised reaches the caller. Called on the thread that owns
the component, inference or training; saving and loading by one thread, while the others stand still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


class InteractionEventMixin:
    """A component with a beginning and an end."""

    def setup(self) -> None:
        """Acquire what the component works with; called once before its first step."""

    def teardown(self) -> None:
        """Release what :meth:`setup` acquired; called once after the last step if ``setup`` returned."""


class ThreadEventMixin:
    """A component that is told when the system stops and goes on."""

    def on_paused(self) -> None:
        """Called once for each pause, before it is reported as done: let go of keys, actuators, devices."""

    def on_resumed(self) -> None:
        """Called once for each pause when it ends, by a resume or by a shutdown."""


class PersistentStateMixin:
    """A component that can be saved and loaded; by default it has nothing to save.

    Both hooks are called by one thread while every other one stands still.
    """

    def save_state(self, path: Path) -> None:
        """Write the state: a file or directory at ``path``, or files whose names begin with it.

        Nothing else is there yet; the parent directory exists.
        """

    def load_state(self, path: Path) -> None:
        """Read what :meth:`save_state` wrote at ``path``."""

    @property
    def keeps_state(self) -> bool:
        """Whether :meth:`save_state` saves anything of its own; those that do not are named after a resume."""
        return type(self).save_state is not PersistentStateMixin.save_state

    def persistent_parts(self) -> Mapping[str, PersistentStateMixin]:
        """Return those components below this one that are saved with it, by name."""
        return {}


@contextmanager
def noting(note: str) -> Iterator[None]:
    """Add to what is raised within the block of whom it came.

    Example:
        >>> with noting("raised by the sensor 'camera'"):
        ...     raise OSError("no signal")
        Traceback (most recent call last):
        OSError: no signal
        raised by the sensor 'camera'
    """
    try:
        yield
    except BaseException as error:
        error.add_note(note)
        raise


def without_state(parts: Mapping[str, PersistentStateMixin], within: str = "") -> list[str]:
    """Name the parts, at any depth, that keep no state, as paths with their classes."""
    found = []
    for name, part in parts.items():
        if not part.keeps_state:
            found.append(f"{within}{name} ({type(part).__name__})")
        found += without_state(part.persistent_parts(), f"{within}{name}/")
    return found


def save_parts(parts: Mapping[str, PersistentStateMixin], path: Path) -> None:
    """Save each part below ``path``, a directory that is made if it is not there, under its name."""
    path.mkdir(exist_ok=True)
    for name, part in parts.items():
        with noting(f"raised while {name!r} was saved"):
            part.save_state(path / name)


def load_parts(parts: Mapping[str, PersistentStateMixin], path: Path) -> None:
    """Load each part from below ``path``, where :func:`save_parts` put it."""
    for name, part in parts.items():
        with noting(f"raised while {name!r} was loaded"):
            part.load_state(path / name)


class ShutdownRequested(BaseException):
    """Raised by a pause point when the system shuts down, to leave ``train()`` or a pacing sleep at once.

    Not an error: the runtime ends the thread quietly, and ``teardown`` runs on the way out. It derives from
    BaseException so that an ``except Exception`` in user code lets it pass.
    """


class PausePoint(Protocol):
    """Where a thread may be stopped. The runtime attaches one to whoever takes long."""

    def __call__(self) -> None:
        """Stop here while the system is paused.

        Raises:
            ShutdownRequested: If the system shuts down.
        """

    def is_requested(self) -> bool:
        """Whether a call would stop or raise now; lock-free."""


class _NoPausePoint:
    """The pause point of a component that no system runs: it never stops."""

    def __call__(self) -> None:
        return

    def is_requested(self) -> bool:
        return False


NO_PAUSE_POINT: PausePoint = _NoPausePoint()


class ErrorCollector:
    """Run several things that must all run, then raise what they raised.

    Everything is collected, KeyboardInterrupt and SystemExit too: the next thing is due all the same, and
    :meth:`raise_collected` delivers them. One error is raised as itself, several as a group.

    Args:
        message: What the things were; it names the group.

    Example:
        >>> errors = ErrorCollector("while closing")
        >>> with errors:
        ...     raise OSError("first")
        >>> with errors:
        ...     print("the second still runs")
        the second still runs
        >>> errors.raise_collected()
        Traceback (most recent call last):
        OSError: first
    """

    def __init__(self, message: str) -> None:
        self.message = message
        self.errors: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self.errors.append(error)
        return error is not None

    def raise_collected(self) -> None:
        """Raise what was collected; nothing if there is nothing.

        Raises:
            BaseException: The one error, or a ``BaseExceptionGroup`` of several. A ShutdownRequested is no
                error and gives way to those that are.
        """
        errors = [e for e in self.errors if not isinstance(e, ShutdownRequested)] or self.errors[:1]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup(self.message, errors)


def call_all(message: str, hooks: Iterable[Callable[[], object]]) -> None:
    """Call every hook in order, whatever the others raise, then raise what was raised.

    Args:
        message: Names the group if several raise.
        hooks: Called without arguments.

    Raises:
        BaseException: As :meth:`ErrorCollector.raise_collected`.
    """
    errors = ErrorCollector(message)
    for hook in hooks:
        with errors:
            hook()
    errors.raise_collected()


def not_attached(what: str, hook: str) -> str:
    """Return the message of a component that is asked for parts that it was not given yet.

    Args:
        what: The parts.
        hook: The method in which they can be taken.
    """
    return (
        f"no {what} are attached yet; take them in {hook}(), which the system calls before it starts, "
        "or in a test call pamiq_sched.testing.connect_components()"
    )
