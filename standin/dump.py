"""A synthetic dump of listens, in the two forms of ListenBrainz: what listeners played of a world's recordings.

The number of users of a recording rises with its planted popularity; its listens over time follow its career
(`standin.careers`). A dump of a later day holds the listens of an earlier one and those made since.
"""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from standin import names
from standin.careers import REFERENCE, timestamps, years
from standin.identities import recording_mbids

TODAY = REFERENCE.isoformat()  # of the dump, unless the clock was moved
FIRST = years("2015-01-01")
LISTENERS = 3000
USERS = 8  # of a recording without popularity
UNMAPPED = 0.1  # share of listens that name no recording
PLAYS = 0.07  # listens of a recording by a user: 1 and a geometric number of this chance
NAME = "listenbrainz-{}-dump-1000-{}-000003-full"  # of the form and of the day on which it was made


def draw_listens(world, rng):
    """Listens of a world's recordings until the day of the clock.

    Returns
    -------
    pandas.DataFrame
        `user_id`, `listened_at` (UTC, seconds), `recording_mbid` (missing if not mapped), `recording_name`,
        `artist_name`; sorted by time.
    """
    parts = []
    for row, recording in enumerate(world.recordings):
        users = rng.permutation(LISTENERS)[: round(USERS * np.exp(world.lasting[row] / 20))]
        user_id = np.repeat(users, 1 + rng.geometric(PLAYS, len(users)))
        times = world.careers.quantiles(row, rng.random(len(user_id)), FIRST)
        mbids = np.array(recording_mbids(world, recording), dtype=object)
        mbid = np.where(
            rng.random(len(user_id)) < UNMAPPED, None, mbids[rng.integers(len(mbids), size=len(user_id))]
        )
        parts.append(_listens(recording, user_id, times, mbid))
        parts += [
            _later_listens(world, row, users, len(user_id), month, mbids)
            for month in range(int(np.ceil(12 * years(world.clock))))
        ]
    listens = pd.concat(parts, ignore_index=True)
    listens = listens[listens["listened_at"] < int(timestamps(years(world.clock)))]
    return listens.sort_values(["listened_at", "user_id"], kind="stable", ignore_index=True)


def _later_listens(world, row, users, before, month, mbids):
    """Listens of a recording in a month after REFERENCE, drawn apart: a later clock adds months and changes none."""
    recording = world.recordings[row]
    rng = np.random.default_rng(names.number(recording.seed, "listens", month))
    first, last = month / 12, (month + 1) / 12
    count = rng.poisson(before * world.careers.ratio(row, FIRST, first, last))
    anyone = rng.integers(LISTENERS, size=count)
    user_id = np.where(rng.random(count) < PLAYS, anyone, users[rng.integers(len(users), size=count)])
    mbid = np.where(rng.random(count) < UNMAPPED, None, mbids[rng.integers(len(mbids), size=count)])
    return _listens(recording, user_id, rng.uniform(first, last, count), mbid)


def _listens(recording, user_id, times, mbid):
    """A table of listens of a recording; times in years since REFERENCE."""
    return pd.DataFrame(
        {
            "user_id": user_id + 1,
            "listened_at": timestamps(times).astype(np.int64),
            "recording_mbid": pd.array(mbid, dtype="str"),
            "recording_name": recording.name,
            "artist_name": recording.artists[0].name,
        }
    )


def write_parquet(folder, listens, files=3, day=TODAY):
    """Write listens as the Parquet files of the Spark dump of a day, in its folder; returns the folder."""
    folder = Path(folder) / _name("spark", day)
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(np.array_split(np.arange(len(listens)), files)):
        pq.write_table(_spark_table(listens.iloc[rows]), folder / f"{number}.parquet")
    return folder


def _spark_table(listens):
    time = pd.to_datetime(listens["listened_at"], unit="s")
    mapped = listens["recording_mbid"]
    return pa.table(
        {
            "listened_at": pa.array(time, pa.timestamp("ms")),
            "created": pa.array(time, pa.timestamp("ms")),
            "user_id": pa.array(listens["user_id"], pa.int64()),
            "recording_msid": pa.array([None] * len(listens), pa.string()),
            "artist_name": pa.array(listens["artist_name"], pa.string()),
            "artist_credit_id": pa.array([None] * len(listens), pa.int64()),
            "release_name": pa.array([None] * len(listens), pa.string()),
            "release_mbid": pa.array([None] * len(listens), pa.string()),
            "recording_name": pa.array(listens["recording_name"], pa.string()),
            "recording_mbid": pa.array(mapped.where(mapped.notna(), None), pa.string()),
            "artist_credit_mbids": pa.array([None] * len(listens), pa.list_(pa.string())),
        }
    )


def write_tar(folder, listens, files=3):
    """Write listens as the Spark dump is downloaded: one `.tar`; returns its path."""
    name = _name("spark")
    path = Path(folder) / f"{name}.tar"
    with tarfile.open(path, "w") as archive:
        for number, rows in enumerate(np.array_split(np.arange(len(listens)), files)):
            buffer = io.BytesIO()
            pq.write_table(_spark_table(listens.iloc[rows]), buffer)
            _add(archive, f"{name}/{number}.parquet", buffer.getvalue())
    return path


def write_json(folder, listens):
    """Write listens as the JSON dump is downloaded: one `.tar.zst` of `.listens` files by month; returns its path."""
    name = _name("listens")
    path = Path(folder) / f"{name}.tar.zst"
    months = pd.to_datetime(listens["listened_at"], unit="s").dt.strftime("%Y/%-m")
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.CompressedOutputStream(file, "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):
        for month, rows in listens.groupby(months, sort=True):
            _add(archive, f"{name}/listens/{month}.listens", json_lines(rows).encode())
    return path


def json_lines(listens):
    """Listens as JSON documents, one a line."""
    lines = []
    for row in listens.itertuples(index=False):
        metadata = {"track_name": row.recording_name, "artist_name": row.artist_name, "additional_info": {}}
        if isinstance(row.recording_mbid, str):
            metadata["mbid_mapping"] = {"recording_mbid": row.recording_mbid, "artist_mbids": []}
        document = {"user_id": row.user_id, "listened_at": row.listened_at, "recording_msid": None}
        lines.append(json.dumps(document | {"track_metadata": metadata}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _name(form, day=TODAY):
    return NAME.format(form, day.replace("-", ""))


def _add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
