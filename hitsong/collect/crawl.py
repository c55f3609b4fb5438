"""Common part of the crawls of Spotify and Deezer: lists read page by page, and the export of tracks."""

from hitsong.collect.filters import ArtistList, select_tracks


class Crawl:
    """A crawl of one service as the settings describe it.

    Subclasses set `service`, `live_notice`, `client` (with a `throttle`) and `popularity_source`, and implement
    `collect`.

    Parameters
    ----------
    catalog : hitsong.collect.catalog.Catalog
        Its scope is that of the service (and market).

    Attributes
    ----------
    with_previews : bool
        Whether the service would give this app preview addresses.
    """

    service = live_notice = client = popularity_source = None
    with_previews = True

    def __init__(self, connection, config, catalog):
        self.connection, self.settings, self.catalog = connection, config.collect, catalog
        self.seed = config.seed
        self.artist_list = ArtistList(self.settings.artists_file) if self.settings.artists_file else None

    @property
    def notice(self):
        """A line to print before the crawl."""
        if self.connection.synthetic:
            return f"{self.service} is replaced by the stand-in: artists, songs and popularity are SYNTHETIC."
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
