"""Features on disk: one array per kind, and one index that says whose each row is.

`index.parquet` lists the clips (track_id, sha256 of the audio, path); a clip's row is its place in it.
It only ever grows. `<kind>.npy` has one row per clip, appended in that order, so how far a kind has
come is the length of its file, and a killed run goes on with the next row. `<kind>.json` says how it
was made. A clip that could not be heard has a row of zeros and a line in `failures.csv`.
"""

import csv
import io
import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hitsong.errors import UserError
from hitsong.files import read_json, write_json, write_table

FAILURES = ["kind", "row", "track_id", "reason"]


@dataclass(frozen=True)
class Specification:
    """How a kind of feature is made and stored.

    Attributes
    ----------
    kind : str
    parameters : dict
        What it depends on; JSON-able.
    shape : tuple of int
        Of one clip's feature.
    dtype : str
        Of the array on disk.
    scale, offset : float
        Value = stored number * scale + offset.
    columns : tuple of str or None
        Names of the numbers, where the feature is a row of named numbers.
    """

    kind: str
    parameters: dict
    shape: tuple
    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0
    columns: tuple | None = None

    def describe(self):
        """Everything as JSON can hold it."""
        listed = {"shape": list(self.shape), "columns": list(self.columns) if self.columns else None}
        return {**self.__dict__, **listed}


class Store:
    """The features of one study.

    Parameters
    ----------
    folder : pathlib.Path
    """

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.index_path = folder / "index.parquet"
        self.failures_path = folder / "failures.csv"
        if self.index_path.exists():
            self.index = pd.read_parquet(self.index_path)
        else:
            self.index = pd.DataFrame({"track_id": [], "sha256": [], "path": []}, dtype=str)

    def extend(self, clips):
        """Append the clips that are new, or whose audio has changed.

        Parameters
        ----------
        clips : pandas.DataFrame
            With `track_id`, `sha256` and `path`.

        Returns
        -------
        int
            How many were appended.
        """
        known = set(zip(self.index["track_id"], self.index["sha256"], strict=True))
        fresh = [pair not in known for pair in zip(clips["track_id"], clips["sha256"], strict=True)]
        new = clips.loc[fresh, ["track_id", "sha256", "path"]].sort_values("track_id")
        if len(new) or not self.index_path.exists():
            self.index = pd.concat([self.index, new], ignore_index=True)
            write_table(self.index_path, self.index)
        return len(new)

    def audio(self):
        """The hash of the audio that each track's features are made from: dict of track_id to sha256."""
        return dict(zip(self.index["track_id"], self.index["sha256"], strict=True))

    def failures(self):
        """The clips that could not be heard: kind, row, track_id, reason."""
        if not self.failures_path.exists():
            return pd.DataFrame(columns=FAILURES)
        return pd.read_csv(self.failures_path, dtype={"track_id": str})

    def writer(self, specification):
        """Open a kind for appending; what was made another way is discarded."""
        path = self.folder / f"{specification.kind}.json"
        described = specification.describe()
        if not path.exists() or read_json(path) != described:
            (self.folder / f"{specification.kind}.npy").unlink(missing_ok=True)
            write_json(path, described)
        return Writer(self, specification)

    def read(self, kind, parameters=None):
        """Open a finished kind for reading.

        Parameters
        ----------
        kind : str
        parameters : dict, optional
            What the caller expects it to be made with.

        Raises
        ------
        UserError
            If the kind is not there, or was made with other parameters.
        """
        path = self.folder / f"{kind}.json"
        if not path.exists():
            raise UserError(
                f"{self.folder} holds no {kind} features: is {kind} among features.kinds? "
                "run: python 03_features.py"
            )
        specification = read_json(path)
        if parameters is not None and specification["parameters"] != parameters:
            raise UserError(
                f"{kind} features were made with other settings than features.{kind} asks for now; "
                "run: python 03_features.py"
            )
        failures = self.failures()
        failed = set(failures.loc[failures["kind"] == kind, "row"])
        rows = {track_id: row for row, track_id in enumerate(self.index["track_id"]) if row not in failed}
        array = np.load(self.folder / f"{kind}.npy", mmap_mode="r")
        return Feature(specification, array, rows)


@dataclass(frozen=True)
class Feature:
    """One kind of feature, memory-mapped.

    Attributes
    ----------
    specification : dict
        How it was made: kind, parameters, shape, dtype, scale, offset, columns.
    array : np.ndarray [shape=(rows, *shape)]
    rows : dict of str to int
        The row of each track that has one.
    """

    specification: dict
    array: np.ndarray
    rows: dict

    def table(self):
        """A feature of named numbers as a DataFrame, indexed by track_id."""
        rows = pd.Series(self.rows, dtype=int)
        index = pd.Index(rows.index, name="track_id")
        return pd.DataFrame(self.array[rows.to_numpy()], index, self.specification["columns"])


class Writer:
    """Appends rows to a `.npy` file that numpy can open at any time after `close`.

    The header is numpy's own, which leaves room for the number of rows to grow.
    """

    def __init__(self, store, specification):
        self.store, self.kind, self.shape = store, specification.kind, tuple(specification.shape)
        self.dtype = np.dtype(specification.dtype)
        self.path = store.folder / f"{self.kind}.npy"
        if not self.path.exists():
            self.path.write_bytes(self._header(0))
        row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        start = len(self._header(0))
        self.done = max(0, self.path.stat().st_size - start) // row_bytes
        self.failed = 0
        self._file = open(self.path, "r+b")  # noqa: SIM115 - closed by close()
        self._file.truncate(start + self.done * row_bytes)  # a row that was cut off
        self._file.seek(0, os.SEEK_END)
        self._drop_unfinished_failures()

    def _header(self, rows):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": self.dtype.str, "fortran_order": False, "shape": (rows, *self.shape)}
        )
        return header.getvalue()

    def _drop_unfinished_failures(self):
        """Forget failures of rows that were not written: they will be tried again."""
        failures = self.store.failures()
        stale = (failures["kind"] == self.kind) & (failures["row"] >= self.done)
        if stale.any() or not self.store.failures_path.exists():
            write_table(self.store.failures_path, failures[~stale])

    def append(self, feature):
        """Write the next clip's feature [of the kind's shape and dtype], or the reason why there is none (str)."""
        if not isinstance(feature, str):
            feature = self._checked(np.asarray(feature))
        if isinstance(feature, str):
            with open(self.store.failures_path, "a", newline="", encoding="utf-8") as file:
                track_id = self.store.index["track_id"].iat[self.done]
                csv.writer(file, lineterminator="\n").writerow([self.kind, self.done, track_id, feature])
            feature = np.zeros(self.shape, self.dtype)
            self.failed += 1
        self._file.write(np.ascontiguousarray(feature, self.dtype).tobytes())
        self.done += 1

    def _checked(self, feature):
        """The feature, or what is wrong with it."""
        if feature.shape != self.shape:
            return f"of shape {feature.shape} rather than {self.shape}"
        return feature if np.isfinite(feature).all() else "not finite"

    def close(self):
        """Make the file's header say how many rows there are."""
        self._file.seek(0)
        self._file.write(self._header(self.done))
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
