"""Errors that a user is told about. Services raise them, and each surface has one handler that
shows them."""


class UserError(Exception):
    """`message` is shown as it is: it says what happened and what to do."""

    status = 400

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class TakenError(UserError):
    """Somebody else has this name or address. `errors`: as of InvalidError."""

    def __init__(self, message: str, errors: list):
        super().__init__(message)
        self.errors = errors


class UnauthenticatedError(UserError):
    status = 401


class ForbiddenError(UserError):
    status = 403


class NotFoundError(UserError):
    status = 404


class ConflictError(UserError):
    """Something else is running, or the data changed since the user looked at it."""

    status = 409


class TooLargeError(UserError):
    status = 413


class InvalidError(UserError):
    """`errors`: rows of {path, reason}, one for each thing that is wrong."""

    status = 422

    def __init__(self, message: str, errors: list | None = None):
        super().__init__(message)
        self.errors = errors or []


class UnusableFileError(InvalidError):
    """A file of which nothing can be used; the message says all there is to say."""


class TooManyRequestsError(UserError):
    """`retry_after` is in seconds."""

    status = 429

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class ProviderError(UserError):
    """TMDB or OMDb answered with an error."""

    status = 502


class UnavailableError(UserError):
    status = 503


class NoRoomError(UserError):
    status = 507
