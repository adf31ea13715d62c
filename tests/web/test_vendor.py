"""What the dashboard ships of others is what they published, and all that the page asks for is there."""

import hashlib
import re
from importlib.resources import files

import pytest

PAGE = files("pamiq_sched") / "web" / "page"
[UPLOT] = [folder for folder in (PAGE / "vendor").iterdir() if folder.name.startswith("uplot-")]
SUMS = {
    name: digest
    for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", (UPLOT / "README.md").read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("name", ["LICENSE", "uPlot.iife.min.js", "uPlot.min.css"])
def test_vendored_file_is_unchanged(name: str) -> None:
    assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == SUMS[name]


def test_vendored_folder_holds_nothing_else() -> None:
    assert {entry.name for entry in UPLOT.iterdir()} == {*SUMS, "README.md"}


def test_page_asks_for_files_that_are_there() -> None:
    """And for none of another host."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")

    addresses = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', page)

    for address in addresses:
        if not address.startswith("data:"):
            assert address.startswith("/static/")
            assert (PAGE / address.removeprefix("/static/")).is_file(), address
    assert len(addresses) == 5


def test_page_has_no_inline_script_or_style() -> None:
    """The policy that it is served with forbids them."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")

    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize("module", [entry.name for entry in PAGE.iterdir() if entry.name.endswith(".js")])
def test_scripts_never_write_html(module: str) -> None:
    """Names, log lines and tracebacks are foreign text."""
    script = (PAGE / module).read_text(encoding="utf-8")

    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script)
