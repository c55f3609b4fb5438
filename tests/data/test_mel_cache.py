"""Tables of all clips' mels are computed once, and anew when the clips, their audio or their mels change."""

import numpy as np
import pandas as pd
import pytest

from hitsong.data import mel_cache
from hitsong.features.store import Failure, Specification, Store
from hitsong.study import Study

CLIPS = 12
FRAMES = {"hop_length": 2048, "sample_rate": 22050}


class Counted(np.ndarray):
    """An array that counts how often it is read."""

    reads = 0

    def __getitem__(self, place):
        Counted.reads += 1
        return np.asarray(super().__getitem__(place))


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def mels(study, rng, changed=(), seconds=30):
    """Make the store of a study, with other audio for some of the clips; the mel feature, counting its reads."""
    store = Store(study.features)
    ids = [f"t{number:02}" for number in range(CLIPS)]
    hashes = [f"{track_id}{'-new' if track_id in changed else ''}" for track_id in ids]
    study.features.mkdir(parents=True, exist_ok=True)
    store.extend(pd.DataFrame({"track_id": ids, "sha256": hashes, "path": "x"}))
    specification = Specification("mel", {"seconds": seconds, **FRAMES}, (8, 70), "uint8", 0.3, -80.0)
    with store.writer(specification) as writer:
        for row in range(writer.done, len(store.index)):
            failed = row == 3
            writer.write(row, Failure("silent") if failed else rng.integers(0, 255, (8, 70)).astype(np.uint8))
    feature = Store(study.features).read("mel")
    object.__setattr__(feature, "array", np.asarray(feature.array).view(Counted))
    return feature


def test_the_store_is_read_once(study, rng):
    mel = mels(study, rng)
    ids = pd.Series(list(mel.rows))
    first = mel_cache.near_duplicates(study, mel, ids), mel_cache.levels(study, mel)
    assert len(first[1]) == CLIPS - 1
    row = np.asarray(mel.array)[mel.rows["t05"]] * 0.3 - 80
    assert first[1].loc["t05"].tolist() == pytest.approx([row.mean(), row.std()])
    Counted.reads = 0
    again = (
        mel_cache.near_duplicates(study, mel, ids),
        mel_cache.levels(study, Store(study.features).read("mel")),
    )
    assert Counted.reads == 0
    for item, other in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(item, other, check_dtype=len(item) > 0, check_index_type=False)


@pytest.mark.parametrize("change", ["audio", "mels", "clips"])
def test_what_the_tables_depend_on_makes_them_anew(study, rng, change):
    mel = mels(study, rng)
    ids = pd.Series(list(mel.rows))
    mel_cache.near_duplicates(study, mel, ids)
    before = mel_cache.levels(study, mel)
    if change == "clips":
        Counted.reads = 0
        mel_cache.near_duplicates(study, mel, ids[:-1])
        assert Counted.reads > 0
    else:
        changes = {"changed": ["t05"]} if change == "audio" else {"seconds": 15}
        after = mel_cache.levels(study, mels(study, rng, **changes))
        assert after.loc["t05", "level"] != before.loc["t05", "level"]
        assert (after.loc["t06", "level"] == before.loc["t06", "level"]) == (change == "audio")
    assert len(list((study.folder / ".cache").glob("levels-*"))) == 1
    assert len(list((study.folder / ".cache").glob("near_duplicates-*"))) == 1
