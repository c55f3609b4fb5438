"""Filters of a crawl: release years and a list of artists, applied when tracks are exported."""

from pathlib import Path

import numpy as np

from hitsong.collect.deduplicate import normalised
from hitsong.errors import UserError


def in_years(release_date, years):
    """Whether a release date (YYYY, YYYY-MM or YYYY-MM-DD) lies in years such as 2019 or 2019-2021; None is all."""
    if years is None:
        return True
    first, _, last = years.partition("-")
    return isinstance(release_date, str) and first <= release_date[:4] <= (last or first)


class ArtistList:
    """The artists of `collect.artists_file`: ids or names, one per line.

    Raises
    ------
    UserError
        If the file cannot be read.
    """

    def __init__(self, path):
        lines = read_lines(path, "collect.artists_file")
        self._keys = {*lines, *map(normalised, lines)} - {""}

    def __contains__(self, artist):
        """Whether an artist, given as (id, name), is on the list."""
        artist_id, name = artist
        return artist_id in self._keys or normalised(name or "") in self._keys


def select_tracks(tracks, settings):
    """The tracks that pass a crawl's filters.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `release_date`, `artist_ids` and either `artist_names` (lists) or `artist_name`.
    settings : hitsong.config.Collect
        Of which `years` and `artists_file` are used; a track passes if any of its artists is on the list.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    UserError
        If the list of artists cannot be read.
    """
    passes = np.array([in_years(date, settings.years) for date in tracks["release_date"]], dtype=bool)
    if settings.artists_file:
        artists = ArtistList(settings.artists_file)
        names = (
            tracks["artist_names"] if "artist_names" in tracks else tracks["artist_name"].map(lambda n: [n])
        )
        passes &= np.array(
            [
                any(
                    artist in artists for artist in [*((i, "") for i in ids), *(("", n) for n in track_names)]
                )
                for ids, track_names in zip(tracks["artist_ids"], names, strict=True)
            ],
            dtype=bool,
        )
    return tracks[passes].reset_index(drop=True)


def read_text(path, key):
    """Read a file that the setting `key` names. Raises UserError."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{key}: {path} cannot be read: {error}") from None


def read_lines(path, key):
    """The lines of a file that are not empty. Raises UserError."""
    return [line.strip() for line in read_text(path, key).splitlines() if line.strip()]
