"""Who may call what. Where they may act is the use cases' matter (units). Owner: auth."""

from collections.abc import Mapping
from datetime import timedelta

from chassis.grpc_server import Access, MethodPolicy
from services.auth.domain.units import Role

AUTH = "hadir.auth.v1.AuthService"
ROSTER = "hadir.auth.v1.RosterService"

# The ICT agency runs the system and sees no personal data.
_READERS = Access.roles(
    Role.SCHOOL_OPERATOR,
    Role.HEAD_TEACHER,
    Role.LIAISON,
    Role.PERSONNEL_AGENCY,
    Role.EDUCATION_AGENCY,
    Role.AUDITOR,
    Role.SERVICE,
)
_OPERATORS = Access.roles(Role.SCHOOL_OPERATOR, Role.PERSONNEL_AGENCY)
_AGENCY = Access.roles(Role.PERSONNEL_AGENCY)
_UNIT_HEADS = Access.roles(Role.HEAD_TEACHER, Role.PERSONNEL_AGENCY)


def access(certificate_grace: timedelta) -> Mapping[str, Access | MethodPolicy]:
    """The access table.

    Args:
        certificate_grace: how long after its end a certificate can still be renewed.
    """
    return {
        f"/{AUTH}/Enroll": Access.public(),
        f"/{AUTH}/CreateChallenge": Access.public(),
        f"/{AUTH}/SignIn": Access.public(),
        f"/{AUTH}/SignInWithPassword": Access.public(),
        f"/{AUTH}/Refresh": Access.public(),
        f"/{AUTH}/SignOut": Access.public(),
        f"/{AUTH}/RenewCertificate": Access.device(expired_leeway=certificate_grace),
        f"/{AUTH}/GetJwks": Access.public(),
        f"/{ROSTER}/ImportRoster": _AGENCY,
        f"/{ROSTER}/ListPeople": _READERS,
        f"/{ROSTER}/IssueActivationCodes": _OPERATORS,
        f"/{ROSTER}/ReplaceDevice": _OPERATORS,
        f"/{ROSTER}/ProposeBlock": _UNIT_HEADS,
        f"/{ROSTER}/DecideBlock": _AGENCY,
        f"/{ROSTER}/TransferPerson": _AGENCY,
        f"/{ROSTER}/WatchDevices": MethodPolicy(Access.service(), watch=True),
    }
