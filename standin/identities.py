"""MusicBrainz identifiers of the stand-in's artists, releases and recordings."""

import uuid

from standin.names import number

SEVERAL = 4  # every fourth recording has two identifiers; of these, every second without an ISRC


def artist_mbid(artist):
    """The identifier of an artist."""
    return _mbid("artist", artist.id)


def recording_mbids(world, recording):
    """The identifiers of a recording: one, or two where editors have not merged them."""
    key = world.copies[recording][0].id
    count = 2 if number("several", key) % SEVERAL == 0 else 1
    return [_mbid("recording", key, index) for index in range(count)]


def release_mbid(album):
    """The identifier of a release."""
    return _mbid("release", album.id)


def _mbid(*parts):
    """A UUID of version 4 from anything printable."""
    return str(uuid.UUID(int=number("musicbrainz", *parts) % 2**128, version=4))
