"""What can be wrong with a question to reporting; entrypoints map these to codes. Owned by reporting."""


class ReportingError(Exception):
    """Base of reporting's typed errors. `params` fill the placeholders of the user's message."""

    def __init__(self, **params: str) -> None:
        super().__init__(", ".join(f"{name}={value}" for name, value in params.items()))
        self.params = params


class OutOfScopeError(ReportingError):
    """The unit or person asked for lies outside the caller's unit."""


class UnknownUnitError(ReportingError):
    """No such district or school in the read model; `unit` is the code asked for."""


class InvalidDateError(ReportingError):
    """A date that is well-formed and does not exist, such as 30 February; `value` is what came."""


class DateOutOfBoundsError(ReportingError):
    """A date before the year `first` or after the year `last`; `field` is whose."""


class DateRangeError(ReportingError):
    """The last date lies before the first, or the range is longer than `days` days."""


class InvalidPageTokenError(ReportingError):
    """A page token that no answer gave."""


class TooManyWatchersError(ReportingError):
    """This process already serves as many boards as it may."""


class ReportTooLargeError(ReportingError):
    """A slot with more taps than `limit`: more than a report may hold in memory at once."""


class RevocationsUnknownError(ReportingError):
    """A device asks before the revoked ones were read: whether it may cannot be told now."""


class KeysUnavailableError(ReportingError):
    """A token by a key that is not known here, and auth is away: whether it is right cannot be told now."""
