"""A local stand-in for Spotify and Deezer on loopback. EVERYTHING IT SENDS IS SYNTHETIC.

No artist, song, number or sound of it comes from these services or exists anywhere else: names are invented, songs
are synthesised, and popularity is drawn from a formula. It lets a newcomer without credentials see the whole
pipeline run through the real client, real HTTP and real MP3 files, and lets tests compare what a study finds
with what was planted. Results on it say whether the pipeline works, and nothing about music.

    from standin import serve

    with serve(config.standin) as standin:
        requests.post(standin.token_url, auth=(standin.client_id, standin.client_secret),
                      data={"grant_type": "client_credentials"}, proxies=standin.proxies)

It is used as an HTTP proxy, so its addresses (`http://api.spotify.test/v1/...`, `http://api.deezer.test/...`)
are the same in every run although its port is not. It can play each class of app that Spotify knows, and
each misfortune that a crawl meets; the catalogue is the same whatever it plays. To look around by hand, with
addresses on its own port:

    python -m standin --port 8801 --profile dev_new --fault server_error@5x3:albums

- `objects.py`    what a catalogue consists of
- `world.py`      the catalogue of a genre, and the planted truth
- `taste.py`      how songs are liked and measured
- `names.py`      invented names and ids
- `composer.py`   songs from traits
- `catalogue.py`  all genres together: lookups, search, previews
- `search.py`     queries
- `profiles.py`   what each class of app is granted
- `shapes.py`     Spotify's objects
- `spotify.py`    Spotify's endpoints
- `deezer.py`     Deezer's objects and endpoints
- `faults.py`     what goes wrong, and when
- `server.py`     the server
"""

from standin.server import serve
from standin.world import GENRES, planted, playlist_ids

__all__ = ["GENRES", "planted", "playlist_ids", "serve"]
