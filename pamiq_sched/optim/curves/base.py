"""What all curves have: to be called, combined, saved and loaded by the name of their class."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.curves.fields import exact, reals

Function = Callable[[float], float]
"""A value for every t."""
VectorFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The values for an array of t."""

_classes: dict[str, type[Curve]] = {}  # by the name that configs give; written at import, by whoever imports


@dataclass(frozen=True, repr=False)
class Curve(ABC):
    """A value for every t >= 0, which can be called, combined, saved and loaded.

    To write one's own, subclass it as a frozen dataclass with :attr:`end` and ``_function()``, the latter
    valid for 0 <= t <= end. What ``_checked()`` returns replaces the fields at construction. The class is
    then known to :meth:`from_config` by its name.

    Args:
        past_end: What follows the end: ``"hold"`` keeps the last value, ``"repeat"`` starts again (at t = end
            it is what it was at 0), ``"raise"`` refuses t > end. Keyword-only; every curve has it.

    Raises:
        ValueError: If ``past_end`` is unknown, or needs an end that the curve has not or has at 0.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class SquareCurve(Curve):
        ...     steps: float
        ...     @property
        ...     def end(self):
        ...         return self.steps
        ...     def _function(self):
        ...         return lambda t: t * t
        >>> SquareCurve(3).values(range(5)).tolist()
        [0.0, 1.0, 4.0, 9.0, 9.0]
        >>> Curve.from_config({"name": "SquareCurve", "steps": 3, "past_end": "repeat"})(4)
        1.0
    """

    past_end: Literal["hold", "repeat", "raise"] = field(default="hold", kw_only=True)

    _holds: ClassVar[bool] = False
    """Whether ``_function()`` takes care of t > end itself; that saves the call of a wrapper."""

    @override
    def __init_subclass__(cls, *, is_base: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if is_base:
            return  # of others, and none that a config could name
        other = _classes.get(cls.__name__, cls)
        # One that is defined again, as notebooks do, takes the place of the former.
        if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"a config names a curve by its class, so there can be one {cls.__name__!r} only, and "
                f"{other.__module__}.{other.__qualname__} is it; choose another name"
            )
        _classes[cls.__name__] = cls

    def __post_init__(self) -> None:
        for name, value in self._checked().items():
            object.__setattr__(self, name, value)
        _checks.choice("past_end", self.past_end, ("hold", "repeat", "raise"))
        if self.past_end != "hold" and not self.end:
            raise ValueError(
                f'past_end may be "repeat" or "raise" only for a curve that ends after 0, got {self.past_end!r} '
                f'for one with end={self.end}; leave it at "hold"'
            )

    def _checked(self) -> Mapping[str, object]:
        """The fields that are not good as they came, checked and in their plain types."""
        return {}

    @property
    @abstractmethod
    def end(self) -> float | None:
        """From which t on it does not change any more (without regard to ``past_end``); None if never."""

    @abstractmethod
    def _function(self) -> Function:
        """The curve from 0 to its end, as a closure; with ``_holds`` beyond it as well."""

    def __call__(self, t: float) -> float:
        """Return the value at ``t``; in a loop, :meth:`function` is faster.

        Raises:
            TypeError: If ``t`` is not a real number (a bool is none).
            ValueError: If it is negative or not finite, or past the end with ``past_end="raise"``.
        """
        return self.function()(_checks.real("t", t, least=0))

    def function(self) -> Function:
        """Return the curve as a plain closure that does not check its t: what to call at every step."""
        curve, end = self._function(), self.end
        if end is None:
            return curve
        if self.past_end == "repeat":
            return lambda t: curve(t % end)
        if self.past_end == "raise":

            def strict(t: float) -> float:
                if t > end:
                    raise ValueError(
                        f"t must be at most {end}, where {self!r} ends, got {t}; "
                        f'with past_end="hold" it would keep its last value'
                    )
                return curve(t)

            return strict
        if self._holds:
            return curve
        last = curve(end)
        return lambda t: curve(t) if t < end else last

    def vector(self) -> VectorFunction | None:
        """Return the curve as a function of many t at once, which works out a whole stretch of a run ahead.

        Its results are those of :meth:`function`, but for the last bit on processors where numpy's powers and
        cosines are not those of Python.

        Returns:
            The function; None if the curve is not to be asked ahead: it is, or holds, a user's own function or
            class, or one that raises past its end.
        """
        if not self._may_be_asked_ahead():
            return None
        return self._vector() if self.past_end == "hold" else one_by_one(self)

    def _may_be_asked_ahead(self) -> bool:
        if self.past_end == "raise" or type(self).__module__.rpartition(".")[0] != __package__:
            return False
        values = [getattr(self, f.name) for f in fields(self)]
        parts = [part for value in values for part in (value if isinstance(value, tuple) else [value])]
        return all(part.vector() is not None for part in parts if isinstance(part, Curve))

    def _vector(self) -> VectorFunction:
        """The curve for arrays, past its end too; the same operations in the same order as ``_function()``."""
        return one_by_one(self)

    def values(self, ts: Iterable[float]) -> NDArray[np.float64]:
        """Return the values at all ``ts``, e.g. to plot.

        One call for each by design, since numpy's own cosine may differ in the last bit: these are the values
        that a run sees.

        Raises:
            ValueError: If a t is negative or not finite, or past the end with ``past_end="raise"``.

        Example:
            >>> from pamiq_sched.optim.curves import LinearCurve
            >>> LinearCurve(1, 0, 4).values(range(6))
            array([1.  , 0.75, 0.5 , 0.25, 0.  , 0.  ])
        """
        times = np.fromiter(ts, np.float64)
        if times.size:
            for extreme in (times.min(), times.max()):
                _checks.real("every t", float(extreme), least=0)
        return np.fromiter(map(self.function(), times.tolist()), np.float64, times.size)

    def to_config(self) -> dict[str, Any]:
        """Return what :meth:`from_config` makes an equal curve of: its name and parameters, in JSON's types.

        Example:
            >>> from pamiq_sched.optim.curves import LinearCurve
            >>> LinearCurve(1, 0, 4).to_config()
            {'name': 'LinearCurve', 'start': 1.0, 'stop': 0.0, 'steps': 4}
        """
        return {"name": type(self).__name__, **{k: _to_json(v) for k, v in self._parameters().items()}}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Curve:
        """Make the curve that a config describes.

        Args:
            config: The class by its name, and its parameters; a curve among them may be a config too.

        Raises:
            TypeError: If it is not a mapping with a name, or a parameter has the wrong type.
            ValueError: If the name or a parameter is unknown, or a parameter is missing or out of range.

        Example:
            >>> from pamiq_sched.optim.curves import LinearCurve
            >>> Curve.from_config({"name": "LinearCurve", "start": 1, "stop": 0, "step": 4})
            Traceback (most recent call last):
            ValueError: there is no LinearCurve parameter 'step'; did you mean 'steps' or 'stop'? There are: \
'past_end', 'start', 'steps', 'stop'
        """
        _checks.instance("a curve's config must be", config, Mapping)
        name = config.get("name")
        if not isinstance(name, str):
            raise TypeError(f"a curve's config must have the name of its class as 'name', got {dict(config)}")
        make: Callable[..., Curve] = curve_class(name)
        parameters = inspect.signature(make).parameters
        given = {key: value for key, value in config.items() if key != "name"}
        for key in given:
            if key not in parameters:
                raise ValueError(_checks.unknown(f"{name} parameter", str(key), parameters))
        missing = [key for key, p in parameters.items() if p.default is p.empty and key not in given]
        if missing:
            raise ValueError(f"{name} must be given {', '.join(missing)} too, got {dict(config)}")
        return make(**{key: _from_json(value) for key, value in given.items()})

    def _parameters(self) -> dict[str, Any]:
        """The constructor's arguments, as a repr or a config shows them."""
        parameters = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "past_end"}
        return parameters if self.past_end == "hold" else {**parameters, "past_end": self.past_end}

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._parameters().items())})"

    def then(self, other: Curve, at: float | None = None) -> Curve:
        """Return a curve that follows this one first, then ``other``, whose time starts at 0 there.

        Args:
            other: What comes next.
            at: The t of the change; by default where this curve ends.

        Raises:
            ValueError: If this curve has no end and ``at`` is not given.

        Example:
            >>> from pamiq_sched.optim.curves import CosineCurve, WarmupCurve
            >>> curve = WarmupCurve(10).then(CosineCurve(1.0, 0.1, 90))
            >>> curve(5), curve(10), curve(100)
            (0.5, 1.0, 0.1)
        """
        at = self.end if at is None else at
        if at is None:
            raise ValueError(f"another curve can follow only where this one ends, got {self!r}; give at=")
        return _combined("SequenceCurve", (self, other), (at,))

    def __mul__(self, other: Curve | float) -> Curve:
        factor = other if isinstance(other, Curve) else _combined("ConstantCurve", other)
        return _combined("ProductCurve", (self, factor))

    __rmul__ = __mul__

    def retarget(self, t: float, end: float) -> Curve:
        """Return a curve that ends at ``end`` instead: this one up to ``t``, the rest stretched, without a jump.

        Args:
            t: Now: how far the curve has been followed.
            end: When it shall end.

        Raises:
            ValueError: If the curve has no end or is past it, or ``end`` is not after ``t``.

        Example:
            >>> from pamiq_sched.optim.curves import LinearCurve
            >>> curve = LinearCurve(1.0, 0.0, 100).retarget(50, 250)
            >>> curve(50), curve(150), curve(250)
            (0.5, 0.25, 0.0)
        """
        t = exact("t", t, least=0)
        end = exact("end", end, above=t, remedy="the new end must be ahead")
        if self.end is None or t >= self.end:
            raise ValueError(
                f"only a curve that ends later than now can end at another time, got t={t} for {self!r} with "
                f"end={self.end}; append one with then()"
            )
        return _combined("StretchedCurve", self, t, end, past_end=self.past_end)


