"""What collectors have in common: release years, and lists in files."""

from pathlib import Path

from hitsong.errors import UserError


def in_years(release_date, years):
    """Whether a release date (YYYY, YYYY-MM or YYYY-MM-DD) lies in years such as 2019 or 2019-2021; None is all."""
    if years is None:
        return True
    first, _, last = years.partition("-")
    return release_date is not None and first <= release_date[:4] <= (last or first)


def text_of(path, key):
    """Read a file that a setting names.

    Raises
    ------
    UserError
        If it cannot be read; names the setting.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{key}: {path} cannot be read: {error}") from None


def lines_of(path, key):
    """The lines of a file that are not empty. Raises UserError."""
    return [line.strip() for line in text_of(path, key).splitlines() if line.strip()]
