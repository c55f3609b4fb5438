"""Synthetic Spotify and Deezer on loopback. EVERYTHING THEY SEND IS SYNTHETIC.

No artist, song, number or sound comes from these services or exists anywhere else: names are invented, songs are
synthesised, and popularity is drawn from a formula. A newcomer without credentials can run the whole pipeline through
the real client, real HTTP and real MP3 files, and tests compare the results of a study with what was planted. Results
on synthetic songs show whether the pipeline works, and nothing about music.

    from standin import serve

    with serve(config.standin) as standin:
        requests.post(standin.token_url, auth=(standin.client_id, standin.client_secret),
                      data={"grant_type": "client_credentials"}, proxies=standin.proxies)

The stand-in is used as an HTTP proxy, so its addresses (`http://api.spotify.test/v1/...`, `http://api.deezer.test/...`)
are the same in every run although its port is not. It can take clients for any class of Spotify app, and fail in
every way that a crawl may meet; the catalogue stays the same. To try it by hand, with addresses on its own port:

    python -m standin --port 8801 --profile dev_new --fault server_error@5x3:albums
"""

from standin.server import serve
from standin.world import GENRES, planted, playlist_ids

__all__ = ["GENRES", "planted", "playlist_ids", "serve"]
