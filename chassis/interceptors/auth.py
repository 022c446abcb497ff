"""The layer that establishes who is calling and whether that caller may call this method.

Owner: chassis. Whether the caller may touch this school or that person is the service's question: it knows units.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from chassis.errors import DeviceRevokedError, RoleNotAllowedError, TokenInvalidError, TokenMissingError
from chassis.interceptors.call import CALL, Context, StreamCall
from chassis.tokens import Principal, TokenVerifier, UnknownKeyError


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a method. Made by the class methods; a method without one is no method we serve.

    Attributes:
        anyone: credentials are not looked at.
        by_device: a device may, with its certificate and a fresh proof.
        by_roles: an access or service token with one of these roles may.
        expired_leeway: how long after its end a device's certificate is still good for this method.
    """

    anyone: bool = False
    by_device: bool = False
    by_roles: frozenset[str] = frozenset()
    expired_leeway: timedelta = timedelta(0)

    @classmethod
    def public(cls) -> Self:
        """Anyone."""
        return cls(anyone=True)

    @classmethod
    def device(cls, *, expired_leeway: timedelta = timedelta(0)) -> Self:
        """A teacher's device, by certificate and proof; for renewal also some time after the certificate's end."""
        return cls(by_device=True, expired_leeway=expired_leeway)

    @classmethod
    def roles(cls, *roles: str) -> Self:
        """Staff with one of these roles.

        Raises:
            ValueError: no role is named.
        """
        if not roles:
            raise ValueError("name at least one role")
        return cls(by_roles=frozenset(roles))

    @classmethod
    def service(cls) -> Self:
        """Hadir's own services."""
        return cls(by_roles=frozenset({"service"}))

    @classmethod
    def any_of(cls, *alternatives: "Access") -> Self:
        """Whoever one of the alternatives admits.

        Raises:
            ValueError: no alternative is named, or one is public and makes the others pointless.
        """
        if not alternatives or any(access.anyone for access in alternatives):
            raise ValueError("name at least one alternative, none of them public")
        return cls(
            by_device=any(access.by_device for access in alternatives),
            by_roles=frozenset().union(*(access.by_roles for access in alternatives)),
            expired_leeway=max(access.expired_leeway for access in alternatives),
        )


@dataclass(frozen=True, slots=True)
class MethodPolicy:
    """How a method is served, where it differs from the usual.

    Attributes:
        access: who may call it.
        timeout: the longest a call with one answer may take; None: the server's usual limit.
        watch: the stream never ends by itself (the client is told to come back elsewhere when the server stops).
    """

    access: Access
    timeout: timedelta | None = None
    watch: bool = False


Revoked = Callable[[str], bool]
"""Whether the device of this id is revoked, by what the service knows; asked at each call of a device, so in memory."""


class Gate:
    """Admits the callers of one method.

    Args:
        access: who may call it.
        verifier: tells who calls.
        method: the full name.
        revoked: which devices are turned away; None: the service sees to that itself.

    Raises:
        ValueError: the method needs credentials, and there is no verifier.
    """

    def __init__(
        self, *, access: Access, verifier: TokenVerifier | None, method: str, revoked: Revoked | None = None
    ) -> None:
        if verifier is None:
            raise ValueError(f"{method} needs credentials, and the server was given no verifier")
        self._access = access
        self._verifier = verifier
        self._method = method
        self._revoked = revoked

    def admit(self, context: Context) -> Principal | None:
        """Who calls; None when the token names a key that is not known yet: see `admit_after_refresh`.

        Raises:
            AuthenticationError, PermissionDeniedError: the caller may not; which one says why.
        """
        try:
            return self._authenticate(context)
        except UnknownKeyError:
            return None

    async def admit_after_refresh(self, context: Context) -> Principal:
        """As `admit`, after the keys were fetched anew.

        Raises:
            AuthenticationError, PermissionDeniedError: as `admit`; an unknown key is now an invalid token.
            KeysUnavailableError: they could not be fetched; the caller may come back.
        """
        await self._verifier.keyset.refresh()
        return self._authenticate(context)

    def _authenticate(self, context: Context) -> Principal:
        authorization = proof = ""
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and isinstance(value, str):
                authorization = value
            elif key == "dpop" and isinstance(value, str):
                proof = value
        if not authorization:
            raise TokenMissingError
        scheme, _, token = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                caller = self._verifier.verify_bearer(token.strip())
                allowed = not self._access.by_roles.isdisjoint(caller.roles)
            case "dpop":
                leeway = self._access.expired_leeway
                caller = self._verifier.verify_bound(
                    token.strip(), proof, self._method, expired_leeway=leeway
                )
                allowed = self._access.by_device
                if (
                    self._revoked is not None
                    and caller.device_id is not None
                    and self._revoked(caller.device_id)
                ):
                    raise DeviceRevokedError
            case _:
                raise TokenInvalidError("the authorization scheme is neither Bearer nor DPoP")
        if not allowed:
            raise RoleNotAllowedError
        return caller


def gate_for(
    access: Access, *, verifier: TokenVerifier | None, method: str, revoked: Revoked | None = None
) -> Gate | None:
    """The method's gate; None when anyone may call it.

    Raises:
        ValueError: the method needs credentials, and there is no verifier.
    """
    if access.anyone:
        return None
    return Gate(access=access, verifier=verifier, method=method, revoked=revoked)


def stream(inner: StreamCall, *, gate: Gate | None) -> StreamCall:
    """Admits callers of methods with a stream of answers, once, at the stream's beginning."""
    if gate is None:
        return inner

    async def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        CALL.get().principal = gate.admit(context) or await gate.admit_after_refresh(context)
        async with aclosing(inner(request, context)) as responses:
            async for response in responses:
                yield response

    return call
