"""Ports for the stack's parts: the ones asked for, else free ones. Owner: stack."""

import random
import socket
from collections.abc import Container, Mapping, Sequence

from ops.stack.part import StackError

LOOPBACK = "127.0.0.1"

# Below the ports that Linux gives to outgoing connections: six thousand phones on this machine could otherwise hold
# the port of a part that is about to be started again.
_RANGE = range(20_000, 32_768)


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run that are still in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose_ports(
    names: Sequence[str], wanted: Mapping[str, int], preferred: Mapping[str, int]
) -> dict[str, int]:
    """One port for each name.

    Args:
        names: who needs one.
        wanted: ports that a person configured; it is an error when one is taken.
        preferred: well-known ports, used when they happen to be free.

    Raises:
        StackError: a wanted port is taken, wanted twice, or nobody's.
    """
    _check(names, wanted)
    chosen = dict(wanted)
    for name, port in preferred.items():
        if name in names and name not in chosen and port not in chosen.values() and is_free(port):
            chosen[name] = port
    for name in names:
        if name not in chosen:
            chosen[name] = _free_port(set(chosen.values()))
    return {name: chosen[name] for name in names}


def _free_port(taken: Container[int]) -> int:
    for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port between {_RANGE.start} and {_RANGE.stop - 1}")


def _check(names: Sequence[str], wanted: Mapping[str, int]) -> None:
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise StackError(f"no such port: {', '.join(unknown)}; there are {', '.join(names)}")
    if len(set(wanted.values())) != len(wanted):
        raise StackError(f"two parts are given the same port: {dict(wanted)}")
    for name, port in wanted.items():
        if not is_free(port):
            raise StackError(f"port {port}, configured for {name}, is taken by another process")
