"""Fixtures of the unit tests."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def repository_checker() -> ModuleType:
    """The program behind `make check-repository`; it is no module of a package, so it is loaded by its path."""
    path = Path(__file__).resolve().parents[2] / ".ci" / "check_repository.py"
    spec = importlib.util.spec_from_file_location("check_repository", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
