"""The tracks of a study with their target and their side of the split."""

import pandas as pd

from hitsong.collect import deduplicate
from hitsong.data import folds, growth, leakage, mel_cache, origins, splits, targets
from hitsong.data.ages import age
from hitsong.errors import UserError
from hitsong.features.kinds import parameters
from hitsong.features.store import Store


def load_tracks(study, config, kinds=(), freeze=True):
    """The study's tracks that have a popularity, with target, group and side.

    Makes and freezes the splits if no stage has done so before. Once clips have been downloaded, tracks without
    one are left out: neither splits nor targets may depend on tracks that no model can use.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    kinds : iterable of str
        The kinds of feature that models take. Tracks without one of those that have been extracted from all clips
        are left out after the splits are made and before the target is fitted.
    freeze : bool
        Write the splits where they are new.

    Returns
    -------
    tracks : pandas.DataFrame
        The columns of `tracks.parquet` and, by `track_id`: `group` (of artists), a column per split scheme,
        those of `hitsong.data.folds.with_sides`, `side` (train, validation, test or excluded, under the config's
        scheme) and the encoded target
        (the columns `target.encoded`: `y`, or one for each audio feature).
    target : hitsong.data.targets.Target
        Fitted on the train side.
    counts : dict
        Tracks on each side of each scheme, and how many of the recordings were left out, why.

    Raises
    ------
    UserError
        If the split leaves nothing to train or test on, no track has the target's audio features, or 03 has run
        without a kind of `features.kinds`.
    """
    require_kinds(study, config)
    tracks = deduplicate.read(study.tracks)
    collected = len(tracks)
    distinct = with_clip = collected
    if study.downloads.exists():
        downloads = pd.read_parquet(study.downloads, columns=["track_id", "status"])
        copies = downloads.loc[downloads["status"] == "duplicate", "track_id"]
        tracks = tracks[~tracks["track_id"].isin(copies)]
        distinct = with_clip = len(tracks)
        clips = downloads.loc[downloads["status"] == "ok", "track_id"]
        if len(clips):
            tracks = tracks[tracks["track_id"].isin(clips)]
            with_clip = len(tracks)
    # Divided by popularity whatever the target, so that all targets of a study share their test tracks.
    count, pairs = config.evaluate.folds, same_recordings(study, tracks)
    united = leakage.unite(tracks, pairs)
    table, counts = splits.load_splits(
        study.splits, united, "popularity", config.split, config.seed, count, freeze
    )
    counts |= _count_pairs(pairs, table)
    splits.require_sides(table, config.split.scheme)
    table = folds.with_sides(table[["track_id", "group", *split_schemes(table)]], table, count)
    tracks = tracks.merge(table, on="track_id", validate="one_to_one")
    credits = united.set_index("track_id")["artist_ids"]
    tracks = _with_truth(study, config, tracks, credits, counts)
    store = Store(study.features)
    for kind in dict.fromkeys(config.train.numeric if kind == "numeric" else kind for kind in kinds):
        if kind != "spotify" and store.is_complete(kind, parameters(kind, config.features)):
            tracks = with_features(tracks, store.read(kind))
    tracks = tracks.reset_index(drop=True)
    if config.split.origins:
        tracks = _as_of_origins(study, config, tracks, credits, counts, freeze)
    splits.require_sides(tracks, config.split.scheme)
    tracks["side"] = tracks[config.split.scheme]
    counts |= {
        "recordings": collected,
        "same_audio": collected - distinct,
        "without_clip": distinct - with_clip,
    }
    return *with_target(tracks, tracks["side"] == "train", config), counts


def _with_truth(study, config, tracks, credits, counts):
    """The tracks whose target is known; `counts` gets how many of the others there are, and why."""
    settings, before = config.target, len(tracks)
    if settings.kind == "audio_features":
        tracks = tracks[tracks[settings.features].notna().all(axis=1)]
        counts["without_features"] = before - len(tracks)
        if tracks.empty:
            raise UserError(
                f"target.features: no track has all of {', '.join(settings.features)}; this source gives none"
            )
    elif settings.relative_to:
        tracks = tracks.assign(age=age(tracks))
        tracks = tracks[tracks["age"].notna()]
        counts["without_age"] = before - len(tracks)
        if tracks.empty:
            raise UserError("target.relative_to age: no track has a release date and a day of reading")
    elif settings.kind == "growth":
        readings = growth.load_readings(study, config)
        tracks = growth.with_growth(tracks, readings, settings)
        tracks = growth.with_first_weeks(tracks, readings, settings)
        counts["without_growth"] = before - len(tracks)
        if "time" in tracks:
            united = tracks.assign(artist_ids=tracks["track_id"].map(credits))
            tracks["time"] = origins.read_before(united, counts["cuts"][1], config.split, config.seed)
    else:
        return tracks
    splits.require_sides(tracks, config.split.scheme)
    return tracks.reset_index(drop=True)


