"""What no linter tells about this repository: its lock files and module lengths. Owned by the toolchain.

Run by `make check`; needs no network. Each finding is one line that says what to do; the exit code is 1 if
there is any. The lock files are judged by what `uv pip compile` writes: pins, hashes, and `# via` lines that
name who asked, so that a lock that no longer belongs to pyproject.toml shows without resolving it again.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

LONGEST_MODULE = 400
"""Lines; past it a module splits (docs/architecture.md)."""

EXTRAS = ("dev", "ops", "auth", "checkin", "reporting")
"""The extras with a lock file of their own; the first holds everything."""

RELEASE_TRAIN = ("grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status", "grpcio-tools")
"""Packages that are released together, and that their owner tests only together."""

_EXACT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]+\])?==(?P<version>[^\s;]+)")
_OWN_EXTRAS = re.compile(r"hadir\[(?P<extras>[^]]+)\]")
_BLOCK = re.compile(r"^(?=\S+==)", re.MULTILINE)
_ADDRESS = re.compile(r"https?:|file:|--(?:extra-)?index-url|--find-links|@ ", re.IGNORECASE)


class Pin(NamedTuple):
    """One package of a lock file; `hashes` counts them, `direct` says whether pyproject.toml asks for it."""

    name: str
    version: str
    hashes: int
    direct: bool


def normalized(name: str) -> str:
    """The name of a package as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct_requirements(
    dependencies: Iterable[str], optional: Mapping[str, Iterable[str]], extra: str
) -> Iterator[str]:
    """What pyproject.toml asks for with an extra, including the extras that this one names."""
    yield from dependencies
    waiting = [extra]
    while waiting:
        for requirement in optional[waiting.pop()]:
            own = _OWN_EXTRAS.fullmatch(requirement)
            if own is None:
                yield requirement
            else:
                waiting += [name.strip() for name in own["extras"].split(",")]


def exact_versions(requirements: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Versions by package, and a finding for each requirement that leaves the version open."""
    versions, findings = {}, []
    for requirement in requirements:
        exact = _EXACT.fullmatch(requirement)
        if exact is None:
            findings.append(f"pyproject.toml: {requirement!r} is not pinned exactly (name==version)")
        else:
            versions[normalized(exact["name"])] = exact["version"]
    return versions, findings


def pins_of(lock: str) -> list[Pin]:
    """The packages of a lock file's text; one that depends on the platform stands there once per version."""
    pins = []
    for block in _BLOCK.split(lock):
        pin = _EXACT.match(block)
        if pin is not None:
            direct = "hadir (pyproject.toml" in block
            pins.append(Pin(normalized(pin["name"]), pin["version"], block.count("--hash=sha256:"), direct))
    return pins


def address_findings(lock: str, where: str) -> list[str]:
    """The lines of a lock file that bind it to one machine or one index."""
    return [
        f"{where}:{number}: an address in a lock file: {line.strip()}"
        for number, line in enumerate(lock.splitlines(), 1)
        if _ADDRESS.search(line)
    ]


def lock_findings(pyproject: str, locks: Mapping[str, str]) -> list[str]:
    """What is wrong between pyproject.toml's text and the lock files' texts, by extra (all of EXTRAS)."""
    project = tomllib.loads(pyproject)["project"]
    tested = {(pin.name, pin.version) for pin in pins_of(locks[EXTRAS[0]])}
    findings = []
    for extra in EXTRAS:
        where = f"requirements/{extra}.lock"
        pins = pins_of(locks[extra])
        wanted, unpinned = exact_versions(
            direct_requirements(project["dependencies"], project["optional-dependencies"], extra)
        )
        direct = {pin.name for pin in pins if pin.direct}
        held = {(pin.name, pin.version) for pin in pins}
        findings += unpinned if extra == EXTRAS[0] else []
        findings += address_findings(locks[extra], where)
        findings += [f"{where}: {pin.name} has no hash; make lock" for pin in pins if not pin.hashes]
        findings += [
            f"{where}: {name} is not {version}, as pyproject.toml asks; make lock"
            for name, version in sorted(wanted.items() - held)
        ]
        findings += [
            f"{where}: nobody asks for {name} any more; make lock" for name in sorted(direct - wanted.keys())
        ]
        findings += [
            f"{where}: {name} {version} is not what requirements/{EXTRAS[0]}.lock tests; make lock"
            for name, version in sorted(held - tested)
        ]
    train = {name: version for name, version in sorted(tested) if name in RELEASE_TRAIN}
    if len(set(train.values())) != 1:
        findings.append(f"pyproject.toml: one release train, moved together: {train}")
    return findings


def length_findings(modules: Mapping[str, str]) -> list[str]:
    """Which modules, given by path and text, are too long."""
    lengths = {path: len(text.splitlines()) for path, text in modules.items()}
    return [
        f"{path}: {length} lines; past {LONGEST_MODULE} a module splits"
        for path, length in sorted(lengths.items())
        if length > LONGEST_MODULE
    ]


def own_modules(root: Path) -> dict[str, str]:
    """The texts of the Python modules that git has or would take, but for generated ones, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return {
        path: (root / path).read_text()
        for path in listed
        if not path.startswith("gen/") and (root / path).exists()
    }


def main(root: Path) -> int:
    """Prints what is wrong with the repository at `root`; 0 if nothing is."""
    requirements = root / "requirements"
    bootstrap = (requirements / "bootstrap.lock").read_text()
    locks = {extra: (requirements / f"{extra}.lock").read_text() for extra in EXTRAS}
    findings = [
        *lock_findings((root / "pyproject.toml").read_text(), locks),
        *address_findings(bootstrap, "requirements/bootstrap.lock"),
        *length_findings(own_modules(root)),
    ]
    for finding in findings:
        sys.stderr.write(f"check-repository: {finding}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(__file__).resolve().parent.parent))
