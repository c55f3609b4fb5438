"""The catalogue behind the stand-in: invented artists, releases and recordings, and the planted truth."""

from collections import defaultdict
from functools import cached_property

import numpy as np

from standin.careers import Careers, years
from standin.composer import Traits
from standin.decoys import AWAY, make_decoys
from standin.draws import GENRES, draw_effects, draw_owners, draw_traits
from standin.identities import recording_mbids
from standin.names import ALBUMS, ARTISTS, SONGS, identifier, invent, number
from standin.objects import Album, Artist, Playlist, Recording, Track
from standin.taste import measure, skew

GUESTS = 0.15  # share of recordings by more than one artist
CIRCLE = 3  # artists who sing on each other's songs
NO_PREVIEW = 0.03
NO_FEATURES = 0.02
LAST_YEAR = 2025
BLOCK = 10**8  # each genre's share of the integer ids


class World:
    """The catalogue of one genre (of `GENRES`); settings and genre decide all of it.

    Attributes
    ----------
    artists, recordings : list
    albums, tracks, playlists, previews : dict
        By id; `previews` holds recordings.
    traits : pd.DataFrame
        One row per recording, the columns of `Traits`.
    effects : pd.DataFrame
        One row per recording: artist_effect, audio_effect, noise, each times the root of its share.
    careers : standin.careers.Careers
        How popularity changes with time; recordings and tracks have that of the day of the clock.
    lasting : numpy.ndarray
        The popularity of each recording on `standin.careers.REFERENCE`, whatever the clock.
    """

    def __init__(self, settings, genre):
        self.genre = genre
        self._seed = settings.seed
        self._settings = _catalogue(settings)
        self.clock = settings.clock
        size = GENRES[genre].size
        count = max(12, round(size * settings.recordings))
        artists = min(count, max(4, round(size * settings.artists)))

        self._make_artists(artists)
        owners = draw_owners(self._rng("owners"), count, artists)
        self.traits = draw_traits(self._rng("traits"), genre, owners)
        self.effects = draw_effects(self._rng("effects"), self.traits, owners, settings.shares)
        self._record(owners)
        self._release(owners)
        self._set_popularity(owners, settings.growth)
        self._rate()
        self._compile()

    def _rng(self, *purpose):
        """A generator of its own for each purpose, so that one part can change without the others."""
        return np.random.default_rng(number(self._seed, self.genre, *purpose))

    def _id(self, kind, index):
        # Another catalogue has other ids, so that a study never takes one for the other.
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
        # As at the real service, some artists of a genre do not have it among their own genres.
        self.artists = [
            Artist(self._id("artist", i), self._serial(i), name, [self.genre] if rng.random() < 0.8 else [])
            for i, name in enumerate(invent(rng, ARTISTS, count))
        ]
        self.various = Artist(self._id("artist", "various"), self._serial(count), "Various Artists", [])

    def _record(self, owners):
        """Make the recordings, with what is missing or broken about some of them."""
        rng = self._rng("recordings")
        count = len(owners)
        features = measure(rng, self.traits)
        names = invent(rng, SONGS, count)
        traits = [Traits(*row) for row in self.traits.itertuples(index=False)]
        # Guests come from the artist's own circle, and every second circle has none: with guests from everywhere all
        # artists would be connected, and no split could separate them.
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
                # Earlier than all others, so that they are on the last page of a long list of releases.
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
        """Add a release of a type to the catalogue and to the lists of all its artists."""
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
        performers = dict.fromkeys(artist for recording in recordings for artist in recording.artists)
        for artist in performers:
            if artist not in artists:
                artist.releases["appears_on"].append(album)

    def _set_popularity(self, owners, shares):
        """Draw the careers, and set the latent sum and the popularity of each recording on the day of the clock."""
        released = [min(copy.album.date for copy in copies) for copies in self.copies.values()]
        self.careers = Careers(self._rng("careers"), self.traits, owners, released, shares)
        latent = self.effects.sum(axis=1).to_numpy()
        self.lasting = skew(latent)
        latent = latent + self.careers.changes(self.clock)
        for recording, value, popularity in zip(self.recordings, latent, skew(latent), strict=True):
            recording.latent, recording.popularity = float(value), int(popularity)

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
        # Ranks in the order of popularity; the latent sum decides between tracks of equal popularity.
        order = sorted(self.tracks.values(), key=lambda t: (t.popularity, t.recording.latent, t.serial))
        for place, track in enumerate(order, 1):
            track.rank = 1_000_000 * place // (len(order) + 1)

    def _compile(self):
        """Two public playlists: the genre's favourites of all time, and a mixture; one copy of each recording, any."""
        rng = self._rng("playlists")
        order = np.argsort(
            -self.effects.sum(axis=1).to_numpy(), kind="stable"
        )  # not by what the clock changes
        best = [self.recordings[i] for i in order[:120]]
        mixed = [self.recordings[i] for i in rng.permutation(len(self.recordings))[:80]]
        self.playlists = {}
        for index, (name, chosen) in enumerate([("Best of", best), ("A Mixture of", mixed)]):
            key, serial = self._id("playlist", index), self._serial(index)
            tracks = [copies[rng.integers(len(copies))] for copies in map(self.copies.get, chosen)]
            self.playlists[key] = Playlist(key, serial, f"{name} {self.genre.title()}", tracks)

    def users(self, recording):
        """The users of a recording in all until the day of the clock, a number that never falls."""
        row = self._rows[recording]
        now, begin = years(self.clock), self.careers.released[row]
        share = self.careers.ratio(row, begin, min(now, 0.0), max(now, 0.0))
        return 2 * 2.718 ** (self.lasting[row] / 18) * (1 + share if now > 0 else 1 - share)

    @cached_property
    def _rows(self):
        return {recording: row for row, recording in enumerate(self.recordings)}

    def planted(self, service="spotify"):
        """The planted effects of each track, copies of a recording included.

        Returns
        -------
        pd.DataFrame
            track_id (of the service: "spotify", "deezer" or "musicbrainz"), isrc, artist_effect, audio_effect and noise
            (weighted: popularity on `standin.careers.REFERENCE` rises with their sum), growth_artist_effect,
            growth_effect (of the sound) and growth_noise (weighted: popularity gains over time with their sum), and the
            traits.
        """
        rows = self.effects.join(self.careers.effects).join(self.traits)
        rows.insert(0, "isrc", [recording.isrc for recording in self.recordings])
        names = {
            "spotify": lambda recording, copies: [track.id for track in copies],
            "deezer": lambda recording, copies: [f"deezer:{track.serial}" for track in copies],
            "musicbrainz": lambda recording, copies: recording_mbids(self, recording),
        }[service]
        ids = [names(recording, copies) for recording, copies in self.copies.items()]
        rows.insert(0, "track_id", ids)
        return rows.explode("track_id", ignore_index=True)

    def numbered(self, kind, serial):
        """The object with an integer id: `kind` is people, albums, tracks or playlists; None if there is none."""
        place = serial - self._first_serial
        return self._series[kind][place] if 0 <= place < len(self._series[kind]) else None

    @cached_property
    def _series(self):
        kinds = ("people", "albums", "tracks", "playlists")
        return {kind: list(getattr(self, kind).values()) for kind in kinds}

    @cached_property
    def decoys(self):
        """What the synthetic Deezer has in place of, or beside, the recordings."""
        return make_decoys(self, self._rng("decoys"))

    @property
    def decoy_block(self):
        """Where the integer ids of the decoys begin."""
        return self._first_serial + AWAY * BLOCK

    @cached_property
    def tracks_by_year(self):
        """The tracks of each year of release."""
        years = defaultdict(list)
        for track in self.tracks.values():
            years[track.album.year].append(track)
        return years

    @cached_property
    def active(self):
        """The years of each artist's releases."""
        return {
            artist: {album.year for albums in artist.releases.values() for album in albums}
            for artist in self.artists
        }

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
        """All artists by id, "Various Artists" included."""
        return {artist.id: artist for artist in [*self.artists, self.various]}


def _catalogue(settings):
    """The settings that decide which tracks there are; class of app, faults and what changes with time do not."""
    return settings.model_dump_json(exclude={"profile", "faults", "clock", "growth"})


def playlist_ids(settings, genre):
    """Ids of the two public playlists of a genre."""
    return [identifier(_catalogue(settings), genre, "playlist", index) for index in range(2)]


def planted(settings, genre):
    """The planted effects of a genre's tracks, which a study of it could recover: see `World.planted`."""
    return World(settings, genre).planted()


def _choose(rng, total, count):
    return set(rng.permutation(total)[:count].tolist())


def _date(rng, year):
    """A date within the year, sometimes known to the month or the year only, as older releases are."""
    month, day = rng.integers(1, 13), rng.integers(1, 29)
    coarse = rng.random() * (1.5 if year < 2010 else 1)
    if coarse > 0.95:
        return f"{year}", "year"
    if coarse > 0.88:
        return f"{year}-{month:02}", "month"
    return f"{year}-{month:02}-{day:02}", "day"
