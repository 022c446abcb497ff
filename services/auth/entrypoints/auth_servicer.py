"""hadir.auth.v1.AuthService. Owner: auth."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import grpc
from prometheus_client import Counter

from chassis.grpc_server import not_yet_available, principal
from chassis.wire import timestamp
from hadir.auth.v1 import auth_service_pb2 as pb
from hadir.auth.v1 import auth_service_pb2_grpc
from services.auth.application.enroll import Enroll
from services.auth.application.sessions import CreateChallenge, RenewCertificate, SignIn, holder_of
from services.auth.domain.errors import AuthError
from services.auth.entrypoints.metrics import AuthMetrics, outcome
from services.auth.entrypoints.texts import check_texts

Context = grpc.aio.ServicerContext[Any, Any]


class _Counted:
    """Counts how a piece of work ended: by the given outcome, or by the kind of refusal."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.outcome = "ok"

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        if error is not None:
            self.outcome = outcome(error) if isinstance(error, AuthError) else "error"
        self._counter.labels(self.outcome).inc()


class AuthServicer(auth_service_pb2_grpc.AuthServiceServicer):
    """Translates calls to use cases."""

    def __init__(
        self,
        *,
        enroll: Enroll,
        create_challenge: CreateChallenge,
        sign_in: SignIn,
        renew: RenewCertificate,
        jwks: Sequence[Mapping[str, str]],
        regency: str,
        metrics: AuthMetrics,
    ) -> None:
        self._enroll = enroll
        self._create_challenge = create_challenge
        self._sign_in = sign_in
        self._renew = renew
        self._jwks = pb.GetJwksResponse(keys=[pb.JsonWebKey(**key) for key in jwks])
        self._regency = regency
        self._metrics = metrics

    async def Enroll(self, request: pb.EnrollRequest, context: Context) -> pb.EnrollResponse:
        """See the contract."""
        check_texts(device_label=request.device_label)
        with _Counted(self._metrics.enrolments) as counted:
            bound = await self._enroll(
                code=request.activation_code,
                staff_number=request.nip,
                public_key=request.public_key,
                label=request.device_label,
            )
            if bound.repeated:
                counted.outcome = "repeated"
        return pb.EnrollResponse(
            device_certificate=bound.certificate,
            device_id=str(bound.device_id),
            person_id=str(bound.person_id),
            not_after=timestamp(bound.validity.not_after),
            renew_after=timestamp(bound.validity.renew_after),
            regency=self._regency,
            name=bound.name,
        )

    async def CreateChallenge(
        self,
        request: pb.CreateChallengeRequest,
        context: Context,
    ) -> pb.CreateChallengeResponse:
        """See the contract."""
        made = await self._create_challenge(UUID(request.device_id))
        return pb.CreateChallengeResponse(challenge=made.challenge, expires_at=timestamp(made.expires_at))

    async def SignIn(self, request: pb.SignInRequest, context: Context) -> pb.SignInResponse:
        """See the contract."""
        with _Counted(self._metrics.sign_ins):
            session = await self._sign_in(
                certificate=request.device_certificate,
                challenge=request.challenge,
                signature=request.signature,
            )
        return pb.SignInResponse(
            tokens=pb.Tokens(
                access_token=session.access_token,
                access_expires_at=timestamp(session.expires_at),
                roles=[role.value for role in session.roles],
                unit=str(session.unit),
            )
        )

    SignInWithPassword = not_yet_available
    Refresh = not_yet_available
    SignOut = not_yet_available

    async def RenewCertificate(
        self,
        request: pb.RenewCertificateRequest,
        context: Context,
    ) -> pb.RenewCertificateResponse:
        """See the contract."""
        caller = principal(context)
        with _Counted(self._metrics.renewals):
            holder = holder_of(caller.subject, caller.device_id or "", caller.school or "")
            renewed = await self._renew(person_id=holder.person_id, device_id=holder.device_id)
        return pb.RenewCertificateResponse(
            device_certificate=renewed.certificate,
            not_after=timestamp(renewed.validity.not_after),
            renew_after=timestamp(renewed.validity.renew_after),
        )

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.GetJwksResponse:
        """See the contract."""
        return self._jwks
