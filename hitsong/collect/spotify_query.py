"""Spotify's searches, and how to split one that has more results than the service shows."""

from datetime import UTC, datetime

FIRST_YEAR = 1950  # what lies before is searched as one
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Query:
    """A search that can be split into narrower ones: a genre, then its years, then first letters."""

    def __init__(self, genre, years=None, letter=None):
        self.genre, self.years, self.letter = genre, years, letter

    def text(self, kind):
        """The query in Spotify's syntax."""
        parts = [f'genre:"{self.genre}"']
        if self.years:
            first, last = self.years
            parts.append(f"year:{first}" if first == last else f"year:{first}-{last}")
        if self.letter:
            parts.append(f"{kind}:{self.letter}%")
        return " ".join(parts)

    def split(self):
        """Narrower queries that together find the same; none if there are no narrower ones."""
        first, last = self.years or (1900, datetime.now(UTC).year)
        if first != last:
            early = [(first, FIRST_YEAR - 1)] if first < FIRST_YEAR - 1 and last >= FIRST_YEAR else []
            start = max(first, FIRST_YEAR) if early else first
            return [
                Query(self.genre, years)
                for years in [*early, *((year, year) for year in range(start, last + 1))]
            ]
        if self.letter is None:
            return [Query(self.genre, self.years, letter) for letter in LETTERS]
        return []

    def __str__(self):
        return self.text("name")
