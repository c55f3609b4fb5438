"""Tables of named numbers about tracks: what baselines are fitted on."""

import numpy as np
import pandas as pd

from hitsong.config import AUDIO_FEATURES
from hitsong.data.ages import age
from hitsong.data.growth import FIRST_WEEKS, PREFIX
from hitsong.errors import UserError
from hitsong.features.kinds import KINDS, parameters
from hitsong.features.store import Store
from hitsong.study import command

INPUTS = ["spotify", *(name for name, kind in KINDS.items() if kind.columns)]


def read_table(study, kind, settings):
    """A kind of feature that is one row of named numbers per clip, as a table.

    Parameters
    ----------
    study : hitsong.study.Study
    kind : str
        One that has columns: "descriptors", "tags", "embedding", ...
    settings : hitsong.config.Features

    Returns
    -------
    pandas.DataFrame [dtype=float64] or None
        Indexed by track_id, a row for each clip that has this feature; None if the kind was not extracted, or
        is no longer among `settings.kinds` and left from other settings or fewer clips.

    Raises
    ------
    UserError
        If the kind is among `settings.kinds`, but was made with other settings, or not for all clips.
    """
    store, needed = Store(study.features), parameters(kind, settings)
    if not (store.has(kind) if kind in settings.kinds else store.is_complete(kind, needed)):
        return None
    return store.read(kind, needed).table().astype(float)


def baseline_tables(study, config, tracks, target):
    """Make the tables of named numbers that baselines are fitted on, one for each kind of input.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
        `baseline.inputs` (if not given, all that exist of `features.kinds`, and "spotify") and `baseline.controls`.
    tracks : pandas.DataFrame
    target : hitsong.data.targets.Target
        Its own columns are not an input.

    Returns
    -------
    dict of str to pandas.DataFrame
        By kind, the controls last, each indexed by track_id in the order of `tracks`, NaN where a value is
        missing. Of growth, two controls hold what was read of the first months, alone and beside the first kind.

    Raises
    ------
    UserError
        If an input that the config names does not exist, or none exists.
    """
    index = pd.Index(tracks["track_id"], name="track_id")
    chosen = config.baseline.inputs
    tables = {}
    for kind in chosen or [kind for kind in INPUTS if kind in ("spotify", *config.features.kinds)]:
        table = (
            spotify(tracks, config, target) if kind == "spotify" else read_table(study, kind, config.features)
        )
        if table is not None:
            tables[kind] = table.reindex(index)
        elif chosen:
            raise UserError(
                f"baseline.inputs {kind}: no such input exists; {_how_to_make(kind, study, config)}"
            )
    if not chosen and len(tables) > 1 and not set(tables.get("spotify", ())) & set(AUDIO_FEATURES):
        tables.pop("spotify", None)  # a duration says little beside features of the sound
    if not tables:
        raise UserError(
            "baseline: these tracks have nothing to fit on; add descriptors to features.kinds and "
            f"run: {command('features')}"
        )
    sound = next(iter(tables.values()))
    tables |= controls(tracks, config, target)
    return tables | early_readings(tracks, sound) if target.kind == "growth" else tables


def controls(tracks, config, target):
    """The tables of `baseline.controls`, as `baseline_tables` has them."""
    index, tables = pd.Index(tracks["track_id"], name="track_id"), {}
    # Of growth, counted to one date for all tracks: when each was read may tell what became of it.
    years = age(
        tracks if target.kind != "growth" else tracks.assign(fetched_at=str(tracks["released"].max()))
    )
    if "age" in config.baseline.controls and years.notna().any():
        tables["age"] = pd.DataFrame({"age": years.to_numpy()}, index=index)
    if "artist" in config.baseline.controls:
        tables["artist"] = pd.DataFrame({"artist_id": tracks["artist_id"].to_numpy()}, index=index)
    return tables


def early_readings(tracks, sound):
    """The tables of what was read of the first months, alone and beside a table of the sound."""
    weeks = tracks[[f"{PREFIX}{name}" for name in FIRST_WEEKS]].set_axis(sound.index)
    return {"first_weeks": weeks, "sound_first_weeks": sound.join(weeks)}


def _how_to_make(kind, study, config):
    """What to do about an input that does not exist."""
    if kind == "spotify":
        return "this source gives none"
    add = "" if kind in config.features.kinds else "add it to features.kinds and "
    return f"{add}run: {command('features')}"


def missing_inputs(tables, config):
    """What the baselines' inputs lack, in lines for the terminal."""
    lines = []
    if "spotify" in tables:
        absent = [name for name in config.baseline.features if name not in tables["spotify"]]
        lines += [f"{name}: no track has it; left out of the baselines" for name in absent]
    for name, X in tables.items():
        if without := int(X.isna().all(axis=1).sum()):
            lines.append(f"{name}: {without:,} of {len(X):,} tracks have none; medians take their place")
    return lines


def spotify(tracks, config, target):
    """The audio features that tracks have, or None."""
    names = [name for name in config.baseline.features if name not in target.columns]
    names = [name for name in names if tracks[name].notna().any()]
    if not names:
        return None
    values = tracks[names].to_numpy(float, na_value=np.nan)
    return pd.DataFrame(values, index=pd.Index(tracks["track_id"], name="track_id"), columns=names)
