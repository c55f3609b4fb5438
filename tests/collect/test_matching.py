"""Which pairs of tracks are the same recording, by the rules alone."""

import pytest

from hitsong.collect.matching import Song, choose, compare, fold, take_apart


def song(title, artist="Naïve Kites", seconds=200.0, **more):
    return Song(title=title, artist=artist, seconds=seconds, **more)


def candidate(title, artist="Naïve Kites", seconds=200.0, key="deezer:1", artist_id="deezer:9", **more):
    return Song(
        title=title, artist=artist, seconds=seconds, id=key, artist_id=artist_id,
        **{"preview": f"https://cdn/{key}.mp3", **more},
    )  # fmt: skip


SAME = [
    ("Counting Plum Wine", "COUNTING PLUM WINE"),
    ("Déjà Vu", "Deja Vu"),
    ("Ｌｏｓｔ", "Lost"),
    ("Don't Stop", "Don’t Stop"),
    ("稻香", "稻香"),
    ("夜に駆ける", "夜に駆ける"),
    ("Моё сердце", "Мое сердце"),
    ("Rock & Roll", "Rock and Roll"),
    ("Smørrebrød", "Smorrebrod"),
    ("Stay (feat. Someone)", "Stay"),
    ("Stay feat. Someone", "Stay (with Someone)"),
    ("Angels - Remastered 2011", "Angels (2011 Remaster)"),
    ("Angels - Live", "Angels (Live)"),
    ("Angels Live", "Angels [Live]"),
    ("稻香 (Live)", "稻香（現場版）"),
    ("Live and Let Die", "Live And Let Die"),
    ("Song - Original Mix", "Song"),
    ("Theme (From a Film)", "Theme"),
    ("!!!", "!!!"),
]
DIFFERENT = [
    ("Angels", "Angels (Live)"),
    ("Angels", "Angels - Acoustic"),
    ("Angels", "Angels (Karaoke Version)"),
    ("Angels", "Angels (Instrumental)"),
    ("Angels", "Angels (Sped Up)"),
    ("Angels", "Angels (Slowed + Reverb)"),
    ("Angels", "Angels - Remastered 2011"),
    ("Angels - Remastered 2011", "Angels - Remastered 2015"),
    ("Angels", "Angels - Radio Edit"),
    ("Angels", "Angels (Re-Recorded)"),
    ("Angels", "Angels (Someone's Version)"),
    ("Angels", "Angels (Piano Version)"),
    ("Angels", "Angels - Demo"),
    ("Angels", "Angels (Cover)"),
    ("Angels (Live)", "Angels (Acoustic)"),
    ("Angels", "Angel"),
    ("Angels (Part 1)", "Angels (Part 2)"),
    ("稻香", "稻香 (伴奏)"),
    ("稻香", "稻香 (翻唱)"),
    ("Чай", "Чаи"),
    ("가", "각"),
    ("が", "か"),
    ("की", "का"),
    ("Live and Let Die", "Let Die (Live)"),
]


@pytest.mark.parametrize(("ours", "theirs"), SAME)
def test_spellings_of_a_title_are_one_recording(ours, theirs):
    for item, other in ((ours, theirs), (theirs, ours)):
        assert compare(song(item), candidate(other), "words").reason is None


@pytest.mark.parametrize(("ours", "theirs"), DIFFERENT)
def test_versions_and_other_titles_are_other_recordings(ours, theirs):
    for item, other in ((ours, theirs), (theirs, ours)):
        assert compare(song(item), candidate(other), "words").reason.startswith("another")


def test_folding_is_stable():
    for text in ("Déjà Vu", "ＡＢＣ", "Ørsted", "की", "稻香 (Live)", "!!!", "", "  "):
        assert fold(fold(text)) == fold(text)


def test_a_title_in_brackets_is_a_title():
    assert take_apart("(Live)").core == "live"
    assert not take_apart("(Live)").versions


@pytest.mark.parametrize(
    ("off", "same"), [(0.0, True), (2.9, True), (3.0, True), (3.1, False), (-3.1, False), (25.0, False)]
)
def test_durations_may_differ_by_three_seconds(off, same):
    result = compare(song("Angels"), candidate("Angels", seconds=200.0 + off), "words")
    assert (result.reason is None) == same


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("The Beatles", "Beatles", True),
        ("Drake feat. Rihanna", "Drake", True),
        ("Drake, Rihanna", "Drake", True),
        ("Simon & Garfunkel", "Simon", False),
        ("Earth, Wind & Fire", "Earth, Wind & Fire", True),
        ("周杰倫", "周杰倫", True),
        ("Beyoncé", "Beyonce", True),
        ("Drake", "Drake Bell", False),
    ],
)
def test_artists(ours, theirs, same):
    reason = compare(song("Angels", ours), candidate("Angels", theirs), "words").reason
    assert reason == (None if same else "another artist")


def test_an_isrc_allows_other_spellings_but_no_other_song():
    by_isrc = {
        ("稻香", "周杰倫"): ("Dao Xiang", "Jay Chou", None),
        ("Angels of Rain", "Kites"): ("Angels of the Rain", "Kites", None),
        ("Angels", "Kites"): ("Between Static", "Kites", "another title"),
        ("Angel", "Kites"): ("Angels", "Magpies", "another artist"),
        ("Angels", "A"): ("Angels (Live)", "A", "another version: live"),
    }
    for ours, (title, artist, reason) in by_isrc.items():
        assert compare(song(*ours), candidate(title, artist), "isrc").reason == reason
    assert compare(song("Angels"), candidate("Angels", seconds=225.0), "isrc").reason == "another duration"
    unknown = compare(song("稻香", "周杰倫", seconds=None), candidate("Dao Xiang", "Jay Chou"), "isrc")
    assert unknown.reason == "another title"


def test_what_is_in_doubt_is_no_match():
    two = [candidate("Angels", key="deezer:1"), candidate("Angels", key="deezer:2", artist_id="deezer:8")]
    assert choose(song("Angels"), two, "words").reason == "several artists of this name"
    lengths = [candidate("Angels", key="deezer:1"), candidate("Angels", key="deezer:2", seconds=240.0)]
    assert choose(song("Angels", seconds=None), lengths, "words").reason.startswith("several durations")
    assert choose(song("Angels", seconds=None), lengths[:1], "words").reason is None
    assert choose(song("Angels"), [candidate("Angels", preview=None)], "words").reason == "no preview"
    assert choose(song("Angels"), [], "words") is None


def test_the_best_match_does_not_depend_on_the_order():
    several = [
        candidate("Angels", key="deezer:1", rank=5),
        candidate("Angels", key="deezer:2", rank=9),
        candidate("Angels", key="deezer:3", rank=99, preview=None),
        candidate("Angels (Live)", key="deezer:4", rank=99),
        candidate("Angels", key="deezer:5", seconds=202.0, rank=99),
    ]
    assert {choose(song("Angels"), order, "words").candidate.id for order in (several, several[::-1])} == {
        "deezer:2"
    }


def test_a_concerts_album_makes_its_tracks_live():
    live = candidate("Angels", album="Live at the Harbour Hall")
    assert compare(song("Angels", album="Angels"), live, "words").reason == "another version: live"
    assert compare(song("Angels", album="Live at the Harbour Hall"), live, "words").reason is None
    assert compare(song("Angels"), candidate("Angels", album="Live Through This"), "words").reason is None
