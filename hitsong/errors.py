"""The errors a user can cause or has to wait out; anything else is a bug and keeps its traceback."""


class UserError(Exception):
    """Something the user can mend: says what is wrong, where, and what to do (exit code 2)."""

    exit_code = 2


class ComeBackLater(UserError):
    """The service asks for a pause longer than we wait: says until when (exit code 3)."""

    exit_code = 3
