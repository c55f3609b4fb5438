"""The sheet of a result: data, popularity, counts at every filter, split, leaks, seeds, versions."""

from pathlib import Path

from hitsong.data import splits
from hitsong.files import read_json
from hitsong.study import environment

_SIDES = {
    "train": "of these for training",
    "validation": "for validation",
    "test": "for testing",
    splits.EXCLUDED: "on no side",
}


def sheet(study, config, tracks, target, counts, leaks, looks, inputs):
    """Say what a run's numbers rest on.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    tracks : pandas.DataFrame
        The tracks that were used.
    target : hitsong.data.targets.Target
    counts : dict
        From `hitsong.data.tracks.load_tracks`.
    leaks : dict
        From `hitsong.data.tracks.find_leaks`.
    looks : int
        How often the test tracks have told something.
    inputs : dict of str to str
        Hash of each input file.

    Returns
    -------
    dict
        As `hitsong.evaluation.results.Sheet` wants it.
    """
    collected = read_json(study.record("collect"))["counts"]
    known = counts["new"] + counts["known"]
    sides = {scheme: {side: int((tracks[scheme] == side).sum()) for side in _SIDES} for scheme in leaks}
    steps = [
        ("tracks in the catalogue", collected["tracks"]),
        ("recordings, copies removed", counts["recordings"]),
    ]
    if study.downloads.exists():
        steps.append(("copies by audio removed", counts["recordings"] - counts["same_audio"]))
    steps.append(("with a popularity", known))
    if "without_features" in counts:
        steps.append(("with the audio features to predict", known - counts["without_features"]))
    if study.downloads.exists():
        steps.append(("with a clip that can be heard", len(tracks)))
    used = sides[config.split.scheme]
    steps += [(words, used[side]) for side, words in _SIDES.items() if used[side]]
    read_on = tracks["fetched_at"].dropna().astype(str)
    return {
        "study": config.study,
        "collected_from": subject(config, False),
        "synthetic": study.synthetic,
        "popularity": {
            "source": tracks["popularity_source"].iat[0],
            "first_fetched": read_on.min() if len(read_on) else None,
            "last_fetched": read_on.max() if len(read_on) else None,
        },
        "target": target.description(),
        "funnel": [{"step": step, "tracks": int(number)} for step, number in steps],
        "split": {
            "scheme": config.split.scheme,
            "made_with": counts["made_with"],
            "differs": splits.changed_settings(counts, config.split, config.seed),
            "sides": sides,
            "leakage": leaks,
        },
        "test_groups": int(tracks.loc[tracks["side"] == "test", "group"].nunique()),
        "seeds": {"run": config.seed, "train": config.train.seed},
        "draws": config.evaluate.draws,
        "test_looks": looks,
        "inputs": inputs,
        **environment(),
    }


def subject(config, synthetic):
    """What was collected, in words."""
    collect = config.collect
    if collect.source == "fma":
        return "Free Music Archive"
    if collect.source == "table":
        return Path(collect.table.path).name
    lists = {"ids": "listed tracks", "playlist": "a playlist"}
    return ("Synthetic " if synthetic else "") + lists.get(collect.strategy, ", ".join(collect.genres))
