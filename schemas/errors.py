"""The three kinds of failure, by what the caller has to do: try again, set one record aside, or stop."""

from typing import Final

_SHOWN_LIMIT: Final = 80


class InverError(Exception):
    """The base of everything Inver raises on purpose; its text says what broke and what to do next."""


class Retryable(InverError):
    """Raised when the same call may succeed later: a connection, a time-out, a busy or read-only store."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        #: The wait the other side asked for, or None where it named none.
        self.retry_after_seconds = retry_after_seconds


class Poison(InverError):
    """Raised when one record or request can never succeed as it is; its neighbours go on."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        #: A stable word for counting and filtering, such as ``invalid_field`` or ``version_reused``.
        self.reason = reason


class InvalidField(Poison):
    """Raised when a field's value breaks its rule; names the field, the value and the remedy."""

    def __init__(self, field: str, value: object, remedy: str, *, reason: str = "invalid_field") -> None:
        shown = repr(value)
        if len(shown) > _SHOWN_LIMIT:
            shown = f"{shown[: _SHOWN_LIMIT - 3]}..."
        super().__init__(reason, f"field '{field}' has value {shown}: {remedy}")
        self.field = field
        self.remedy = remedy


class DecodeError(Poison):
    """Raised when bytes are not the record they claim to be."""

    def __init__(self, message: str, *, reason: str = "undecodable") -> None:
        super().__init__(reason, message)


class Fatal(InverError):
    """Raised when going on would be wrong or pointless: bad credentials, a mapping conflict, another model."""
