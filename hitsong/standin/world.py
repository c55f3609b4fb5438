"""The catalogue behind the stand-in: invented artists, releases and recordings, and the planted truth.

A recording's popularity rises with a latent sum of three uncorrelated, standardised components,

    latent = sqrt(artist) * artist effect + sqrt(audio) * appeal(traits) + sqrt(noise) * noise,

weighted by the shares of the settings. Over a genre's recordings each component has mean 0 and variance 1 and
no two are correlated, so the shares of variance are exactly those asked for. The artist effect has nothing to
do with how the artist sounds, and `appeal` is a fixed function: whatever a model can learn from audio about
artists it has not heard, it learns from `appeal`.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from hitsong.standin.composer import Traits
from hitsong.standin.names import ALBUMS, ARTISTS, SONGS, identifier, invent, number


class Genre(NamedTuple):
    """A genre's share of the size asked for, and its traits' distance from average in standard deviations."""

    size: float
    tempo: float = 0.0
    brightness: float = 0.0
    percussion: float = 0.0
    loudness: float = 0.0
    voice: float = 0.0
    density: float = 0.0


GENRES = {
    "mandopop": Genre(1.0, tempo=-0.2, voice=0.3),
    "hip-hop": Genre(0.5, tempo=-0.3, percussion=0.7, loudness=0.3, density=-0.2),
    "pop": Genre(0.5, tempo=0.2, brightness=0.2, percussion=0.2, loudness=0.3, voice=0.3),
    "rock": Genre(0.5, tempo=0.3, brightness=0.3, percussion=0.3, loudness=0.6, density=0.3),
    "classical": Genre(
        0.3, tempo=-0.3, brightness=-0.4, percussion=-1.6, loudness=-1.0, voice=-1.0, density=0.3
    ),
    "jazz": Genre(0.3, brightness=-0.3, percussion=-0.3, loudness=-0.5, voice=-0.4, density=0.6),
    "country": Genre(0.3, percussion=-0.2, voice=0.5),
    "electronic": Genre(
        0.3, tempo=0.5, brightness=0.5, percussion=0.6, loudness=0.5, voice=-0.7, density=0.4
    ),
    "reggae": Genre(0.3, tempo=-0.8, brightness=-0.2, percussion=0.3),
}

LIKENESS = 0.3  # share of a trait's variance that an artist's recordings have in common
GUESTS = 0.15  # share of recordings by more than one artist
CIRCLE = 3  # artists who sing on each other's songs
NO_PREVIEW = 0.03
NO_FEATURES = 0.02
LAST_YEAR = 2025


def appeal(traits):
    """How much a song's sound contributes to its popularity, before standardisation.

    A sketch of tastes, decided once by plausibility: a tempo to move to and an arrangement neither bare nor
    crowded are optima; loudness and brightness help, then saturate; a voice is liked, more so over a
    beat, and a beat without a voice is liked less; the minor mode has a slight edge. Key does not matter.

    Parameters
    ----------
    traits : pd.DataFrame
        The columns of `Traits`.

    Returns
    -------
    np.ndarray [shape=(n,)]
    """
    t = traits
    return (
        1.0 * np.exp(-(((t.tempo - 112) / 28) ** 2))
        + 0.8 * np.exp(-(((t.density - 0.55) / 0.25) ** 2))
        + 0.8 * np.tanh(3 * (t.loudness - 0.3))
        + 0.6 * np.tanh(3 * (t.brightness - 0.3))
        + 0.8 * t.voice
        + 2.0 * (t.percussion - 0.5) * (t.voice - 0.5)
        - 0.1 * t["mode"]
    ).to_numpy()


def skew(latent):
    """Turn the latent sum into popularity: a third zeros, a median near 4, a mean near 7, a tail to 60.

    That is the shape found among 90,212 Mandopop songs (31 % zeros, mean 6.8, variance 96, maximum 63).
    """
    return np.clip(np.rint(9.5 * np.expm1(0.6 * np.maximum(0, latent + 0.55))), 0, 100).astype(int)


@dataclass(eq=False)
class Artist:
    """An artist, with every release on which the artist is heard, by group."""

    id: str
    name: str
    genres: list
    popularity: int = 0
    followers: int = 0
    releases: dict = field(
        default_factory=lambda: {"album": [], "single": [], "compilation": [], "appears_on": []}
    )


@dataclass(eq=False)
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
    popularity: int


@dataclass(eq=False)
class Album:
    """A release of any type."""

    id: str
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


@dataclass(eq=False)
class Track:
    """A recording's place on one release; each has its own id and popularity."""

    id: str
    recording: Recording
    album: Album
    number: int
    popularity: int = 0


