"""What Spotify grants to each class of app."""

from typing import NamedTuple


class Profile(NamedTuple):
    """What an app is granted; the defaults are those of extended quota, granted before 2024-11-27."""

    popularity: bool = True  # and an album's label
    previews: bool = True
    audio_features: bool = True
    batches: bool = True  # several albums, tracks or artists at once, and playlists
    largest: int = 50  # page of a search or of an artist's albums
    premium: bool = True  # the owner's, without which nothing works


PROFILES = {
    "extended": Profile(),
    "dev_old": Profile(previews=False, audio_features=False),
    "dev_new": Profile(popularity=False, previews=False, audio_features=False, batches=False, largest=10),
    "no_premium": Profile(premium=False),
}
