"""A local stand-in for Spotify on loopback. EVERYTHING IT SENDS IS SYNTHETIC.

No artist, song, number or sound of it comes from Spotify or exists anywhere else: names are invented, songs
are synthesised, and popularity is drawn from a formula. It lets a newcomer without credentials see the whole
pipeline run through the real client, real HTTP and real MP3 files, and lets tests compare what a study finds
with what was planted. Results on it say whether the pipeline works, and nothing about music.

    from hitsong.standin import serve

    with serve(config.standin) as standin:
        requests.post(standin.token_url, auth=(standin.client_id, standin.client_secret),
                      data={"grant_type": "client_credentials"}, proxies=standin.proxies)

It is used as an HTTP proxy, so its addresses (`http://api.spotify.test/v1/...`) are the same in every run
although its port is not. To look around by hand, with addresses on its own port:

    python -m hitsong.standin --port 8801

- `world.py`     the catalogue and the planted truth
- `names.py`     invented names and ids
- `composer.py`  songs from traits
- `spotify.py`   the endpoints and the form of the answers
- `server.py`    the server
"""

from hitsong.standin.server import serve
from hitsong.standin.world import GENRES, planted

__all__ = ["GENRES", "planted", "serve"]
