"""Where a stack keeps what it has: one directory, and a short one for sockets. Owner: stack."""

import fcntl
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ops.stack.part import StackError

REPOSITORY = Path(__file__).parents[2]
DEFAULT_DIRECTORY = REPOSITORY / "var" / "stack"

# The kernel takes 107 bytes for a socket's path; the longest name below it is "checkin-1.sock".
_LONGEST_RUN_PATH = 107 - len("/checkin-1.sock")

_PRIVATE = 0o700
_SECRET = 0o600


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The paths of one stack. Two stacks in two directories share nothing.

    Attributes:
        root: the stack's directory.
        run: sockets, in a directory that only this user can enter: who can connect there is believed.
    """

    root: Path
    run: Path

    @property
    def logs(self) -> Path:
        """One file per part."""
        return self.root / "log"

    @property
    def specs(self) -> Path:
        """What guard.py makes of each part."""
        return self.root / "parts"

    @property
    def postgres_data(self) -> Path:
        """PostgreSQL's data directory: its parent is nobody else's business."""
        return self.root / "postgres" / "data"

    @property
    def nats_data(self) -> Path:
        """JetStream's files."""
        return self.root / "nats"

    @property
    def edge(self) -> Path:
        """Envoy's configuration and descriptor set."""
        return self.root / "edge"

    @property
    def state(self) -> Path:
        """The description of the running stack (see target.py)."""
        return self.root / "stack.json"

    @property
    def clock_offset(self) -> Path:
        """Seconds by which every service's clock is moved; absent: not at all."""
        return self.root / "clock-offset"

    def secret(self, name: str) -> Path:
        """The path of a secret."""
        return self.root / "secrets" / name

    def socket(self, name: str) -> Path:
        """The path of a unix socket."""
        return self.run / f"{name}.sock"

    def log(self, part: str) -> Path:
        """The path of a part's log."""
        return self.logs / f"{part}.log"


def prepare_layout(root: Path) -> Layout:
    """Makes the directories; what is there already stays.

    Raises:
        StackError: the directory for sockets exists and is somebody else's.
    """
    root = root.absolute()
    run = root / "run"
    if len(os.fsencode(run)) > _LONGEST_RUN_PATH:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        run = Path(tempfile.gettempdir()) / f"hadir-{os.geteuid()}-{name}"
    layout = Layout(root=root, run=run)
    root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    for directory in (
        layout.logs,
        layout.specs,
        layout.edge,
        layout.nats_data,
        layout.postgres_data.parent,
        layout.secret("any").parent,
        layout.run,
    ):
        directory.mkdir(mode=_PRIVATE, exist_ok=True)
    found = layout.run.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) != _PRIVATE
    ):
        raise StackError(f"{layout.run} must be a directory of this user alone (mode 0700): remove it")
    return layout


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Keeps a second stack out of the same directory; the lock ends with this process, however it ends.

    Raises:
        StackError: a stack runs there.
    """
    with (layout.root / "lock").open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"a stack already runs in {layout.root}: stop it, or name another directory (--dir)"
            ) from error
        yield


def write_secret(path: Path, content: str | bytes) -> Path:
    """Writes a file that only this user can read, all of it or nothing."""
    data = content.encode() if isinstance(content, str) else content
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET), "wb") as file:
        file.write(data)
    unfinished.replace(path)
    return path


def kept_password(layout: Layout, name: str) -> str:
    """The password called `name` of this stack, made on the first call: 192 bits, safe in any URL."""
    path = layout.secret(f"{name}.password")
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="ascii")


def kept_bytes(layout: Layout, name: str) -> Path:
    """The path of 32 random bytes of this stack as 64 hexadecimal digits, made on the first call."""
    path = layout.secret(name)
    if not path.exists():
        write_secret(path, secrets.token_hex(32))
    return path


def kept_signing_key(layout: Layout, name: str) -> Path:
    """The path of a P-256 private key (PKCS #8, PEM) of this stack, made on the first call."""
    path = layout.secret(name)
    if not path.exists():
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_secret(path, pem)
    return path
