"""Common part of the crawls of services: lists read page by page, popularity read again, and the export of tracks."""

import pandas as pd

from hitsong.collect.filters import ArtistList, select_tracks
from hitsong.collect.readings import POPULARITY
from hitsong.errors import UserError
from hitsong.progress import bar


class Crawl:
    """A crawl of one service as the settings describe it.

    Subclasses set `service`, `source` and `quantity` (in `hitsong.collect.history.SCHEMA`), `live_notice`, `client`
    (with a `throttle`) and `popularity_source`, and implement `collect` and `read_again`.

    Parameters
    ----------
    catalog : hitsong.collect.catalog.Catalog
        Its scope is that of the service (and market).

    Attributes
    ----------
    stored_quantity : str
        What the catalogue calls the popularity of this service.
    with_previews : bool
        Whether the service would give this app preview addresses.
    """

    service = source = quantity = live_notice = client = popularity_source = None
    stored_quantity = POPULARITY
    with_previews = True

    def __init__(self, connection, config, catalog):
        self.connection, self.settings, self.catalog = connection, config.collect, catalog
        self.seed = config.seed
        self.artist_list = ArtistList(self.settings.artists_file) if self.settings.artists_file else None

    @property
    def notice(self):
        """A line to print before the crawl."""
        if self.connection.synthetic:
            return f"The stand-in takes the place of {self.service}: artists, songs and popularity are SYNTHETIC."
        return self.live_notice

    @property
    def requests(self):
        """Requests sent so far."""
        return self.client.throttle.requests

    def planted(self, track_ids):
        """A table of the effects planted in these tracks; None for real tracks."""
        return self.connection.planted(track_ids) if self.connection.synthetic else None

    def cost(self, n_tracks):
        """A line on the number of requests."""
        return f"{self.requests:,} requests ({1000 * self.requests / max(1, n_tracks):,.0f} per 1,000 tracks)"

    # ------------------------------------------------------------------ lists

    def page(self, name, offset, request):
        """One page of a list: the stored one, or else that which `request(offset)` returns with its tracks.

        Parameters
        ----------
        name : str
            Of the list, with everything that decides its content within the catalogue's scope.
        request : callable
            Returns a `catalog.Page` and the track rows that it describes in full.

        Returns
        -------
        hitsong.collect.catalog.Page
        """
        stored = self.catalog.page(name, offset)
        if stored is not None:
            return stored
        page, tracks = request(offset)
        self.catalog.store_page(name, offset, page, tracks, self.with_previews)
        return page

    def items(self, name, request):
        """Yield the items of a list, page by page to its end."""
        offset = 0
        while offset is not None:
            page = self.page(name, offset, request)
            yield from page.items
            offset = page.next_offset

    # ------------------------------------------------------------------ readings

    def refresh(self, track_ids):
        """Read the popularity of tracks again, or go on with an interrupted refresh.

        Raises
        ------
        UserError
            If the service does not give this app popularity, or the request budget does not allow for the tracks.
        ComeBackLater
        """
        readings = self.catalog.readings
        started = readings.begin()
        missing = readings.unread(track_ids, started, self.stored_quantity)
        if len(missing) < len(track_ids):
            n_read = len(track_ids) - len(missing)
            print(
                f"{n_read:,} of {len(track_ids):,} tracks have been read since {started[:16]}; not read again"
            )
        with bar(desc="popularity of", unit="track", total=len(missing)) as progress:
            for values in self.read_again(missing):
                readings.store(values)
                progress.update(len(values[self.stored_quantity]))
        readings.finish()

    def read_again(self, track_ids):
        """Yield what each request reads: by quantity and track id, None where it is unknown."""
        raise NotImplementedError

    def readings(self, tracks):
        """All readings of tracks of `tracks.parquet`: the columns of `hitsong.collect.history.SCHEMA`."""
        readings = self.catalog.readings.of(tracks["track_id"])
        readings = readings[readings["quantity"] == self.stored_quantity]
        return readings.assign(source=self.source, quantity=self.quantity, start=pd.NaT)

    def check_budget(self, requests, purpose):
        """Refuse to read one by one what would exceed the budget. Raises UserError."""
        if requests > self.settings.request_budget:
            raise UserError(
                f"{self.service}: {purpose} one by one needs {requests:,} requests, more than collect.request_budget "
                f"({self.settings.request_budget:,}): raise it, or narrow the crawl by years"
            )

    # ------------------------------------------------------------------ the export

    def passing(self, genres):
        """Those of a crawl's tracks that have a popularity and pass the filters by release year and artist."""
        tracks = select_tracks(self.catalog.tracks(genres), self.settings)
        return {track_id: genres[track_id] for track_id in tracks["track_id"]}

    def export(self, genres):
        """Tracks of the crawl with their genre and source of popularity.

        Parameters
        ----------
        genres : dict of str to str or None
            The genre under which each track id was found first.

        Returns
        -------
        pandas.DataFrame
            Sorted by `track_id`; see `hitsong.collect.sources`.
        """
        tracks = self.catalog.tracks(genres)
        return tracks.assign(genre=tracks["track_id"].map(genres), popularity_source=self.popularity_source)
