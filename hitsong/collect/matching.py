"""Whether a track of one catalogue and a track of another are the same recording.

Compared are the title without its additions, the version words among the additions (live, remix, ...), the main artist
and the duration. A difference in a version word is a different recording; what cannot be decided is no match.
"""

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

VERSION = 1  # of the rules below; a change of them needs another number
TOLERANCE_S = 3.0
SIMILAR = 0.6  # of two titles under the same ISRC: spellings, translations of a part

# Words of a title's additions that name a version of a recording, folded; in the languages that catalogues mix.
_PATTERNS = {
    "live": r"\b(live|en vivo|ao vivo|en directo|in concert|sessions?)\b|现场|現場|演唱会|演唱會|ライブ|라이브|концерт",
    "remix": r"\b(re ?mix(ed|es)?|rmx|rework|bootleg|mash ?up|dub)\b|混音|リミックス|리믹스|ремикс",
    "acoustic": r"\b(acoustic|acustico|akustik|unplugged|stripped)\b|不插电|不插電|アコースティック|어쿠스틱|акустик",
    "instrumental": r"\b(instrumental|off vocal|inst)\b|伴奏|纯音乐|純音樂|インスト|인스트|инструментал|минус",
    "karaoke": r"\b(karaoke|backing track|sing ?along)\b|卡拉|カラオケ|노래방|караоке",
    "cover": r"\b(cover(ed)?|tribute|in the style of|originally performed by|made famous by)\b|翻唱|カバー|커버|кавер",
    "sped up": r"\b(sped ?up|speed ?up|nightcore|faster)\b|加速",
    "slowed": r"\b(slowed|slowed down|daycore|slower)\b|减速|減速|降速",
    "remaster": r"\b(re ?master(ed|ing)?)\b|重制|重製|リマスター|리마스터|ремастер",
    "radio edit": r"\b(radio (edit|version|mix|cut)|edit(ed)?|clean)\b",
    "re-recorded": r"\b(re ?record(ed|ing)|new recording|[a-z]+s version|[0-9]{4} version)\b|重录|重錄",
    "demo": r"\b(demo|rough mix|sketch)\b|小样|小樣|デモ|데모|демо",
    "extended": r"\b(extended|club (mix|version)|12 inch)\b",
}
_VERSIONS = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
_PLAIN = re.compile(r"\b(original|album|main|standard|explicit)( (version|mix|recording))?\b")  # says nothing
_OTHER = re.compile(r"\b(version|ver|mix|take|arrangement)\b|版|バージョン")  # "piano version", "club mix"
_ALBUM = re.compile(
    r"\blive (at|in|from|on)\b|\bin concert\b|\bunplugged\b|\bkaraoke\b|演唱会|演唱會|ライブ|라이브"
)
_BRACKETS = re.compile(r"[(\[{【〈《]([^()\[\]{}【】〈〉《》]*)[)\]}】〉》]")
_DASH = re.compile(r"\s[-–—~]\s")
_GUEST = re.compile(r"^(feat|ft|featuring|with|prod|produced by|from|ost|bonus track)\b")
_GUEST_TAIL = re.compile(r"\s(?:feat\.?|ft\.?|featuring)\s.*$", re.IGNORECASE)
_CREDITS = re.compile(r"\s*(?:,|;|/|、|\bfeat\.?\s|\bft\.?\s|\bfeaturing\s)\s*", re.IGNORECASE)
_TAIL = re.compile(
    r"^(.+) (live|remix|acoustic|instrumental|karaoke|cover|sped up|slowed|remaster(?:ed)?|demo)$"
)
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "ё": "е"})
_APOSTROPHES = re.compile("['’‘`´ʼ]")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Song:
    """What is compared of a track.

    Attributes
    ----------
    title, artist : str
        As the catalogue writes them; `artist` is the main one.
    seconds : float or None
    isrc, album : str or None
    id, artist_id, preview : str or None
        Of a candidate: its id, its artist's, and the address of its preview.
    rank : int
        Its popularity, which decides among equals.
    """

    title: str
    artist: str
    seconds: float | None = None
    isrc: str | None = None
    album: str | None = None
    id: str | None = None
    artist_id: str | None = None
    preview: str | None = None
    rank: int = 0


@dataclass(frozen=True)
class Title:
    """A title taken apart: its core, the versions its additions name, their numbers and the rest of them."""

    core: str
    versions: frozenset
    numbers: tuple
    rest: frozenset


@dataclass(frozen=True)
class Comparison:
    """How far a candidate agrees with a song: a score from 0 to 1, and why it is no match (None: it is one)."""

    candidate: Song
    score: float
    reason: str | None


@lru_cache(maxsize=100_000)
def fold(text):
    """Reduce a text to what its spellings share: width, capitals, accents of Latin and Greek letters, punctuation.

    Vowel signs and marks of other scripts are letters of their own and are kept.

    >>> fold("Ｄｅｊａ  Ｖｕ!") == fold("Déjà Vu"), fold("Чай") == fold("Чаи")
    (True, False)
    """
    text = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    text = _APOSTROPHES.sub("", text).replace("&", " and ")
    letters, strip = [], False
    for letter in text:
        if unicodedata.combining(letter):
            if not strip:
                letters.append(letter)
            continue
        strip = unicodedata.name(letter, "").startswith(("LATIN", "GREEK"))
        kept = letter.isalnum() or unicodedata.category(letter).startswith("M")
        letters.append(unicodedata.normalize("NFD", letter)[0] if strip else letter if kept else " ")
    return " ".join("".join(letters).split()) or text.strip()


