"""The Pythons that are here, and what may run side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.building import VERSIONS, find_python


@pytest.fixture(params=VERSIONS, scope="session")
def version(request: pytest.FixtureRequest) -> str:
    """Each Python that the package is for; those that are not here are skipped."""
    if find_python(request.param) is None:
        pytest.skip(f"there is no Python {request.param} here, neither on the path nor by pyenv")
    found: str = request.param
    return found


@pytest.hookimpl(tryfirst=True)  # the plugin reads the marks by the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what shares an environment run in one process, where there are several (``--dist loadgroup``)."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            version = getattr(item, "callspec", None) and item.callspec.params.get("version")
            item.add_marker(pytest.mark.xdist_group(version or item.path.stem))
