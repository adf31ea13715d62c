"""What our docstrings have of reStructuredText, as Markdown; formulas as MathML, which needs no script."""

from __future__ import annotations

import re
from collections.abc import Callable

from latex2mathml.converter import convert

_MATH = re.compile(r"^([ \t]*)\.\. math::[ ]*(.*(?:\n(?:\1[ \t]+.*|[ \t]*(?=\n\1[ \t])))*)", re.MULTILINE)
_ROLE = re.compile(r":(\w+):`(~?)([^`]+)`")


def markdown(text: str, link: Callable[[str, str], str] = lambda code, _target: code) -> str:
    """Turn a docstring, or a part of one, into Markdown.

    Args:
        text: The docstring.
        link: Called with each name that a role such as ``:class:`` marks, as code and as it is written there;
            returns what to put in its place. The code alone by default.
    """
    text = _MATH.sub(lambda found: found[1] + mathml(found[2], display="block"), text)
    text = re.sub(r":math:`([^`]+)`", lambda found: f"<span>{mathml(found[1])}</span>", text)

    def linked(found: re.Match[str]) -> str:
        role, tilde, target = found.groups()
        shown = target.rpartition(".")[2] if tilde or target.startswith("pamiq_sched.") else target
        return link(f"`{shown}()`" if role in {"meth", "func"} else f"`{shown}`", target)

    return re.sub(r"``(.+?)``", r"`\1`", _ROLE.sub(linked, text))


def mathml(latex: str, display: str = "inline") -> str:
    """Return a formula as MathML, on one line."""
    return " ".join(convert(" ".join(latex.split()), display=display).split())
