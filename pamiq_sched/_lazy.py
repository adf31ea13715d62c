"""Names that are looked up in their modules when they are first used.

So importing a package loads nothing that is not needed, torch least of all. No state; any thread.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lookup(package: str, module_of: Mapping[str, str], modules: tuple[str, ...] = ()) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package.

    Args:
        package: Its ``__name__``.
        module_of: For each public name the module inside the package that has it.
        modules: Modules inside it that are attributes as well.

    Raises:
        AttributeError: By what is returned, for any other name.

    Example:
        >>> lookup("pamiq_sched", {"Clock": "clock"})("Clock").__name__
        'Clock'
    """

    def look_up(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # found at once the next time
        return value

    return look_up
