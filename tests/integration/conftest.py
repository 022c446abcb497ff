"""What the integration tests have: the real parts. Owner: stack."""

from tests.parts import backends, database, make_database, nats, parts

__all__ = ["backends", "database", "make_database", "nats", "parts"]
