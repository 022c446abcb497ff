"""The last thing a part's process does before it becomes the part: it ties its life to its parent's.

Owner: stack. Run as a script by supervisord (`python -I -S guard.py SPEC.json`), so it imports the standard
library only. Whoever kills the parent with -9 leaves no process behind, because the kernel itself sends the
death signal; and PostgreSQL, which refuses to run as root, is given another identity here
(docs/decisions/0011-postgresql-as-root.md).
"""

import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

# The supervisor's children must know whom to expect as their parent: between fork and the request for a death
# signal it may have died already.
PARENT_VARIABLE = "HADIR_PARENT_PID"

# linux/prctl.h, linux/sched.h, linux/capability.h, linux/securebits.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 4
_CLONE_NEWUSER = 0x10000000
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1

# What a shell says for "found, but may not be run".
_EXIT_REFUSED = 126


def main(spec_path: str) -> None:
    """Becomes the command of the specification file.

    The file is a JSON object: `argv`; `env` (complete); `cwd`; `death_signal` (number, sent when the parent
    dies); `identity` ("keep", "namespace" or "capability") with `uid` and `gid`; `nofile` (wished limit of open
    files); `is_supervisor`. With `probe` (a list of paths) in place of `argv` it only tries the identity: exit
    status 0 means that each path can be opened, directories written.
    """
    spec: dict[str, Any] = json.loads(Path(spec_path).read_text(encoding="utf-8"))
    parent = int(os.environ[PARENT_VARIABLE])
    _raise_open_files(spec.get("nofile", 0))
    _IDENTITIES[spec.get("identity", "keep")](spec)
    if "probe" in spec:
        _probe(spec["probe"])
        return
    environment: dict[str, str] = dict(spec["env"])
    if spec.get("is_supervisor"):
        environment[PARENT_VARIABLE] = str(os.getpid())
    # After the change of identity, which clears it.
    _die_with(parent, spec["death_signal"])
    os.chdir(spec["cwd"])
    os.execve(spec["argv"][0], spec["argv"], environment)  # noqa: S606 - becoming the part is the purpose


def _die_with(parent: int, signal_number: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit(f"the parent {parent} is gone, so there is nobody to run for")


def _raise_open_files(wished: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wished if hard == resource.RLIM_INFINITY else min(wished, hard)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _keep(_spec: dict[str, Any]) -> None:
    """A user who is not root already is somebody whom PostgreSQL accepts."""


def _namespace(spec: dict[str, Any]) -> None:
    """Root by another number: inside a user namespace of its own, without any capability outside it.

    To the file system the process stays root's, so nothing changes hands, and paths under 0700 directories of
    root's stay open to it.
    """
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(_CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{spec['uid']} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{spec['gid']} {gid} 1", encoding="ascii")


def _capability(spec: dict[str, Any]) -> None:
    """Another user who may pass through directories as root does, for where no user namespace can be made.

    One capability stays, through exec (ambient). NO_SETUID_FIXUP lets access(2) count it too: PostgreSQL asks
    with that whether it can find its own binary.
    """
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(spec["gid"], spec["gid"], spec["gid"])
    os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _check(_libc.capset(header, sets), "capset")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE)


_IDENTITIES = {"keep": _keep, "namespace": _namespace, "capability": _capability}


def _probe(paths: list[str]) -> None:
    for path in map(Path, paths):
        if path.is_dir():
            trial = path / ".probe"
            trial.touch()
            trial.unlink()
        else:
            with path.open("rb"):
                pass


_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _check(_libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)), "prctl")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as error:
        sys.stderr.write(f"cannot start: {error}\n")
        sys.exit(_EXIT_REFUSED)
