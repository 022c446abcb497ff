"""Each part declares what it imports: an image that installs hadir[checkin] holds all that checkin needs."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = {"chassis", "services", "ops", "tests", "hadir", "buf"}
PARTS = [
    ("chassis", "auth"),
    ("services/auth", "auth"),
    ("services/checkin", "checkin"),
    ("services/reporting", "reporting"),
    ("ops", "ops"),
    ("gen", "auth"),
    ("tests", "dev"),
]


def imported(part: Path) -> dict[str, str]:
    """The top-level packages of others that a part imports, each with a module that does."""
    packages = {}
    for path in part.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            packages.update({name.split(".")[0]: str(path.relative_to(ROOT)) for name in names})
    return {name: path for name, path in packages.items() if name not in OWN | sys.stdlib_module_names}


@pytest.mark.parametrize(("part", "extra"), PARTS)
def test_a_part_declares_what_it_imports(part: str, extra: str, repository_checker: ModuleType) -> None:
    assert list((ROOT / part).rglob("*.py")), "no such part"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared, _ = repository_checker.exact_versions(
        repository_checker.direct_requirements(
            project["dependencies"], project["optional-dependencies"], extra
        )
    )
    owners = packages_distributions()
    undeclared = {
        f"{path} imports {package}, of {owners.get(package)}"
        for package, path in imported(ROOT / part).items()
        if not {repository_checker.normalized(owner) for owner in owners.get(package, [])} & declared.keys()
    }
    assert undeclared == set()
