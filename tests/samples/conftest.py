"""What the tests of the samples share."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="session")
def load_sample() -> Callable[[str], ModuleType]:
    """A function that runs a sample as a module, which calls no ``main()``."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"samples_{name}", SAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
