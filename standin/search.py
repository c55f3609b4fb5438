"""Search queries of both services: fields and plain words."""

import re
import unicodedata
from functools import lru_cache

FIELD = r'\b{}:("[^"]*"|\S+)'


class Query:
    """A query's fields `genre:`, `year:`, `artist:` and `track:`, and its plain words.

    `year:` is one year or a range, 2010-2012. Artists and songs may be given with a wildcard, `a%`, `%a` or `%a%`.
    """

    def __init__(self, text):
        fields = dict(re.findall(FIELD.format("(genre|year|artist|track)"), text))
        fields = {name: fold(value.strip('"')) for name, value in fields.items()}
        self.words = fold(re.sub(FIELD.format(r"\w+"), " ", text).replace('"', " ")).split()
        self.genre = fields.get("genre", "").replace(" ", "-")
        self.artist = fields.get("artist", "")
        self.track = fields.get("track", "")
        first, _, last = fields.get("year", "0-9999").partition("-")
        try:
            self.years = range(int(first), int(last or first) + 1)
        except ValueError:
            self.years = range(0)

    def artists(self, worlds):
        """Yield the artists who have every word in their name and a release from these years."""
        for world in worlds:
            for artist in world.artists:
                if (
                    any(year in self.years for year in world.active[artist])
                    and matches(self.artist, artist.name)
                    and all(matches(word, artist.name) for word in self.words)
                ):
                    yield artist

    def tracks(self, worlds):
        """Yield the tracks from these years that have every word in the names of song, artists or album."""
        for world in worlds:
            for year, tracks in world.tracks_by_year.items():
                if year in self.years:
                    yield from filter(self.fits, tracks)

    def fits(self, track):
        """Whether a track has every word in the names of song, artists or album, whatever its year."""
        title, artists = track.recording.name, track.recording.artists
        if self.words:
            names = " / ".join([title, *(artist.name for artist in artists), track.album.name])
        return (
            matches(self.track, title)
            and (not self.artist or any(matches(self.artist, artist.name) for artist in artists))
            and all(matches(word, names) for word in self.words)
        )


def matches(pattern, name):
    """Whether a name begins (`a%`) or ends (`%a`) with a text, or contains it (`%a%`, `a`).

    >>> matches("tea%", "Teapot"), matches("%tea", "Teapot"), matches("ap", "Teapot"), matches("u%", "Über")
    (True, False, True, True)
    """
    if not pattern:
        return True
    core, name = pattern.strip("%"), fold(name)
    if pattern.startswith("%") == pattern.endswith("%"):
        return core in name
    return name.endswith(core) if pattern.startswith("%") else name.startswith(core)


@lru_cache(maxsize=1 << 16)
def fold(text):
    """Text without capitals and accents: u matches Ü."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return text.lower()
