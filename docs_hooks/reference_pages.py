"""Fill the pages of docs/reference that are made from the code; mkdocs calls on_page_markdown().

In the index stands every public name, and the command line and the HTTP interface tell their own descriptions. The
other pages are mkdocstrings' work. A test fails when a name, an option or a request is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import griffe
import typer
from cross_references import FOLDER, Docstrings, shown_names
from typer.testing import CliRunner

from pamiq_sched import __version__, console
from pamiq_sched.web import openapi

Json = Mapping[str, Any]


def on_page_markdown(text: str, **_: Any) -> str:
    """Put what is made in the place of its mark."""
    for mark, make in MADE.items():
        if mark in text:
            text = text.replace(mark, make())
    return text


# Names


@cache
def package() -> griffe.Module:
    """Return our package as griffe reads it, with docstrings in Markdown."""
    read = griffe.load("pamiq_sched", extensions=griffe.load_extensions(Docstrings()))
    assert isinstance(read, griffe.Module)  # noqa: S101 - what load() returns for the name of a package
    return read


def names() -> str:
    """Return a table of all names for each page."""
    parts = []
    for page, shown in shown_names().items():
        if not shown:
            continue
        title = (FOLDER / f"{page}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        rows = [(f"[`{path.removeprefix('pamiq_sched.')}`][{path}]", summary(path)) for path in shown]
        parts.append(f"## [{title}]({page}.md)\n\n" + table(("Name", ""), rows))
    return "\n\n".join(parts)


def summary(path: str) -> str:
    """Return the first paragraph of a docstring."""
    docstring = package()[path.removeprefix("pamiq_sched.")].docstring
    return "" if docstring is None else docstring.value.partition("\n\n")[0]


# The command line


def commands() -> str:
    """Return what ``--help`` says of each command."""
    group: Any = typer.main.get_command(console.application())
    parts = [f"```text\n{helped()}\n```"]
    parts += [f"## pamiq-sched {name}\n\n```text\n{helped(name)}\n```" for name in group.commands]
    return "\n\n".join(parts)


def helped(*command: str) -> str:
    """Return what a command says of itself."""
    app = console.application()
    app.rich_markup_mode = None  # no frames
    shown = CliRunner().invoke(app, [*command, "--help"], prog_name="pamiq-sched", env={"COLUMNS": "90"})
    if shown.exit_code:
        raise RuntimeError(f"pamiq-sched {' '.join(command)} --help ended with {shown.exit_code}: {shown.output}")
    return shown.stdout.strip()


# The HTTP interface


def requests() -> str:
    """Return each request with its parameters and answers, then the schemas."""
    document: Json = openapi.document(__version__, 8391)
    parts = [document["info"]["description"], "## Requests"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _request(f"{method.upper()} {path}", operation)
    parts.append("Every request may also be answered by")
    parts.append(_answers({code: document["components"]["responses"][name] for code, name in _REFUSALS.items()}))
    parts.append("## Schemas")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"### {name}")
        if "description" in schema:
            parts.append(f"An array: {schema['description']}.")
        if "properties" in schema:
            parts.append(_fields(schema))
    return "\n\n".join(parts)


_REFUSALS = {"401": "Unauthorized", "403": "Forbidden", "421": "Misdirected", "429": "TooMany"}


def _request(title: str, operation: Json) -> Iterator[str]:
    yield f"### `{title}`"
    yield _text(operation["summary"])
    parameters = operation.get("parameters", [])
    if parameters:
        rows = [
            (f"`{one['name']}`", f"in the {one['in']}", _type(one["schema"]), one["description"])
            for one in parameters
        ]
        yield table(("Parameter", "", "", ""), rows)
    if "requestBody" in operation:
        yield "The body is a JSON object:"
        yield _fields(operation["requestBody"]["content"]["application/json"]["schema"])
    yield _answers({code: answer for code, answer in operation["responses"].items() if code not in _REFUSALS})


def _answers(answers: Mapping[str, Json]) -> str:
    document = openapi.document(__version__, 8391)
    rows = []
    for code, answer in answers.items():
        own = document["components"]["responses"][_name(answer)] if "$ref" in answer else answer
        content = " or ".join(
            " ".join(part for part in (f"`{kind}`", _type(body.get("schema", {}))) if part)
            for kind, body in own.get("content", {}).items()
        )
        rows.append((code, _text(own["description"]), content))
    return table(("Answer", "", ""), rows)


def _fields(schema: Json) -> str:
    required = schema["required"]
    rows = []
    for name, one in schema["properties"].items():
        notes = [one.get("description", ""), "" if name in required else "may be left out"]
        rows.append((f"`{name}`", _type(one), "; ".join(note for note in notes if note)))
    return table(("Field", "", ""), rows)


def _type(schema: Json) -> str:
    """Return what a schema allows, in words."""
    if "$ref" in schema:
        return f"[{_name(schema)}](#{_name(schema).lower()})"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kinds = schema.get("type", "any value")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = " or ".join(kinds)
    if "array" in kinds and "items" in schema:
        words += f" of {_type(schema['items'])}"
    if "object" in kinds and "additionalProperties" in schema:
        words += f" by name: {_type(schema['additionalProperties'])}"
    if "object" in kinds and "properties" in schema:
        words += " of " + ", ".join(f"`{name}` ({_type(one)})" for name, one in schema["properties"].items())
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return ", ".join([words, *bounds])


_BOUNDS = {"minimum": "at least", "maximum": "at most", "default": "by default"}


def _name(schema: Json) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


# Markdown


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_text(cell).replace('|', '&#124;') for cell in line)} |" for line in lines)


def _text(text: str | None) -> str:
    """Return a text on one line, with what reStructuredText calls a literal as code."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join((text or "").split()))


MADE: Mapping[str, Callable[[], str]] = {
    "<!-- every name -->": names,
    "<!-- every command -->": commands,
    "<!-- every request -->": requests,
}
