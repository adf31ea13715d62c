"""Switch points between any two statements of the modules that threads share.

The kernel switches at operations of its primitives. What threads tell each other by plain attributes, as the order
of a controller or the anchor of a clock, would never be torn apart there. So for the length of a simulation the
functions of these modules get the code that the same source has with a switch point before each statement. What
else the modules hold stays what it is.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

MODULES = [
    "pamiq_sched.clock",
    "pamiq_sched.data.collector",
    "pamiq_sched.runtime.control",
    "pamiq_sched.runtime.controller",
    "pamiq_sched.runtime.saving",
    "pamiq_sched.runtime.system",
    "pamiq_sched.runtime.threads",
]

SWITCH = "switch_of_the_simulation"


class _SwitchPoints(ast.NodeTransformer):
    """Puts a call before each statement of each function."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        _add_switch_points(node)
        return node


def _add_switch_points(node: ast.AST) -> None:
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        statements = getattr(node, name, None)
        if not isinstance(statements, list):
            continue
        for statement in statements:
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                _add_switch_points(statement)
        if name not in ("handlers", "cases"):
            setattr(node, name, [part for statement in statements for part in (_call(statement), statement)])


def _call(statement: ast.stmt) -> ast.stmt:
    call = ast.Expr(ast.Call(ast.Name(SWITCH, ast.Load()), [], []))
    return ast.fix_missing_locations(ast.copy_location(call, statement))


@cache
def _preemptible(module: ModuleType) -> list[tuple[FunctionType, CodeType, CodeType]]:
    """The functions of a module, each with the code that it has and the one with switch points."""
    file = Path(str(module.__file__))
    tree = _SwitchPoints().visit(ast.parse(file.read_text(encoding="utf-8")))
    codes = {code.co_qualname: code for code in _codes_in(compile(tree, str(file), "exec"))}
    found = []
    for function in _functions_of(module):
        code = codes.get(function.__code__.co_qualname)
        if code is not None and code.co_freevars == function.__code__.co_freevars:
            found.append((function, function.__code__, code))
    return found


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def _functions_of(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        for member in vars(value).values() if isinstance(value, type) else [value]:
            for function in _unwrapped(member):
                if function.__code__.co_filename == module.__file__:
                    yield function


def _unwrapped(member: Any) -> list[FunctionType]:
    if isinstance(member, property):
        return [f for f in (member.fget, member.fset) if isinstance(f, FunctionType)]
    function = getattr(member, "__func__", getattr(member, "__wrapped__", member))
    return [function] if isinstance(function, FunctionType) else []


@contextmanager
def preempting(switch: Callable[[], None]) -> Iterator[None]:
    """Call ``switch`` between any two statements of the shared modules, within the block."""
    modules = [importlib.import_module(name) for name in MODULES]
    try:
        for module in modules:
            setattr(module, SWITCH, switch)
            for function, _, code in _preemptible(module):
                function.__code__ = code
        yield
    finally:
        for module in modules:
            for function, code, _ in _preemptible(module):
                function.__code__ = code
            delattr(module, SWITCH)
