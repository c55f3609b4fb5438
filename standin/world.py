"""The catalogue behind the stand-in: invented artists, releases and recordings, and the planted truth.

A recording's popularity rises with a latent sum of three uncorrelated, standardised components,

    latent = sqrt(artist) * artist effect + sqrt(audio) * appeal(traits) + sqrt(noise) * noise,

weighted by the shares of the settings. Over a genre's recordings each component has mean 0 and variance 1 and
no two are correlated, so the shares of variance are exactly those asked for. The artist effect has nothing to
do with how the artist sounds, and `appeal` is a fixed function: whatever a model can learn from audio about
artists it has not heard, it learns from `appeal`.
"""

from collections import defaultdict
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr

from standin.composer import Traits
from standin.names import ALBUMS, ARTISTS, SONGS, identifier, invent, number
from standin.objects import Album, Artist, Playlist, Recording, Track
from standin.taste import appeal, measure, skew


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
BLOCK = 10**8  # each genre's share of the integer ids


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
    albums, tracks, playlists, previews : dict
        By id; `previews` holds recordings.
    traits : pd.DataFrame
        One row per recording, the columns of `Traits`.
    effects : pd.DataFrame
        One row per recording: artist_effect, audio_effect, noise, each times the root of its share.
    """

    def __init__(self, settings, genre):
        self.genre = genre
        self._seed = settings.seed
        self._settings = _catalogue(settings)
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
        self._compile()

    def _rng(self, *purpose):
        """A generator of its own for each purpose, so that one part can change without the others."""
        return np.random.default_rng(number(self._seed, self.genre, *purpose))

    def _id(self, kind, index):
        # Other settings are another catalogue: what a study knows of the one must not pass for the other.
        return identifier(self._settings, self.genre, kind, index)

    @cached_property
    def _first_serial(self):
        """Where the integer ids of each kind begin: within the genre's block, elsewhere for other settings."""
        block = BLOCK * (1 + list(GENRES).index(self.genre))
        return block + number(self._settings, self.genre, "serial") % (BLOCK // 2)

    def _serial(self, index):
        return self._first_serial + index

    def _make_artists(self, count):
        rng = self._rng("artists")
        # As at the real service, some artists found under a genre do not name it themselves.
        self.artists = [
            Artist(self._id("artist", i), self._serial(i), name, [self.genre] if rng.random() < 0.8 else [])
            for i, name in enumerate(invent(rng, ARTISTS, count))
        ]
        self.various = Artist(self._id("artist", "various"), self._serial(count), "Various Artists", [])

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
        latent = self.effects.sum(axis=1).to_numpy()
        popularity = skew(latent)
        features = measure(rng, self.traits)
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

        registrant = list(GENRES).index(self.genre)  # after ZZ, a country code that no country will ever have
        self.recordings, self.previews = [], {}
        for i, owner in enumerate(owners):
            others, guests = rng.permutation(len(self.artists)), ()
            if i in duets:
                others = others[(circle[others] == circle[owner]) & (others != owner)]
                guests = others[: rng.choice([1, 2], p=[0.8, 0.2])]
            recording = Recording(
                name=names[i],
                artists=[self.artists[artist] for artist in (owner, *guests)],
                duration_ms=int(np.clip(rng.normal(225_000, 35_000), 95_000, 420_000)),
                explicit=bool(rng.random() < 0.1),
                isrc=f"ZZ{registrant + 10 * (i // 100_000):03}{rng.integers(26):02}{i % 100_000:05}",
                preview=None if i in silent else f"{number(self._settings, self.genre, 'preview', i):040x}",
                fault=faults.get(i),
                features=None if i in unmeasured else features[i],
                traits=traits[i],
                seed=number(self._seed, self.genre, "song", i),
                popularity=int(popularity[i]),
                latent=float(latent[i]),
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
        album = Album(
            self._id("album", index), self._serial(index), name, kind, artists, date, precision, upc
        )
        self.albums[album.id] = album
        for place, recording in enumerate(recordings, 1):
            index = len(self.tracks)
            track = Track(self._id("track", index), self._serial(index), recording, album, place)
            self.tracks[track.id] = track
            album.tracks.append(track)
        for artist in artists:
            artist.releases[kind].append(album)
        heard = {artist: None for recording in recordings for artist in recording.artists}
        for artist in heard:
            if artist not in artists:
                artist.releases["appears_on"].append(album)

    def _rate(self):
        """Give one copy of a recording its popularity and the others less, often none; rate artists; rank tracks.

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
        # Integer ranks finer than popularity, and never at odds with it: equals are told apart by the latent sum.
        order = sorted(self.tracks.values(), key=lambda t: (t.popularity, t.recording.latent, t.serial))
        for place, track in enumerate(order, 1):
            track.rank = 1_000_000 * place // (len(order) + 1)

    def _compile(self):
        """Two public playlists: the genre's favourites, and a mixture; one copy of each recording, any."""
        rng = self._rng("playlists")
        best = sorted(self.recordings, key=lambda recording: -recording.latent)[:120]
        mixed = [self.recordings[i] for i in rng.permutation(len(self.recordings))[:80]]
        self.playlists = {}
        for index, (name, chosen) in enumerate([("Best of", best), ("A Mixture of", mixed)]):
            key, serial = self._id("playlist", index), self._serial(index)
            tracks = [copies[rng.integers(len(copies))] for copies in map(self.copies.get, chosen)]
            self.playlists[key] = Playlist(key, serial, f"{name} {self.genre.title()}", tracks)

    def planted(self, service="spotify"):
        """What was planted in each track, copies of a recording included.

        Parameters
        ----------
        service : str
            "spotify" or "deezer": whose ids to name the tracks by.

        Returns
        -------
        pd.DataFrame
            track_id, isrc, artist_effect, audio_effect and noise (weighted: popularity rises with their sum), and
            the traits.
        """
        rows = self.effects.join(self.traits)
        rows.insert(0, "isrc", [recording.isrc for recording in self.recordings])
        ids = [
            [track.id if service == "spotify" else f"deezer:{track.serial}" for track in copies]
            for copies in self.copies.values()
        ]
        rows.insert(0, "track_id", ids)
        return rows.explode("track_id", ignore_index=True)

    def numbered(self, kind, serial):
        """The object with an integer id: `kind` is people, albums, tracks or playlists; None if none has it."""
        place = serial - self._first_serial
        return self._series[kind][place] if 0 <= place < len(self._series[kind]) else None

    @cached_property
    def _series(self):
        kinds = ("people", "albums", "tracks", "playlists")
        return {kind: list(getattr(self, kind).values()) for kind in kinds}

    @cached_property
    def tracks_by_year(self):
        """The tracks of each year of release."""
        years = defaultdict(list)
        for track in self.tracks.values():
            years[track.album.year].append(track)
        return years

    @cached_property
    def active(self):
        """The years in which each artist is heard on a release."""
        return {
            artist: {album.year for albums in artist.releases.values() for album in albums}
            for artist in self.artists
        }

    @cached_property
    def by_rank(self):
        """The tracks, the highest rank first."""
        return sorted(self.tracks.values(), key=lambda track: -track.rank)

    @cached_property
    def by_isrc(self):
        """The recordings by ISRC."""
        return {recording.isrc: recording for recording in self.recordings}

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


def _catalogue(settings):
    """What of the settings decides the catalogue: how it is served and what goes wrong are no part of it."""
    return settings.model_dump_json(exclude={"profile", "faults"})


def playlist_ids(settings, genre):
    """Ids of the two public playlists of a genre.

    Parameters
    ----------
    settings : hitsong.config.Standin
    genre : str
        One of `GENRES`.

    Returns
    -------
    list of str
    """
    return [identifier(_catalogue(settings), genre, "playlist", index) for index in range(2)]


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
        As `World.planted`.
    """
    return World(settings, genre).planted()


def _owners(rng, recordings, artists):
    """Main artist of each recording: everyone has one, few have many, nobody has much more than 8 %."""
    cap = max(int(0.08 * recordings), 2 * -(-recordings // artists))
    weights = rng.lognormal(0, 0.9, artists)
    counts = np.ones(artists, dtype=int)
    draws = rng.random(recordings - artists)
    while len(draws):
        chances = np.cumsum(weights * (counts < cap))
        picks = np.searchsorted(chances / chances[-1], draws, side="right")
        used = 0
        for pick in picks:
            counts[pick] += 1
            used += 1
            if counts[pick] == cap:
                break  # from here on, the chances of the others are higher
        draws = draws[used:]
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
