"""Each contract of .importlinter can break: with a misspelt module it would guard nothing, and stay green."""

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("auth", "checkin", "reporting")
PACKAGES = ("adapters", "application", "domain", "entrypoints", "migrations")
LINTER = "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())"

VIOLATIONS = {
    "roots": {"ops/stack/reach.py": "import services.auth.domain"},
    "services": {"services/common.py": ""},
    "service-layers": {"services/auth/helpers.py": ""},
    "pure": {"services/reporting/domain/days.py": "from hadir.checkin.v1 import tap_pb2"},
    "chassis": {"chassis/outbox/business.py": "import hadir.auth.v1"},
    "chassis-layers": {"chassis/helpers.py": ""},
    "kubernetes": {"ops/stack/cluster.py": "from kubernetes import client"},
    "ops": {"ops/helpers.py": ""},
}


def broken(tree: Path) -> set[str]:
    """The contracts, by name, that the tree breaks."""
    ran = subprocess.run(
        [sys.executable, "-c", LINTER, "--no-logo", "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in ran.stdout, ran.stdout + ran.stderr
    return set(re.findall(r"^(.+?) BROKEN", ran.stdout, re.MULTILINE))


def test_each_contract_breaks_when_it_should(tmp_path: Path) -> None:
    names = ConfigParser()
    names.read_string((ROOT / ".importlinter").read_text())
    contracts = {
        section.rsplit(":", 1)[1]: names[section]["name"] for section in names.sections() if ":" in section
    }
    assert contracts.keys() == VIOLATIONS.keys()

    (tmp_path / ".importlinter").write_text((ROOT / ".importlinter").read_text())
    files = ["chassis/__init__.py", "ops/__init__.py", "ops/stack/__init__.py", "services/__init__.py"]
    for module in (ROOT / "chassis").iterdir():
        files += [f"chassis/{module.name}"] if module.suffix == ".py" else []
        files += [f"chassis/{module.name}/__init__.py"] if (module / "__init__.py").exists() else []
    for service in SERVICES:
        files += [f"services/{service}/{name}.py" for name in ("__init__", "bootstrap")]
        files += [f"services/{service}/{package}/__init__.py" for package in PACKAGES]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert broken(tmp_path) == set()

    for contract, violation in VIOLATIONS.items():
        for file, text in violation.items():
            (tmp_path / file).write_text(text)
        assert broken(tmp_path) == {contracts[contract]}
        for file in violation:
            (tmp_path / file).unlink()


def test_the_documented_layers_are_the_checked_ones() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text()
    rules = ConfigParser()
    rules.read_string((ROOT / ".importlinter").read_text())
    for section in rules.sections():
        if ":" not in section:
            continue
        contract = section.rsplit(":", 1)[1]
        part = picture.split(f"**{contract}**", 1)
        assert len(part) == 2, f"docs/architecture.md does not speak of the contract {contract}"
        text = part[1].split("\n**", 1)[0]
        if "layers" in rules[section]:
            drawn = [line.split("   ")[0].strip() for line in text.split("```")[1].strip().splitlines()]
            assert drawn == rules[section]["layers"].split("\n")[1:], contract
        if contract in {"pure", "chassis"}:
            missing = [name for name in rules[section]["forbidden_modules"].split() if name not in text]
            assert missing == [], contract
