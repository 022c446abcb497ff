"""Identifiers that auth makes: UUID version 7. Owner: auth.

Ordered by time, so that new rows go to the end of an index. Python has its own from 3.14 on.
"""

from datetime import datetime
from uuid import UUID

ENTROPY_BYTES = 10


def uuid7(moment: datetime, entropy: bytes) -> UUID:
    """The UUID of a moment (RFC 9562, 5.7): 48 bits of milliseconds, 74 random bits.

    Args:
        moment: aware.
        entropy: `ENTROPY_BYTES` bytes from the system's random source.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"an identifier is made with {ENTROPY_BYTES} random bytes")
    number = int(moment.timestamp() * 1000) << 80 | int.from_bytes(entropy)
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return UUID(int=number)
