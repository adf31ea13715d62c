"""Components that consist of parts: what is done to the whole is done to each part.

The invariants: what was set up is torn down once, also behind an override that raises or forgets ``super()``; an
event reaches every part, whatever the others raise; what a part raises says which one it was. Belongs to the
inference thread; saving and loading to one thread while that one stands still.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from pamiq_sched.lifecycle import (
    ErrorCollector,
    InteractionEventMixin,
    PersistentStateMixin,
    ThreadEventMixin,
    call_all,
    load_parts,
    noting,
    save_parts,
)


class Component(InteractionEventMixin, PersistentStateMixin, ThreadEventMixin):
    """Has a beginning and an end, is told of pauses, and can be saved."""


class SeededMixin:
    """A component whose randomness can follow from the seed of the run."""

    def attach_seed(self, seed: int) -> None:
        """Take a seed that follows from the run's; called before :meth:`setup` if ``LaunchConfig.seed`` is given.

        What draws from the process's own random generators needs nothing here: those are seeded too.
        """


class PartsMixin(ABC, Component):
    """A component that hands every event and save on to its parts.

    An override of a hook calls ``super()``'s.
    """

    # Those that were set up, in that order; None while the whole is not. Replaced whole, never changed.
    _set_up_parts: tuple[tuple[str, Component], ...] | None = None
    # What is set up later may depend on what is there. Not so child agents, nor agent and environment: in order.
    _tears_down_last_first: ClassVar[bool] = True
    # Of a class, and not of those derived from it: they may well have state of their own.
    _has_nothing_but_parts: ClassVar[bool] = False

    @abstractmethod
    def _component_parts(self) -> Mapping[str, Component]:
        """Return the parts by name, in the order in which they are set up."""

    @override
    def setup(self) -> None:
        """Set the parts up, in order; if one raises, those that were set up are torn down."""
        super().setup()
        self._set_up_parts = ()
        errors = ErrorCollector(f"a part of {type(self).__name__} raised in setup, and another one in teardown")
        with errors:
            for name, part in self._component_parts().items():
                with named("setup", name, part):
                    set_up(part)
                self._set_up_parts += ((name, part),)
        if errors.errors:
            with errors:
                self.teardown_parts()
        errors.raise_collected()

    @override
    def teardown(self) -> None:
        """Tear down those parts that were set up."""
        super().teardown()
        self.teardown_parts()

    def teardown_parts(self) -> None:
        """Tear down those parts that were set up, each once."""
        parts, self._set_up_parts = self._set_up_parts or (), None
        self._call_each("teardown", parts[::-1] if self._tears_down_last_first else parts, tear_down)

    @override
    def on_paused(self) -> None:
        """Tell every part."""
        super().on_paused()
        self._call_each("on_paused", self._component_parts().items(), lambda part: part.on_paused())

    @override
    def on_resumed(self) -> None:
        """Tell every part."""
        super().on_resumed()
        self._call_each("on_resumed", self._component_parts().items(), lambda part: part.on_resumed())

    def _call_each(
        self, hook: str, parts: Iterable[tuple[str, Component]], call: Callable[[Component], None]
    ) -> None:
        errors = ErrorCollector("")
        raised = []
        for name, part in parts:
            with errors, named(hook, name, part):
                call(part)
                continue
            raised.append(name)
        errors.message = f"{' and '.join(raised)} raised in {hook}"
        errors.raise_collected()

    @property
    @override
    def keeps_state(self) -> bool:
        # Any class may save: the parts' save_state() calls those behind it, that of a mixin say.
        others = (c for c in type(self).__mro__ if c not in (PartsMixin, PersistentStateMixin))
        return any("save_state" in vars(c) for c in others) or vars(type(self)).get(
            "_has_nothing_but_parts", False
        )

    @override
    def persistent_parts(self) -> Mapping[str, PersistentStateMixin]:
        return self._component_parts()

    @override
    def save_state(self, path: Path) -> None:
        """Save each part below ``path``, under its name; without parts nothing is written."""
        super().save_state(path)
        parts = self._component_parts()
        if parts:
            save_parts(parts, path)

    @override
    def load_state(self, path: Path) -> None:
        """Load each part from below ``path``."""
        super().load_state(path)
        load_parts(self._component_parts(), path)


def named(hook: str, name: str, part: object) -> AbstractContextManager[None]:
    """Note on what is raised within, which part's hook it was."""
    return noting(f"raised in {hook} of {name!r} ({type(part).__name__})")


def set_up(component: Component) -> None:
    """Set a component up; if that raises, tear down those of its parts that were set up."""
    errors = ErrorCollector(f"{type(component).__name__} raised in setup and its parts in teardown")
    with errors:
        component.setup()
    if errors.errors and isinstance(component, PartsMixin):
        with errors:
            component.teardown_parts()
    errors.raise_collected()


def tear_down(component: Component) -> None:
    """Tear a component down, and its parts even if its own teardown does not get to them."""
    hooks = [component.teardown]
    if isinstance(component, PartsMixin):
        hooks.append(component.teardown_parts)
    call_all(f"{type(component).__name__} and its parts raised in teardown", hooks)


def attach_part_seeds(parts: Mapping[str, SeededMixin], seed: int) -> None:
    """Give each part a seed of its own, which follows from ``seed`` and its name, from 0 to 2**31 - 1.

    By name, so that a part that is added leaves the others what they had.
    """
    for name, part in parts.items():
        sequence = np.random.SeedSequence(seed, spawn_key=tuple(name.encode()))
        part.attach_seed(int(sequence.generate_state(1)[0] >> 1))


def refuse_parts_given_twice(whole: PartsMixin, besides: type[Any]) -> None:
    """Refuse a whole of which one object is in two places, at any depth.

    Args:
        whole: Its parts are looked at.
        besides: Objects of this class may be in several places.

    Raises:
        ValueError: Naming both places.
    """
    places: dict[int, str] = {}
    for place, part in _places(whole):
        other = places.setdefault(id(part), place)
        if other != place and not isinstance(part, besides):
            raise ValueError(
                f"a component has one place, got the same {type(part).__name__} as {other!r} and {place!r}, where "
                "it would be set up, paused and saved twice; make an object for each"
            )


def _places(whole: PartsMixin, within: str = "") -> Iterator[tuple[str, Component]]:
    for name, part in whole._component_parts().items():  # noqa: SLF001 - of the mixin above
        yield f"{within}{name}", part
        # Asked of the type as well: a mock of one says that it is, and has no parts.
        if isinstance(part, PartsMixin) and issubclass(type(part), PartsMixin):
            yield from _places(part, f"{within}{name}/")
