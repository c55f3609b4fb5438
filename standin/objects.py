"""The objects of a catalogue. `id` is Spotify's id (22 characters), `serial` is Deezer's (an integer)."""

from dataclasses import dataclass, field

from standin.composer import Traits


@dataclass(eq=False, slots=True)
class Artist:
    """An artist, with every release on which the artist performs, by group."""

    id: str
    serial: int
    name: str
    genres: list
    popularity: int = 0
    followers: int = 0
    releases: dict = field(
        default_factory=lambda: {"album": [], "single": [], "compilation": [], "appears_on": []}
    )


@dataclass(eq=False, slots=True)
class Recording:
    """One piece of audio, whatever the number of tracks it is sold as."""

    name: str
    artists: list
    duration_ms: int
    explicit: bool
    isrc: str
    preview: str | None
    fault: str | None  # of the preview: None, "missing" or "not audio"
    features: dict | None
    traits: Traits
    seed: int
    popularity: int = 0
    latent: float = 0.0


@dataclass(eq=False, slots=True)
class Album:
    """A release of any type."""

    id: str
    serial: int
    name: str
    type: str  # album, single or compilation
    artists: list
    date: str
    precision: str  # day, month or year
    upc: str
    tracks: list = field(default_factory=list)

    @property
    def year(self):
        return int(self.date[:4])


@dataclass(eq=False, slots=True)
class Track:
    """A recording's place on one release; each has its own id and popularity."""

    id: str
    serial: int
    recording: Recording
    album: Album
    number: int
    popularity: int = 0
    rank: int = 0  # popularity on a scale to 1,000,000, on which no two tracks of a genre are equal


@dataclass(eq=False, slots=True)
class Playlist:
    """A listener's public playlist."""

    id: str
    serial: int
    name: str
    tracks: list
