"""Spotify's searches, and narrower ones for a search with more results than the service shows.

A search is divided into release years first. A year that still has too many results is divided by the first
character of the title (or artist's name): a-z, 0-9 and every other first character of a result, such as those of
Chinese titles; then, for tracks, by every artist of a result. Only tracks whose first character and artists occur in no
visible result of their year are not reached.
"""

import unicodedata
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

FIRST_YEAR = 1950  # all years before are searched as one
EARLIEST_YEAR = 1900
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Query:
    """A search for the artists or tracks of a genre.

    Attributes
    ----------
    kind : str
        "artist" or "track".
    genre : str
    years : (int, int), optional
        First and last year of release.
    field : str, optional
        A further condition in Spotify's syntax, such as ``track:a%``.
    """

    kind: str
    genre: str
    years: tuple | None = None
    field: str | None = None

    def __str__(self):
        """The query in Spotify's syntax."""
        parts = [f'genre:"{self.genre}"']
        if self.years:
            first, last = self.years
            parts.append(f"year:{first}" if first == last else f"year:{first}-{last}")
        if self.field:
            parts.append(self.field)
        return " ".join(parts)

    def by_year(self):
        """The query for each year of its range; none if it is for one year already."""
        first, last = self.years or (EARLIEST_YEAR, datetime.now(UTC).year)
        if first == last:
            return []
        early = [(first, FIRST_YEAR - 1)] if first < FIRST_YEAR - 1 and last >= FIRST_YEAR else []
        start = FIRST_YEAR if early else first
        years = [*early, *((year, year) for year in range(start, last + 1))]
        return [Query(self.kind, self.genre, pair) for pair in years]


class Narrowing:
    """Narrower queries than one that has too many results, made from the results seen so far."""

    def __init__(self, query):
        self.query = query
        self._characters, self._artists = deque(), deque()
        self._queued = set()
        for character in CHARACTERS:
            self._add(self._characters, f"{query.kind}:{character}%")

    def see(self, item):
        """Add the first character and the artists of a result: a dict with `name` and, for tracks, `artist_names`."""
        if (character := first_character(item["name"])) is not None:
            self._add(self._characters, f"{self.query.kind}:{character}%")
        for name in item.get("artist_names", ()):
            self._add(self._artists, 'artist:"{}"'.format(name.replace('"', " ")))

    def __iter__(self):
        """Yield queries, characters before artists, until no result has added another."""
        while self._characters or self._artists:
            field = (self._characters or self._artists).popleft()
            yield Query(self.query.kind, self.query.genre, self.query.years, field)

    def _add(self, queue, field):
        if field not in self._queued:
            self._queued.add(field)
            queue.append(field)


def first_character(name):
    """The first letter or digit of a name in lower case, without an accent; None if it has none.

    >>> first_character("(Éclair)"), first_character("愛"), first_character("!!!")
    ('e', '愛', None)
    """
    for character in name:
        if character.isalnum():
            base = unicodedata.normalize("NFKD", character)[0]
            return (base if base.isascii() else character).lower()
    return None