@dataclass(frozen=True, repr=False)
class EndlessCurve(Curve, is_base=True):
    """A curve that never comes to rest, or that was never in motion."""

    @property
    @override
    def end(self) -> None:
        return None


@dataclass(frozen=True, repr=False)
class TransitionCurve(Curve, is_base=True):
    """A curve from one value to another."""

    start: float
    stop: float
    steps: float
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        return {**reals(start=self.start, stop=self.stop), "steps": exact("steps", self.steps, above=0)}

    @property
    @override
    def end(self) -> float:
        return self.steps


def curve_class(name: str) -> type[Curve]:
    """Return the class of curves that configs call so.

    Raises:
        ValueError: If there is none; naming the nearest.
    """
    if name not in _classes:
        raise ValueError(_checks.unknown("curve", name, _classes))
    return _classes[name]


def curve_names() -> list[str]:
    """Return the names that configs may give curves."""
    return list(_classes)


def one_by_one(curve: Curve) -> VectorFunction:
    """Return a curve as a function of many t that asks for each by itself."""
    function = curve.function()
    return lambda ts: np.fromiter(map(function, ts.tolist()), np.float64, ts.size)


def _to_json(value: object) -> object:
    if isinstance(value, Curve):
        return value.to_config()
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def _from_json(value: object) -> object:
    if isinstance(value, Mapping):
        return Curve.from_config(value)
    return tuple(_from_json(item) for item in value) if isinstance(value, list | tuple) else value


def _combined(name: str, *args: Any, **kwargs: Any) -> Curve:
    """Make a curve out of others by the name of its class, which builds upon this module."""
    return curve_class(name)(*args, **kwargs)