class World:
    """The catalogue of one genre, wholly decided by the settings and the genre's name.

    Parameters
    ----------
    settings : hitsong.config.Standin
    genre : str
        One of `GENRES`.

    Attributes
    ----------
    artists, recordings : list
    albums, tracks, previews : dict
        By id; `previews` holds recordings.
    traits : pd.DataFrame
        One row per recording, the columns of `Traits`.
    effects : pd.DataFrame
        One row per recording: artist_effect, audio_effect, noise, each times the root of its share.
    """

    def __init__(self, settings, genre):
        self.genre = genre
        self._seed = settings.seed
        self._settings = settings.model_dump_json()
        size = GENRES[genre].size
        count = max(12, round(size * settings.recordings))
        artists = min(count, max(4, round(size * settings.artists)))

        self._make_artists(artists)
        owners = _owners(self._rng("owners"), count, artists)
        self.traits = self._draw_traits(owners)
        self.effects = self._plant(owners, settings.shares)
        self._record(owners)
        self._release(owners)
        self._rate()

    def _rng(self, *purpose):
        """A generator of its own for each purpose, so that one part can change without the others."""
        return np.random.default_rng(number(self._seed, self.genre, *purpose))

    def _id(self, kind, index):
        # Other settings are another catalogue: what a study knows of the one must not pass for the other.
        return identifier(self._settings, self.genre, kind, index)

    def _make_artists(self, count):
        rng = self._rng("artists")
        # As at the real service, some artists found under a genre do not name it themselves.
        self.artists = [
            Artist(self._id("artist", i), name, [self.genre] if rng.random() < 0.8 else [])
            for i, name in enumerate(invent(rng, ARTISTS, count))
        ]
        self.various = Artist(self._id("artist", "various"), "Various Artists", [])

    def _draw_traits(self, owners):
        """Traits of every recording: the genre's average, the artist's style, and the song itself."""
        rng = self._rng("traits")
        means = np.array(GENRES[self.genre][1:])
        style = rng.standard_normal((owners.max() + 1, len(means)))[owners]
        song = rng.standard_normal((len(owners), len(means)))
        z = means + np.sqrt(LIKENESS) * style + np.sqrt(1 - LIKENESS) * song
        levels = pd.DataFrame(ndtr(z[:, 1:]), columns=Genre._fields[2:])
        head = {
            "tempo": np.clip(112 + 24 * z[:, 0], 56, 190),
            "key": rng.integers(12, size=len(owners)),
            "mode": (rng.random(len(owners)) < 0.6).astype(int),
        }
        return pd.DataFrame(head).join(levels)[list(Traits._fields)]

    def _plant(self, owners, shares):
        """The three components, standardised, uncorrelated and weighted."""
        rng = self._rng("effects")
        audio = _standardise(appeal(self.traits))
        # Artist effects may by chance go with the artists' average appeal: take that out at the level of the
        # artists, so that the audio effect stays a pure function of the traits.
        effect = rng.standard_normal(owners.max() + 1)
        average = pd.Series(audio).groupby(owners).transform("mean").to_numpy()
        artist = _standardise(_residual(effect[owners], average))
        noise = _standardise(_residual(rng.standard_normal(len(owners)), artist, audio))
        weights = np.sqrt([shares.artist, shares.audio, shares.noise])
        return pd.DataFrame(
            np.column_stack([artist, audio, noise]) * weights,
            columns=["artist_effect", "audio_effect", "noise"],
        )

    def _record(self, owners):
        """Make the recordings, with what is missing or broken about some of them."""
        rng = self._rng("recordings")
        count = len(owners)
        popularity = skew(self.effects.sum(axis=1).to_numpy())
        features = _measure(rng, self.traits)
        names = invent(rng, SONGS, count)
        traits = [Traits(*row) for row in self.traits.itertuples(index=False)]
        # Guests come from the artist's own circle, and every other circle has none: could anyone sing with
        # anyone, all artists would hang together, and no split could keep them apart.
        circle = np.arange(len(self.artists)) // CIRCLE
        sociable = np.flatnonzero(circle[owners] % 2 == 0)
        duets = set(rng.permutation(sociable)[: max(1, round(GUESTS * count))].tolist())
        silent = _choose(rng, count, round(NO_PREVIEW * count))
        unmeasured = _choose(rng, count, round(NO_FEATURES * count))
        missing, not_audio = rng.permutation([i for i in range(count) if i not in silent])[:2]
        faults = {missing: "missing", not_audio: "not audio"}

        self.recordings, self.previews = [], {}
        for i, owner in enumerate(owners):
            others = [
                a for a in rng.permutation(len(self.artists)) if circle[a] == circle[owner] and a != owner
            ]
            guests = others[: rng.choice([1, 2], p=[0.8, 0.2])] if i in duets else []
            recording = Recording(
                name=names[i],
                artists=[self.artists[artist] for artist in (owner, *guests)],
                duration_ms=int(np.clip(rng.normal(225_000, 35_000), 95_000, 420_000)),
                explicit=bool(rng.random() < 0.1),
                # ZZ is a country code that no country will ever have.
                isrc=f"ZZ{list(GENRES).index(self.genre):03}{rng.integers(26):02}{i % 100_000:05}",
                preview=None if i in silent else f"{number(self._settings, self.genre, 'preview', i):040x}",
                fault=faults.get(i),
                features=None if i in unmeasured else features[i],
                traits=traits[i],
                seed=number(self._seed, self.genre, "song", i),
                popularity=int(popularity[i]),
            )
            self.recordings.append(recording)
            if recording.preview:
                self.previews[recording.preview] = recording

    def _release(self, owners):
        """Put every recording on at least one release, and many on several."""
        self.albums, self.tracks = {}, {}
        rng = self._rng("releases")
        titles = iter(invent(rng, ALBUMS, 2 * len(owners)))
        works = [[self.recordings[i] for i in np.flatnonzero(owners == a)] for a in range(len(self.artists))]
        by_size = np.argsort([-len(own) for own in works], kind="stable")
        large = len(owners) >= 60
        boxed = works[by_size[0]][-5:] if large else []  # the most productive artist's, on a box set only

        for index, (artist, own) in enumerate(zip(self.artists, works, strict=True)):
            start = int(rng.integers(2002, 2023))
            rest = [recording for recording in own if recording not in boxed]
            on_albums = rest[: round(0.8 * len(rest))] if len(rest) >= 3 else []
            only_singles = rest[len(on_albums) :]
            parts = max(1, round(len(on_albums) / 10))
            for part in range(parts if on_albums else 0):
                tracks = on_albums[part::parts]
                year = min(LAST_YEAR, start + 2 * part)
                self._issue(rng, next(titles), "album", [artist], tracks, year)
                for recording in tracks[: max(1, round(0.3 * len(tracks)))]:  # singles ahead of the album
                    self._issue(rng, recording.name, "single", recording.artists, [recording], year)
            for recording in only_singles:
                # Before everything else, so that they stand on the last page of a long list of releases.
                self._issue(rng, recording.name, "single", recording.artists, [recording], start - 2)
            for recording in only_singles[:1]:
                self._issue(rng, recording.name, "single", recording.artists, [recording], start + 3)
            if len(own) >= 8:
                best = [rest[i] for i in rng.permutation(len(rest))[: len(own) // 2]]
                year = min(LAST_YEAR, start + 6)
                self._issue(rng, f"The Best of {artist.name}", "compilation", [artist], best, year)
            if large and index == by_size[1]:  # an artist who re-releases without end
                while len(artist.releases["album"]) + len(artist.releases["single"]) - len(only_singles) < 52:
                    recording = own[rng.integers(len(own))]
                    year = int(rng.integers(start + 1, LAST_YEAR + 1))
                    self._issue(rng, recording.name, "single", [artist], [recording], year)

        if large:
            self._issue_collections(rng, self.artists[by_size[0]], boxed)

    def _issue_collections(self, rng, host, boxed):
        """A box set of over fifty tracks with friends, and a compilation by various artists."""
        others = [self.recordings[i] for i in rng.permutation(len(self.recordings))]
        others = [recording for recording in others if recording not in boxed]
        name = f"{host.name} and Friends: The Complete Lantern Concerts"
        self._issue(rng, name, "album", [host], others[:51] + boxed, 2019)
        self._issue(rng, f"Simply {self.genre.title()}", "compilation", [self.various], others[-20:], 2021)

    def _issue(self, rng, name, kind, artists, recordings, year):
        """Add a release of a type to the catalogue and to the lists of all artists heard on it."""
        date, precision = _date(rng, year)
        index = len(self.albums)
        upc = f"{number(self._seed, self.genre, 'upc', index) % 10**13:013}"
        album = Album(self._id("album", index), name, kind, artists, date, precision, upc)
        self.albums[album.id] = album
        for place, recording in enumerate(recordings, 1):
            track = Track(self._id("track", len(self.tracks)), recording, album, place)
            self.tracks[track.id] = track
            album.tracks.append(track)
        for artist in artists:
            artist.releases[kind].append(album)
        heard = {artist: None for recording in recordings for artist in recording.artists}
        for artist in heard:
            if artist not in artists:
                artist.releases["appears_on"].append(album)

    def _rate(self):
        """Give one copy of a recording its popularity and the others less, often none; then rate artists.

        The copy is never on a compilation, which many crawls leave out.
        """
        rng = self._rng("ratings")
        for copies in self.copies.values():
            top = rng.choice([track.id for track in copies if track.album.type != "compilation"])
            for track in copies:
                lower = int(track.recording.popularity * rng.uniform(0, 0.9)) if rng.random() < 0.4 else 0
                track.popularity = track.recording.popularity if track.id == top else lower
        for recording in self.recordings:
            for artist in recording.artists:
                artist.popularity = max(artist.popularity, recording.popularity)
        for artist in self.artists:
            artist.followers = int(40 * np.exp(artist.popularity / 8))
            for albums in artist.releases.values():
                albums.sort(key=lambda album: album.date, reverse=True)

    @cached_property
    def copies(self):
        """The tracks of each recording, in the order of the recordings."""
        copies = {recording: [] for recording in self.recordings}
        for track in self.tracks.values():
            copies[track.recording].append(track)
        return copies

    @cached_property
    def people(self):
        """All artists by id, the one that stands for many included."""
        return {artist.id: artist for artist in [*self.artists, self.various]}


def planted(settings, genre):
    """What the stand-in planted in a genre: the truth that a study of it could recover.

    Parameters
    ----------
    settings : hitsong.config.Standin
    genre : str
        One of `GENRES`.

    Returns
    -------
    pd.DataFrame
        One row per track id, copies of a recording included: track_id, isrc, artist_effect, audio_effect and
        noise (weighted: popularity rises with their sum), and the traits.
    """
    world = World(settings, genre)
    rows = world.effects.join(world.traits)
    rows.insert(0, "isrc", [recording.isrc for recording in world.recordings])
    rows.insert(0, "track_id", [[track.id for track in copies] for copies in world.copies.values()])
    return rows.explode("track_id", ignore_index=True)


def _owners(rng, recordings, artists):
    """Main artist of each recording: everyone has one, few have many, nobody has much more than 8 %."""
    cap = max(int(0.08 * recordings), 2 * -(-recordings // artists))
    weights = rng.lognormal(0, 0.9, artists)
    counts = np.ones(artists, dtype=int)
    while counts.sum() < recordings:
        free = weights * (counts < cap)
        counts[rng.choice(artists, p=free / free.sum())] += 1
    return np.repeat(np.arange(artists), counts)


def _choose(rng, total, count):
    return set(rng.permutation(total)[:count].tolist())


def _standardise(values):
    return (values - values.mean()) / values.std()


def _residual(values, *others):
    """What of `values` is left when the mean and the others are projected out."""
    basis = np.column_stack([np.ones(len(values)), *others])
    return values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]


def _date(rng, year):
    """A date within the year, sometimes known to the month or the year only, as older releases are."""
    month, day = rng.integers(1, 13), rng.integers(1, 29)
    coarse = rng.random() * (1.5 if year < 2010 else 1)
    if coarse > 0.95:
        return f"{year}", "year"
    if coarse > 0.88:
        return f"{year}-{month:02}", "month"
    return f"{year}-{month:02}-{day:02}", "day"


def _measure(rng, traits):
    """The audio features a service would report: driven by the traits, with a moderate error of measurement.

    Returns
    -------
    list of dict
        The names of `AUDIO_FEATURES`, each in its documented range.
    """
    t, n = traits, len(traits)
    level = {
        name: 4 * (t[name] - 0.5) for name in ("brightness", "percussion", "loudness", "voice", "density")
    }

    def noise(scale):
        return rng.normal(0, scale, n)

    groove = 1 - np.abs(t.tempo - 115) / 40
    octave = rng.choice([0.5, 1, 2], p=[0.03, 0.94, 0.03], size=n)  # the classic error of tempo estimators
    heard = rng.random(n) < 0.85  # the key is found
    table = pd.DataFrame(
        {
            "danceability": expit(0.7 * level["percussion"] + 0.9 * groove + noise(0.4)),
            "energy": expit(
                0.9 * level["loudness"]
                + 0.5 * level["percussion"]
                + 0.4 * level["density"]
                + 0.3
                + noise(0.4)
            ),
            "key": np.where(heard, t.key, rng.integers(12, size=n)),
            "loudness": np.clip(-22 + 17 * t.loudness + noise(1), -60, 0),
            "mode": np.where(heard, t["mode"], rng.integers(2, size=n)),
            "speechiness": 0.03
            + 0.4 * expit(0.8 * level["voice"] + 0.5 * level["density"] - 2.5 + noise(0.5)),
            "acousticness": expit(-0.9 * level["brightness"] - 0.6 * level["percussion"] - 0.5 + noise(0.5)),
            "instrumentalness": expit(-2.2 * level["voice"] - 2.5 + noise(0.7)),
            "liveness": expit(-1.6 + noise(0.7)),
            "valence": expit(
                0.8 * (t["mode"] - 0.5) + 0.4 * level["brightness"] + (t.tempo - 112) / 50 + noise(0.6)
            ),
            "tempo": np.clip(t.tempo * octave + noise(0.5), 30, 250),
            "time_signature": rng.choice([3, 4, 5], p=[0.04, 0.94, 0.02], size=n),
        }
    )
    return table.round(4).to_dict("records")