def _as_of_origins(study, config, tracks, credits, counts, freeze):
    """The tracks with their sides as of each date of `split.origins`; `counts` gets the dates."""
    dates = origins.origin_dates(tracks, config.split.origins)
    dates = splits.frozen_origins(study.splits, config, dates, freeze)
    counts["origins"] = [f"{date:%Y-%m-%d}" for date in dates]
    united = tracks.assign(artist_ids=tracks["track_id"].map(credits))
    sided = origins.with_sides(united, dates, config.split, config.seed)
    return sided.assign(artist_ids=tracks["artist_ids"])


def require_kinds(study, config):
    """Refuse features that were made with other settings than `features`, once 03 has run. Raises UserError."""
    store = Store(study.features)
    if study.record("features").exists() and len(store.index):
        for kind in config.features.kinds:
            store.read(kind, parameters(kind, config.features))


def with_target(tracks, train, config):
    """Fit the target on the tracks that `train` marks, and encode it for all: tracks, target."""
    columns = targets.columns_of_settings(config.target)
    values = tracks.loc[train, columns[0] if columns == ["popularity"] else columns]
    target = targets.fit_target(config.target, values, _end_of_scale(tracks[train]))
    return target.write(tracks), target


def _end_of_scale(train):
    """100 if popularity is on Spotify's scale, else None; "synthetic" are songs of the stand-in's Spotify."""
    sources = train["popularity_source"].dropna().unique()
    on_scale = [source == "synthetic" or "spotify" in source for source in sources]
    return 100.0 if on_scale and all(on_scale) and train["popularity"].max() <= 100 else None


def split_schemes(tracks):
    """The split schemes that tracks have sides of, the scheme of `side` included."""
    return [name for name in splits.SCHEMES if name in tracks]


def find_leaks(study, tracks):
    """What is on two sides of each scheme, or in two of the `folds`: counts by check (`hitsong.data.leakage`)."""
    hashes = None
    if study.downloads.exists():
        downloads = pd.read_parquet(study.downloads, columns=["track_id", "sha256"])
        hashes = downloads.dropna().drop_duplicates("track_id").set_index("track_id")["sha256"]
    near = near_pairs(study)
    by_id = tracks.set_index("track_id")
    divisions = {scheme: by_id[scheme] for scheme in split_schemes(tracks)}
    if "fold" in tracks and "origin" not in tracks:
        divisions["folds"] = by_id["fold"]
    leaks = {name: leakage.count_leaks(tracks, sides, hashes, near) for name, sides in divisions.items()}
    if "origin" in tracks:  # a track has another side at each origin
        each = [leakage.count_leaks(tracks, by_id[name], hashes, near) for name in folds.names(tracks)]
        leaks["folds"] = {
            check: None if each[0][check] is None else max(counts[check] for counts in each)
            for check in each[0]
        }
    if "late_read_at" in tracks:
        for name, counts in leaks.items():
            counts["late_readings"] = growth.count_late(tracks, name)
    return leaks


def same_recordings(study, tracks):
    """The pairs of tracks that may be one recording, by title and by sound: `track_id` and `other`."""
    near = near_pairs(study)
    pairs = [leakage.same_titles(tracks), *([] if near is None else [near[["track_id", "other"]]])]
    return pd.concat(pairs, ignore_index=True).drop_duplicates(ignore_index=True)


def near_pairs(study):
    """The pairs of clips of one recording (`hitsong.data.near_audio.find_pairs`); None without mels of all clips."""
    if not Store(study.features).is_complete("mel"):
        return None
    mel = Store(study.features).read("mel")
    return mel_cache.near_duplicates(study, mel, pd.Series(sorted(mel.rows), dtype=object))


def _count_pairs(pairs, table):
    """How many pairs of one recording there are, and how many tracks are excluded because of one."""
    side = table.set_index("track_id")["artist"]
    a, b = (side.reindex(pairs[column]).to_numpy(object) for column in ("track_id", "other"))
    apart = (a == splits.EXCLUDED) != (b == splits.EXCLUDED)
    return {
        "united": int((pd.notna(a) & pd.notna(b)).sum()),
        "copies_excluded": int(apart[pd.notna(a) & pd.notna(b)].sum()),
    }


def united_line(counts):
    """What was done about tracks that may be one recording, in a line; None where there are none."""
    if not counts["united"]:
        return None
    line = f"{counts['united']:,} pairs of tracks that may be one recording (by sound or title) share a group"
    if counts["copies_excluded"]:
        return f"{line}; {counts['copies_excluded']:,} tracks are excluded, since the splits are older than their pair"
    return line


def has_audio(study):
    """Whether any of the study's tracks has audio: its own, or that of a match; a table of numbers has none.

    Without `tracks.parquet` the answer is yes: the stage that asks will say what is missing.
    """
    if not study.tracks.exists():
        return True
    if study.downloads.exists() and len(pd.read_parquet(study.downloads, columns=["track_id"])):
        return True
    return bool(pd.read_parquet(study.tracks, columns=["preview_url", "audio_path"]).notna().any(axis=None))


def with_features(tracks, *features):
    """The tracks that have a clip in each of the features."""
    for feature in features:
        tracks = tracks[tracks["track_id"].isin(list(feature.rows))]
    return tracks
