"""What the synthetic Deezer has in place of, or beside, a recording of the synthetic Spotify: decoys.

A search for a recording, or a request for its ISRC, finds other recordings too, as at the real service. Each decoy has
a song of its own. Lists of albums, playlists and charts are free of them.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from standin.names import number
from standin.objects import Album, Artist, Track

# What befalls a recording, and the share of recordings that it befalls; the rest is found as it is.
SHARES = {
    "version": 0.20,  # other versions of it, more popular than itself
    "live album": 0.05,  # the same title on a concert's album
    "cover": 0.08,  # by another artist, of equal length
    "namesake": 0.06,  # a song of the same title by another artist of the same name
    "missing": 0.10,  # only versions and a cover of it are there, rarely a namesake's song
    "shared isrc": 0.07,  # its ISRC leads to another recording
    "wrong duration": 0.07,  # the recording of its ISRC and title is another cut, much longer
    "respelled": 0.12,  # itself, written otherwise
}
VERSIONS = [
    "{} (Live)", "{} - Remix", "{} (Acoustic Version)", "{} [Instrumental]", "{} (Karaoke Version)", "{} (Cover)",
    "{} (Sped Up)", "{} (Slowed + Reverb)", "{} - Remastered 2019", "{} - Radio Edit", "{} (Re-Recorded)", "{} - Demo",
    "{} (現場版)",
]  # fmt: skip
AWAY = 13  # blocks of ids between a genre's own and its decoys'


@dataclass(frozen=True, eq=False)
class Decoys:
    """The decoys of a world.

    Attributes
    ----------
    kinds : dict
        What befell each recording: a key of `SHARES`, or "none".
    hidden : set
        Recordings that neither a search nor their ISRC finds.
    tracks : list of standin.objects.Track
        What a search finds besides.
    by_isrc : dict of str to standin.objects.Track
        Where an ISRC leads to, if not to its recording.
    right : dict
        The integer ids under which each recording may rightly be found.
    """

    kinds: dict
    hidden: set
    tracks: list
    by_isrc: dict
    right: dict

    def find(self, serial):
        """The decoy with an integer id, or None."""
        return next((track for track in self.tracks if track.serial == serial), None)

    def preview(self, key):
        """The decoy's recording with a preview's key, or None."""
        return next((track.recording for track in self.tracks if track.recording.preview == key), None)


def make_decoys(world, rng):
    """Draw what befalls the recordings of a world; `rng` is a generator of its own."""
    return _Maker(world, rng).decoys


class _Maker:
    def __init__(self, world, rng):
        self.world, self.rng = world, rng
        self.decoys = Decoys({}, set(), [], {}, {})
        for recording in world.recordings:
            draw, kind = rng.random(), "none"
            for name, upper in zip(SHARES, np.cumsum(list(SHARES.values())), strict=True):
                if draw < upper:
                    kind = name
                    break
            self.decoys.kinds[recording] = kind
            self.decoys.right[recording] = {track.serial for track in world.copies[recording]}
            if kind != "none":
                getattr(self, "_" + kind.replace(" ", "_"))(recording)

    def _add(self, recording, artist=None, album=None, itself=False, **changes):
        """Add a track: another recording that takes after this one, or itself in another writing."""
        index = len(self.decoys.tracks)
        model = self.world.copies[recording][0]
        if not itself:
            key = number(recording.preview or recording.isrc, "decoy", index)
            changes = {
                "preview": f"{key:040x}",
                "seed": key,
                "isrc": f"ZX{key % 10**10:010}",
                "fault": None,
                **changes,
            }
        if artist is not None:
            changes["artists"] = [artist, *recording.artists[1:]]
        other = dataclasses.replace(recording, **changes)
        release = model.album
        if album or artist:
            release = Album(
                f"decoy-{index}", self._serial(index), album or model.album.name, "album", other.artists,
                model.album.date, model.album.precision, model.album.upc,
            )  # fmt: skip
        rank = min(999_999, max(track.rank for track in self.world.copies[recording]) + 5)
        track = Track(f"decoy-{index}", self._serial(index), other, release, 1, recording.popularity, rank)
        self.decoys.tracks.append(track)
        return track

    def _serial(self, index):
        return self.world.decoy_block + index

    def _jitter(self, recording):
        """A duration that differs by less than listeners, or comparisons, notice."""
        return recording.duration_ms + int(self.rng.integers(-1500, 1500))

    def _other_artist(self, recording):
        others = [artist for artist in self.world.artists if artist not in recording.artists]
        return others[self.rng.integers(len(others))]

    def _version(self, recording):
        for place in self.rng.permutation(len(VERSIONS))[:3]:
            self._add(
                recording, name=VERSIONS[place].format(recording.name), duration_ms=self._jitter(recording)
            )

    def _live_album(self, recording):
        self._add(
            recording,
            album=f"Live at the {recording.artists[0].name} Hall",
            duration_ms=self._jitter(recording),
        )

    def _cover(self, recording):
        self._add(recording, artist=self._other_artist(recording))

    def _namesake(self, recording):
        original = recording.artists[0]
        artist = Artist(f"namesake-{original.id}", self._serial(len(self.decoys.tracks)), original.name, [])
        away = int(self.rng.choice([0, 1, 40])) * 1000  # equal, nearly equal, or far
        self._add(recording, artist=artist, duration_ms=recording.duration_ms + away)

    def _missing(self, recording):
        self.decoys.hidden.add(recording)
        self.decoys.right[recording] = set()
        self._version(recording)
        self._cover(recording)
        if self.rng.random() < 0.05:  # what words alone cannot tell from the recording
            self._namesake(recording)

    def _shared_isrc(self, recording):
        other = self.world.recordings[self.rng.integers(len(self.world.recordings))]
        while other.name == recording.name:
            other = self.world.recordings[self.rng.integers(len(self.world.recordings))]
        same_artist = bool(self.rng.random() < 0.5)
        artist = recording.artists[0] if same_artist else self._other_artist(recording)
        track = self._add(
            recording,
            artist=artist,
            name=other.name,
            isrc=recording.isrc,
            duration_ms=self._jitter(recording),
        )
        self.decoys.by_isrc[recording.isrc] = track

    def _wrong_duration(self, recording):
        self.decoys.hidden.add(recording)
        self.decoys.right[recording] = set()
        track = self._add(recording, isrc=recording.isrc, duration_ms=recording.duration_ms + 25_000)
        self.decoys.by_isrc[recording.isrc] = track

    def _respelled(self, recording):
        spell = _SPELLINGS[self.rng.integers(len(_SPELLINGS))]
        self.decoys.hidden.add(recording)
        track = self._add(recording, itself=True, name=spell(recording.name))
        self.decoys.by_isrc[recording.isrc] = track
        self.decoys.right[recording] = {track.serial}


def _full_width(text):
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _with_guest(text):
    return f"{text} (feat. Someone Else)"


def _accented(text):
    return text.replace("o", "ó").replace("e", "é")


_SPELLINGS = [str.upper, _full_width, _with_guest, _accented]
