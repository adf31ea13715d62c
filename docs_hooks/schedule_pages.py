"""Generate the pages of docs/schedules, and their pictures, from the code; mkdocs calls on_files().

Formulas become MathML: the pages need no script and ask no other host.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from typing import Any

import griffe
import matplotlib as mpl
from docstrings import markdown, mathml
from matplotlib.figure import Figure
from schedule_entries import FORMULAS, REBOUND, Entry, Page, Shown, pages

from pamiq_sched.optim import curves

_COLORS = ("#4051b5", "#d9480f", "#2b8a3e", "#862e9c")
_STYLES = ("-", "--", "-.", ":")
STYLE = """\
.md-typeset math[display="block"] { margin: .6em 0; padding: .4em 0; overflow-x: auto; overflow-y: hidden; }
.md-typeset mtd { padding: .25em .4em; math-style: normal; }
.md-typeset mtd[columnalign="left"] { text-align: left; text-align: -webkit-left; }
.md-typeset td:first-child code { white-space: nowrap; }
.md-typeset img[src*="pictures/"] { display: block; max-width: 38rem; width: 100%; border-radius: .2rem; }
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and pictures to those of docs/."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - tests generate pages without mkdocs

    for path, content in generate().items():
        files.append(File.generated(config, f"schedules/{path}", content=content))
    return files


def generate() -> dict[str, str | bytes]:
    """Return all generated files by their path under docs/schedules."""
    made: dict[str, str | bytes] = {"schedules.css": STYLE, "pictures/rebound.svg": picture(REBOUND)}
    for page in pages():
        made[f"{page.slug}.md"] = text_of(page)
        for entry in page.entries:
            if entry.shows:
                made[f"pictures/{entry.name}.svg"] = picture(entry.shows)
    return made


def picture(shows: Mapping[str, Shown]) -> bytes:
    """Draw lines into an SVG, on white: it is read on a dark page as well."""
    figure = Figure(figsize=(7.2, 3.0 if len(shows) == 1 else 3.4), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for number, (label, shown) in enumerate(shows.items()):
        axes.plot(*shown.line(), _STYLES[number], color=_COLORS[number], label=label, linewidth=1.8)
    axes.set(xlabel="t (steps)", ylabel="multiple of the base")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.margins(x=0.01)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(shows) > 1:
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    file = io.BytesIO()
    # The same code gives the same bytes: no date, no random ids.
    with mpl.rc_context({"svg.hashsalt": "pamiq-sched"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def text_of(page: Page) -> str:
    """Return a page as Markdown."""
    parts = [f"# {page.title}", page.lead]
    parts += [_own_entry(entry) if page.is_ours else _foreign_entry(entry) for entry in page.entries]
    return "\n\n".join(parts) + "\n"


def _own_entry(entry: Entry) -> str:
    """Return an entry with all that its docstring tells."""
    is_curve = isinstance(entry.of, type) and issubclass(entry.of, curves.Curve)
    description, *rest = _sections(entry.of)
    summary, _, details = description.value.partition("\n\n")
    parts = [
        f"## {entry.name}",
        markdown(summary),
        f"```py\n{signature(entry)}\n```",
        markdown(details),
        _picture_of(entry),
    ]
    for section in rest:
        if section.kind is griffe.DocstringSectionKind.parameters:
            arguments = {argument.name: argument.description for argument in section.value}
            if is_curve and "past_end" not in arguments:
                arguments |= _past_end()
            parts.append(_table(arguments))
        elif section.kind is griffe.DocstringSectionKind.raises:
            parts.append("Raises:")
            parts.append(
                "\n".join(f"- `{error.annotation}`: {_line(error.description)}" for error in section.value)
            )
        elif section.kind is griffe.DocstringSectionKind.admonition:
            parts.append(f"```pycon\n{section.value.description}\n```")
        else:
            parts.append(markdown(section.value))
    return "\n\n".join(part for part in parts if part)


def _foreign_entry(entry: Entry) -> str:
    """Return an entry that leaves the details to its owner."""
    summary = (inspect.getdoc(entry.of) or "").partition("\n\n")[0] if "__doc__" in vars(entry.of) else ""
    formula, meaning = FORMULAS[entry.of.__name__]
    parts = [
        f"## {entry.name}",
        _line(summary),
        f"```py\n{signature(entry)}\n```",
        mathml(formula, display="block"),
        meaning,
        _picture_of(entry),
    ]
    return "\n\n".join(part for part in parts if part)


def _sections(of: Any) -> list[Any]:
    return griffe.Docstring(inspect.getdoc(of) or "").parse("google", warnings=False)


def _past_end() -> dict[str, str]:
    """Return what every curve takes, from the docstring of all curves."""
    for section in _sections(curves.Curve):
        if section.kind is griffe.DocstringSectionKind.parameters:
            return {argument.name: argument.description for argument in section.value}
    raise LookupError("the docstring of Curve has lost its Args")


def _picture_of(entry: Entry) -> str:
    if not entry.shows:
        return ""
    code = "\n".join(shown.code for shown in entry.shows.values())
    return f'![{entry.name} over t](pictures/{entry.name}.svg)\n\n```py title="In the picture"\n{code}\n```'


def signature(entry: Entry) -> str:
    """Return how an entry is called, on one line or on one for each parameter."""
    shown = []
    star = False
    for name, parameter in inspect.signature(entry.of).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}".replace("'", '"')
        shown.append(f"{name}{default}")
    line = f"{entry.name}({', '.join(shown)})"
    return line if len(line) <= 90 else f"{entry.name}(\n" + "".join(f"    {one},\n" for one in shown) + ")"


def _table(arguments: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {_line(text).replace('|', '&#124;')} |" for name, text in arguments.items()]
    return "\n".join(["| Argument | Meaning |", "| --- | --- |", *rows])


def _line(text: str) -> str:
    return " ".join(markdown(text).split())
