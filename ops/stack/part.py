"""What the stack knows of one of its parts, whatever the part is. Owner: stack."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Identity = Literal["keep", "namespace", "capability"]

Probe = Callable[[], None]
"""Returns when the part answers as it should; raises NotReadyError otherwise. Takes a second at most."""


class StackError(Exception):
    """The stack cannot go on; the message tells a person what happened and, where one can, what to do."""


class NotReadyError(Exception):
    """A part does not answer (yet); the message says what was tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One process of the stack.

    Attributes:
        name: as printed, and as the supervisor calls it; letters, digits, hyphens.
        argv: the command, an absolute path first.
        env: its complete environment.
        cwd: where it runs.
        address: what to tell a person: where it is reached.
        probe: whether it is ready.
        rank: parts start in the order of rank, those of one rank together, and stop in the reverse order.
        stop_signal: asks it to end in order.
        stop_seconds: how long that may take before it is killed.
        ready_seconds: how long it may take to be ready.
        identity, uid, gid: see guard.py.
        open_files: the limit of open files it wants.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path
    address: str
    probe: Probe
    rank: int
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: int = 20
    ready_seconds: float = 30.0
    identity: Identity = "keep"
    uid: int = 0
    gid: int = 0
    open_files: int = 0
