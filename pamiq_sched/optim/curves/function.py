"""Functions of the user's own as curves."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from typing_extensions import override

from pamiq_sched.optim.curves.base import EndlessCurve, Function


@dataclass(frozen=True, repr=False, init=False)
class FunctionCurve(EndlessCurve):
    """Any function of t; has no end.

    Equal are those of functions with the same module and name. That is what can be compared across runs: the
    functions themselves are other objects in every process. To load one imports its module: load only configs
    that you trust.

    Args:
        function: Called with t, returns a float. For :meth:`from_config`, where to import it: "module:name".
        past_end: ``"hold"``, as for all curves without an end.

    Raises:
        TypeError: If it cannot be called.
        ValueError: If nothing can be imported from there; a lambda, a nested function, a method and an object
            never can.

    Example:
        >>> import math
        >>> curve = FunctionCurve(math.exp)
        >>> curve(0)
        1.0
        >>> curve.to_config()
        {'name': 'FunctionCurve', 'function': 'math:exp'}
    """

    wrapped: Function = field(compare=False)
    where: str
    """The function's module and name."""

    def __init__(self, function: Function | str, *, past_end: Literal["hold", "repeat", "raise"] = "hold") -> None:
        wrapped = _import(function) if isinstance(function, str) else function
        if not callable(wrapped):
            raise TypeError(f"a FunctionCurve must have a function of t, got {wrapped!r}")
        for name, value in {"wrapped": wrapped, "where": _where(wrapped), "past_end": past_end}.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    @override
    def _function(self) -> Function:
        return self.wrapped

    @override
    def _may_be_asked_ahead(self) -> bool:
        return False  # it may look at more than t, and is the user's

    @override
    def _parameters(self) -> dict[str, Any]:
        return {"function": self.where}


def _where(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    owner = getattr(function, "__self__", None)
    if name is None or not (owner is None or isinstance(owner, ModuleType | type)):
        # An object or a method of one. The brackets say, as those of <lambda> do, that no import finds it.
        name = f"<{name or type(function).__qualname__}>"
    return f"{getattr(function, '__module__', None)}:{name}"


def _import(where: str) -> Function:
    rule = "a function is saved as the place to import it from, 'module:name'"
    if "<" in where or ":" not in where:
        raise ValueError(
            f"{rule}, got {where!r}; a lambda, a nested function, a method or an object has no such place: "
            f"define it with def at a module's top level"
        )
    try:
        function: Function = pkgutil.resolve_name(where)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{rule}, got {where!r}, where there is none: {error}") from error
    return function
