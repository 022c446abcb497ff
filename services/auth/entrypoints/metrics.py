"""What auth counts. Owner: auth. Labels are outcomes and reasons, never people or schools."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.auth.domain.errors import AuthError


class AuthMetrics:
    """Counters of what auth did; each outcome is "ok", "repeated", or the kind of refusal."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.enrolments = Counter(
            "hadir_auth_enrolments_total", "Enrolments, by outcome.", ("outcome",), registry=registry
        )
        self.sign_ins = Counter(
            "hadir_auth_sign_ins_total", "Sign-ins by device, by outcome.", ("outcome",), registry=registry
        )
        self.renewals = Counter(
            "hadir_auth_renewals_total",
            "Renewals of certificates, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self.codes = Counter("hadir_auth_codes_issued_total", "Activation codes made.", registry=registry)
        self.replacements = Counter(
            "hadir_auth_devices_replaced_total", "Devices revoked for another.", registry=registry
        )
        self.import_rows = Counter(
            "hadir_auth_import_rows_total", "Rows of imports that were applied, by outcome.", ("outcome",),
            registry=registry,
        )  # fmt: skip
        self.watchers = Gauge("hadir_auth_device_watchers", "Open device streams.", registry=registry)
        self.waiting = Gauge(
            "hadir_auth_waiting_calls", "Calls that wait for a database connection.", registry=registry
        )


def outcome(error: AuthError) -> str:
    """A refusal as a label: OutOfScopeError is "out_of_scope"."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_")
