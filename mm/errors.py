"""What a user did or met that stops a request. Services raise these; each surface has one handler
that shows them."""


class UserError(Exception):
    """`message` is shown as it is: it says what happened and what to do."""

    status = 400

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class UnauthenticatedError(UserError):
    status = 401


class ForbiddenError(UserError):
    status = 403


class NotFoundError(UserError):
    status = 404


class ConflictError(UserError):
    """Something else is running, or what was planned for is no longer so."""

    status = 409


class TooLargeError(UserError):
    status = 413


class InvalidError(UserError):
    """`errors`: rows of {path, reason}, for a document with nothing usable in it."""

    status = 422

    def __init__(self, message: str, errors: list | None = None):
        super().__init__(message)
        self.errors = errors or []


class UnusableFileError(InvalidError):
    """A file or a document of which nothing can be used: its message is the whole answer."""


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
