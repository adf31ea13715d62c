"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil

import pytest

import pamiq_sched

MODULES = ["pamiq_sched", *(m.name for m in pkgutil.walk_packages(pamiq_sched.__path__, "pamiq_sched."))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module)
    assert failures == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [
        e for name in MODULES for test in finder.find(importlib.import_module(name)) for e in test.examples
    ]
    assert len(examples) > 50
