"""What each part of a running stack has cost: memory now, CPU since its start. Owner: stack."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_KIB = 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartUsage:
    """A part's processes, children included.

    Attributes:
        pss_mb: proportional set size in MiB: a page shared by n processes counts as 1/n of a page in each, so that
            the sum over all parts counts it once. Where the kernel does not tell it (another user's process in a
            container without CAP_SYS_PTRACE) the resident set, which is larger.
        cpu_seconds: user and system time since the processes started, ended children included.
    """

    pss_mb: float
    cpu_seconds: float


def measure_processes(pids: Mapping[str, int], *, alone: Mapping[str, int]) -> dict[str, PartUsage]:
    """The usage of each part by its main process's pid; a part that is not running is left out.

    Args:
        pids: parts with all their descendants.
        alone: parts whose children are parts themselves.
    """
    usages = {}
    for name, pid in {**alone, **pids}.items():
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(pid)
            if name in alone:
                times = main.cpu_times()
                usages[name] = PartUsage(_memory(main) / _MIB, float(times.user + times.system))
            else:
                tree = [main, *main.children(recursive=True)]
                usages[name] = PartUsage(sum(map(_memory, tree)) / _MIB, sum(map(_cpu, tree)))
    return usages


def _memory(process: psutil.Process) -> float:
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    except PermissionError:
        return float(process.memory_info().rss)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1]) * _KIB
    return 0.0


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
