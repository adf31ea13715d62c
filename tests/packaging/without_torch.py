"""A plugin for runs where torch is not installed: what fails for the lack of it, and of nothing else, is skipped.

So the tests of the parts without torch are those that are left, and nobody has to keep a list of them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

LACK = "No module named 'torch'"
REASON = "needs torch"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a module that imports it."""
    return _without_lack((yield), collector.path)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that comes to need it, or a program of its own that does."""
    return _without_lack((yield), item.path)


def _without_lack(report: Any, path: object) -> Any:
    if report.failed and LACK in report.longreprtext + "".join(text for _, text in report.sections):
        report.outcome = "skipped"
        report.longrepr = (str(path), 0, REASON)
    return report
