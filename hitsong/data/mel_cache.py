"""What is measured on the stored mels of all clips: computed once, and kept in data/<study>/.cache/.

Each table's file is named after the hash of all that it depends on: the clips with the hash of their audio and their
row, how the mels were made, and the code's own constants. The folder may be deleted at any time.
"""

import numpy as np
import pandas as pd

from hitsong.data import near_audio
from hitsong.features.store import Store
from hitsong.files import digest, write_table

VERSION = 1  # of the numbers that the functions here give; raise it whenever they change


def near_duplicates(study, mel, track_ids):
    """Find the pairs of clips of one recording: see `hitsong.data.near_audio.find_pairs`.

    Parameters
    ----------
    study : hitsong.study.Study
    mel : hitsong.features.store.Feature
    track_ids : pandas.Series of str
        Which clips; all of them have a row in `mel`.

    Returns
    -------
    pandas.DataFrame
        `track_id`, `other`, `shift`, `correlation`.
    """

    def compute():
        rows = track_ids.map(mel.rows).to_numpy(int)
        return near_audio.find_pairs(track_ids, mel.array, rows, mel.specification)

    return _cached(study, "near_duplicates", mel, track_ids, [near_audio.VERSION], compute)


def levels(study, mel):
    """Measure the mean and the standard deviation over all bins of every clip's mel-spectrogram.

    Returns
    -------
    pandas.DataFrame
        `level` and `spread` in dB, indexed by track_id.
    """
    track_ids = pd.Series(list(mel.rows), dtype=object)

    def compute():
        scale, offset = mel.specification["scale"], mel.specification["offset"]
        moments = [
            (mel.array[row].mean() * scale + offset, mel.array[row].std() * scale)
            for row in mel.rows.values()
        ]
        values = np.array(moments, float).reshape(-1, 2)
        return pd.DataFrame({"track_id": track_ids, "level": values[:, 0], "spread": values[:, 1]})

    return _cached(study, "levels", mel, track_ids, [], compute).set_index("track_id")


def _cached(study, name, mel, track_ids, constants, compute):
    """The table of this content, read if it is there, else computed and written."""
    audio = Store(study.features).audio()
    clips = [[track_id, audio.get(track_id), mel.rows[track_id]] for track_id in track_ids]
    key = digest([VERSION, constants, mel.specification, clips])
    path = study.folder / ".cache" / f"{name}-{key}.parquet"
    if path.exists():
        return pd.read_parquet(path)
    table = compute()
    write_table(path, table)
    for other in path.parent.glob(f"{name}-*.parquet"):
        if other != path:
            other.unlink(missing_ok=True)
    return table
