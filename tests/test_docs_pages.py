"""The pages of schedules that the docs build makes from the code: nothing is missing on them."""

import inspect
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from pamiq_sched import optim
from pamiq_sched.optim import builtin, custom

HOOKS = Path(__file__).parent.parent / "docs_hooks"
pytest.importorskip("matplotlib")
sys.path.insert(0, str(HOOKS))  # as mkdocs does while it loads a hook
import docstrings  # noqa: E402
import schedule_entries  # noqa: E402
import schedule_pages  # noqa: E402

sys.path.remove(str(HOOKS))

PAGES = schedule_entries.pages()
ENTRIES = [pytest.param(entry, id=f"{page.slug}:{entry.name}") for page in PAGES for entry in page.entries]
OURS = [pytest.param(entry, id=entry.name) for page in PAGES if page.is_ours for entry in page.entries]
NAMES = [entry.name for page in PAGES for entry in page.entries]


@pytest.fixture(scope="module")
def generated():
    return schedule_pages.generate()


def test_every_public_curve_has_an_entry():
    curves = {name for name in optim.__all__ if name.endswith("Curve")} - {"Curve"}
    assert curves - set(NAMES) == set()
    assert len(curves) >= 18


@pytest.mark.parametrize("module", [builtin, custom], ids=lambda module: module.__name__)
def test_every_ready_made_schedule_has_an_entry(module):
    ours = {name for name in optim.__all__ if getattr(optim, name).__module__ == module.__name__}
    assert ours
    assert ours - set(NAMES) == set()


def test_nothing_has_two_entries():
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_has_a_picture_of_finite_values_that_are_not_all_nothing(entry):
    """A scheduler that torch or timm has added has no parameters in schedule_entries.py yet, and fails here."""
    assert entry.shows, f"say in schedule_entries.py with which parameters to draw {entry.name}"
    for shown in entry.shows.values():
        ts, values = shown.line()
        assert len(ts) == len(values) > 50
        assert np.isfinite(values).all()
        assert values.max() > 0


@pytest.mark.parametrize("entry", OURS)
def test_the_formulas_of_a_docstring_become_mathml(entry):
    docstring = inspect.getdoc(entry.of)
    text = docstrings.markdown(docstring)
    formulas = re.findall(r"<math.*?</math>", text)
    assert len(formulas) == len(re.findall(r"\.\. math::|:math:`", docstring))
    for formula in formulas:
        # What the converter does not know it leaves as it stands.
        assert "\\" not in "".join(ET.fromstring(formula).itertext()), formula  # noqa: S314 - our own


@pytest.mark.parametrize("entry", OURS)
def test_an_entry_of_ours_has_arguments_errors_and_an_example(entry, generated):
    page = next(page for page in PAGES if entry in page.entries)
    text = generated[f"{page.slug}.md"].split(f"\n## {entry.name}\n")[1].split("\n## ")[0]
    for argument in inspect.signature(entry.of).parameters:
        assert f"| `{argument}` |" in text
    assert re.search(r"^- `\w*Error`: ", text, re.MULTILINE)
    assert ">>> " in text
    assert "``" not in text.replace("```", "")
    assert not re.search(r":\w+:`", text), "a role of reStructuredText is left"


def test_every_picture_that_a_page_shows_is_made(generated):
    shown = {
        path
        for text in generated.values()
        if isinstance(text, str)
        for path in re.findall(r"\]\((.*?svg)\)", text)
    }
    assert shown | {"pictures/rebound.svg"} == {path for path in generated if path.endswith(".svg")}


def test_every_page_of_schedules_is_in_the_navigation(generated):
    navigation = (HOOKS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    written = {path.name for path in (HOOKS.parent / "docs" / "schedules").glob("*.md")}
    for name in written | {path for path in generated if path.endswith(".md")}:
        assert f"schedules/{name}\n" in navigation


def test_links_between_the_pages_lead_somewhere(generated):
    folder = HOOKS.parent / "docs" / "schedules"
    for page in folder.glob("*.md"):
        for target in re.findall(r"^\[[\w-]+\]: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert target in generated or (folder / target).exists(), f"{page.name} links to {target}"


def test_a_picture_is_the_same_at_every_build():
    shows = PAGES[0].entries[0].shows
    assert schedule_pages.picture(shows) == schedule_pages.picture(shows)


def test_a_metric_that_stalls_brings_the_plateau_down():
    entry = next(entry for page in PAGES for entry in page.entries if entry.name == "ReduceLROnPlateau")
    _, values = entry.shows["base 1"].line()
    assert values[0] == 1.0
    assert values[-1] < 0.5


def test_a_chain_rebounds_where_a_sequence_has_come_to_its_end():
    """As configs.md says beside the picture."""
    chained, sequential = (shown.line()[1] for shown in schedule_entries.REBOUND.values())
    assert chained[90] < 1e-5
    assert chained[100] > 0.02
    assert sequential[100] < 1e-5


def test_every_scheduler_of_others_has_its_formula():
    foreign = [entry for page in schedule_entries.pages() if not page.is_ours for entry in page.entries]
    assert len(foreign) > 16
    assert {entry.of.__name__ for entry in foreign} == set(schedule_entries.FORMULAS)
    for formula, _ in schedule_entries.FORMULAS.values():
        assert "<math" in docstrings.mathml(formula, display="block")