@lru_cache(maxsize=100_000)
def take_apart(title):
    """Divide a title into its core and what its additions (in brackets, after a dash) say: a `Title`."""
    text = unicodedata.normalize("NFKC", title)
    additions = _BRACKETS.findall(text)
    head, *tail = _DASH.split(_GUEST_TAIL.sub("", _BRACKETS.sub(" ", text)))
    core, versions, numbers, rest = fold(head), set(), [], set()
    if not head.strip():  # a title in brackets
        return Title(fold(title), frozenset(), (), frozenset())
    if match := _TAIL.match(core):
        core, additions = match[1], [*additions, match[2]]
    for addition in map(fold, [*additions, *tail]):
        if not addition or _GUEST.match(addition):
            continue
        named = {name for name, pattern in _VERSIONS.items() if pattern.search(addition)}
        addition = _PLAIN.sub(" ", addition)
        if not named and _OTHER.search(addition):
            named = {" ".join(addition.split())}
        numbers += _NUMBER.findall(addition)
        versions |= named
        if not named and addition.strip():
            rest.add(" ".join(addition.split()))
    return Title(core, frozenset(versions), tuple(sorted(numbers)), frozenset(rest))


def compare(song, candidate, by):
    """Compare a song with a candidate.

    Parameters
    ----------
    song, candidate : Song
    by : str
        "isrc" if both have the same one: then titles may be spelt otherwise, or in another script. "words" if the
        candidate was found by its words: then title and artist must be equal.

    Returns
    -------
    Comparison
    """
    ours, theirs = take_apart(song.title), take_apart(candidate.title)
    title = _similarity(ours.core, theirs.core)
    artist = 1.0 if _same_artist(song.artist, candidate.artist) else 0.0
    if by == "isrc":
        title_agrees = title >= SIMILAR or _other_script(song.title, candidate.title)
        artist_agrees = artist or _other_script(song.artist, candidate.artist)
        if song.seconds is None:  # then nothing else may be in doubt
            title_agrees, artist_agrees = title >= SIMILAR, artist
    else:
        title_agrees, artist_agrees = ours.core == theirs.core, artist
    off = None if None in (song.seconds, candidate.seconds) else abs(song.seconds - candidate.seconds)
    versions = _versions(song, ours, by), _versions(candidate, theirs, by)
    reason = None
    if not title_agrees:
        reason = "another title"
    elif not artist_agrees:
        reason = "another artist"
    elif versions[0] != versions[1]:
        reason = f"another version: {', '.join(sorted(versions[0] ^ versions[1]))}"
    elif by == "words" and (
        ours.numbers != theirs.numbers or (ours.rest and theirs.rest and ours.rest != theirs.rest)
    ):
        reason = "another version: the additions to the title differ"
    elif off is not None and off > TOLERANCE_S:
        reason = "another duration"
    close = 0.5 if off is None else max(0.0, 1 - off / (2 * TOLERANCE_S))
    score = 0.5 * title * (1.0 if ours.rest == theirs.rest else 0.9) + 0.25 * artist + 0.25 * close
    return Comparison(candidate, round(score, 3), reason)


def choose(song, candidates, by):
    """The match of a song among candidates, or the best of those that are none.

    Parameters
    ----------
    song : Song
    candidates : sequence of Song
    by : str
        As for `compare`.

    Returns
    -------
    Comparison or None
        None without candidates. `reason` is None for a match. Several artists of the same name, or durations that
        differ where the song's own is unknown, leave it undecided; a match without a preview is none.
    """
    compared = [compare(song, candidate, by) for candidate in candidates]
    if not compared:
        return None
    matches = sorted(
        (c for c in compared if c.reason is None),
        key=lambda c: (not c.candidate.preview, -c.score, -c.candidate.rank, c.candidate.id or ""),
    )
    if not matches:
        return max(compared, key=lambda c: (_CLOSENESS.get(c.reason.partition(":")[0], 0), c.score))
    best, reason = matches[0], None
    seconds = [c.candidate.seconds for c in matches if c.candidate.seconds is not None]
    if by == "words" and len({c.candidate.artist_id for c in matches}) > 1:
        reason = "several artists of this name"
    elif (
        by == "words" and song.seconds is None and (not seconds or max(seconds) - min(seconds) > TOLERANCE_S)
    ):
        reason = "several durations, and the track's own is unknown"
    elif not best.candidate.preview:
        reason = "no preview"
    return Comparison(best.candidate, best.score, reason)


_CLOSENESS = {"another duration": 4, "another version": 3, "another artist": 2, "another title": 1}


def _versions(song, title, by):
    """The versions that a title names; of words alone, also what its album says of all its tracks."""
    if by == "words" and song.album and _ALBUM.search(fold(song.album)):
        return title.versions | {"live"}
    return title.versions


def _similarity(a, b):
    return 1.0 if a == b else SequenceMatcher(None, a, b, autojunk=False).ratio()


def _same_artist(ours, theirs):
    """Whether two names are of one artist; ours may name several, the main one first."""
    names = {_bare(ours), _bare(_CREDITS.split(ours)[0])}
    return _bare(theirs) in names


def _bare(name):
    name = fold(name)
    return name.removeprefix("the ") or name


def _other_script(one, other):
    """Whether two texts have no script in common, so that they cannot be compared letter by letter."""
    return not _scripts(one) & _scripts(other)


def _scripts(text):
    text = unicodedata.normalize("NFKC", text)
    return {unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha()}
