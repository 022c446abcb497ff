"""The repository as a stranger meets it: commands and links that documents name, and the checker of locks."""

import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return [ROOT / path for path in listed if not path.startswith("third_party/")]


def test_make_verbs_in_the_documents_exist() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (path.name, verb)
        for path in tracked("*.md")
        for block in re.findall(r"```sh\n(.*?)```|`(make [^`]*)`", path.read_text(), re.DOTALL)
        for line in "".join(block).splitlines()
        if line.startswith("make ")
        for verb in re.findall(r"(?<= )[a-z-]+(?= |$)", line.split("#")[0].rstrip())
        if not verb.startswith("-")
    }
    assert {verb for name, verb in named if name == "README.md"} >= {"demo", "test", "run", "check"}
    assert {(name, verb) for name, verb in named if verb not in verbs} == set()


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked("*.md")
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_help_lists_every_verb() -> None:
    verbs = set(re.findall(r"^\.PHONY: ([a-z-]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert verbs == set(re.findall(r"^  ([a-z-]+) +\S", shown, re.MULTILINE))


PYPROJECT = """
[project]
dependencies = ["grpcio==1.2", "SQL.alchemy[asyncio]==2.0"]
[project.optional-dependencies]
auth = []
checkin = []
reporting = []
ops = ["hadir[auth,checkin]", "typer==3.0"]
dev = ["hadir[ops]"]
"""
SERVICE = """
grpcio==1.2 \\
    --hash=sha256:aa
    # via hadir (pyproject.toml)
mako==1 \\
    --hash=sha256:bb
    # via sql-alchemy
sql-alchemy[asyncio]==2.0 \\
    --hash=sha256:cc
    # via hadir (pyproject.toml)
"""
OPS = (
    SERVICE + "typer==3.0 ; sys_platform != 'x' \\\n    --hash=sha256:dd\n    # via hadir (pyproject.toml)\n"
)
LOCKS = {"dev": OPS, "ops": OPS, "auth": SERVICE, "checkin": SERVICE, "reporting": SERVICE}


def test_locks_that_fit_are_found_good(repository_checker: ModuleType) -> None:
    assert repository_checker.lock_findings(PYPROJECT, LOCKS) == []


@pytest.mark.parametrize(
    ("locks", "finding"),
    [
        ({"auth": "--index-url https://example.org\n" + SERVICE}, "an address in a lock file"),
        ({"auth": SERVICE.replace("    --hash=sha256:bb\n", "")}, "mako has no hash"),
        (
            {"auth": SERVICE.replace("sql-alchemy[asyncio]==2.0", "sql-alchemy==1.9")},
            "sql-alchemy is not 2.0",
        ),
        ({"auth": OPS}, "nobody asks for typer"),
        ({"auth": SERVICE.replace("mako==1 ", "mako==2 ")}, "mako 2 is not what requirements/dev.lock tests"),
        ({"ops": SERVICE}, "typer is not 3.0"),
    ],
)
def test_a_lock_that_does_not_fit_is_named(
    repository_checker: ModuleType, locks: dict[str, str], finding: str
) -> None:
    findings = repository_checker.lock_findings(PYPROJECT, LOCKS | locks)
    assert any(finding in line for line in findings), findings


def test_open_versions_and_a_torn_release_train_are_named(repository_checker: ModuleType) -> None:
    loose = repository_checker.lock_findings(PYPROJECT.replace("typer==3.0", "typer>=3.0"), LOCKS)
    assert any("'typer>=3.0' is not pinned exactly" in line for line in loose)
    torn = OPS + "grpcio-status==1.3 \\\n    --hash=sha256:ee\n    # via grpcio\n"
    assert any(
        "release train" in line for line in repository_checker.lock_findings(PYPROJECT, LOCKS | {"dev": torn})
    )


def test_a_module_past_the_limit_is_named(repository_checker: ModuleType) -> None:
    modules = {
        "long.py": "x\n" * (repository_checker.LONGEST_MODULE + 1),
        "short.py": "x\n" * repository_checker.LONGEST_MODULE,
    }
    assert [line.split(":")[0] for line in repository_checker.length_findings(modules)] == ["long.py"]
