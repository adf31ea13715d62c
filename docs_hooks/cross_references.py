"""Our package for mkdocstrings, as its readers need it. Griffe loads the extension.

Docstrings are in Markdown, each role a link to what it names. A role that names nothing fails the build of the
page it is on; what it names and no page shows is code without a link. What a class has from a base that no page
shows is shown as its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import griffe
from docstrings import markdown

FOLDER = Path(__file__).parent.parent / "docs" / "reference"


class Docstrings(griffe.Extension):
    """Rewrite a package when it has been read."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Bring bases in, and rewrite the docstrings of all modules, classes, functions and attributes."""
        users = bring_in_bases(pkg)
        for member in own(pkg):
            if member.docstring:
                scopes = [member, *users.get(member.path, ())]
                member.docstring.value = rewritten(member.docstring.value, scopes)


def bring_in_bases(package: griffe.Module) -> Mapping[str, list[griffe.Class]]:
    """Show what classes have from bases of ours that neither are shown nor bases of one that is.

    Returns:
        The classes that show such a member, by its path.
    """
    shown = {
        one.canonical_path: one.final_target if isinstance(one, griffe.Alias) else one
        for paths in shown_names().values()
        for one in (package[path.removeprefix(f"{package.name}.")] for path in paths)
    }
    users: dict[str, list[griffe.Class]] = defaultdict(list)
    for one in shown.values():
        if isinstance(one, griffe.Class):
            bases = [base for base in one.mro() if base.package is package]
            told = {path for base in bases if base.canonical_path in shown for path in _paths(base)}
            for base in bases:
                for name, member in base.members.items() if base.canonical_path not in told else ():
                    if name not in one.members and not name.startswith("_"):
                        one.set_member(name, griffe.Alias(name, member, parent=one))
                        users[member.path].append(one)
    return users


def _paths(one: griffe.Class) -> set[str]:
    return {one.canonical_path, *(base.canonical_path for base in one.mro())}


def shown_names() -> dict[str, list[str]]:
    """Return what mkdocstrings is told to show, by page, as the navigation has them."""
    navigation = (FOLDER.parent.parent / "mkdocs.yml").read_text(encoding="utf-8")
    return {
        page: re.findall(r"^::: ([\w.]+)$", (FOLDER / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE)
        for page in re.findall(r" reference/([\w-]+)\.md$", navigation, re.MULTILINE)
    }


def own(scope: griffe.Object) -> Iterator[griffe.Object]:
    """Yield an object with all that is defined in it, at any depth."""
    yield scope
    for member in scope.members.values():
        if isinstance(member, griffe.Object):
            yield from own(member)


def rewritten(docstring: str, scopes: Sequence[griffe.Object]) -> str:
    """Return a docstring for mkdocstrings.

    Args:
        docstring: As it is written.
        scopes: Whose it is, and the classes that show it as their own.
    """
    # Of the two spellings the parser knows the plural, and shows it as code.
    docstring = re.sub(r"^Example:$", "Examples:", docstring, flags=re.MULTILINE)

    def link(code: str, target: str) -> str:
        named = resolve(target, scopes)
        if named is None:
            return f"[{code}][{target}]"  # which makes mkdocs fail if it comes to a page
        return f'<autoref identifier="{named.canonical_path}" optional>{code}</autoref>'

    return markdown(docstring, link)


def resolve(target: str, scopes: Sequence[griffe.Object]) -> griffe.Object | griffe.Alias | None:
    """Return what a role in a docstring names, if there is such a thing.

    It is looked for in whose docstring it is, in what that is defined in, and so on up to the package.
    """
    package = scopes[0].package
    if target.startswith(f"{package.name}."):
        return _member(package, target.split(".")[1:])
    for scope in scopes:
        for outer in (*_outwards(scope), package):
            found = _member(outer, target.split("."))
            if found is not None:
                return found
    return None


def _outwards(scope: griffe.Object | None) -> Iterator[griffe.Object]:
    while scope is not None:
        yield scope
        scope = scope.parent


def _member(scope: griffe.Object | griffe.Alias, names: list[str]) -> griffe.Object | griffe.Alias | None:
    for name in names:
        inside = scope.all_members if scope.is_class else scope.members
        if name not in inside:
            return None
        scope = inside[name]
    return scope
