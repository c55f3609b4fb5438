"""Features on disk: one array per kind, and one index of which clip each row belongs to.

`index.parquet` lists the clips (track_id, sha256 of the audio, path, and whether it is the track's current audio).
Rows are only appended. `<kind>.npy` has one row per clip in the same order, so that the length of the file shows the
progress of a kind, and a killed run continues with the next row. `<kind>.json` holds its specification. A clip without
features has a row of zeros and a line in `failures.csv`.
"""

import csv
import io
import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hitsong.errors import UserError
from hitsong.files import read_json, write_json, write_table
from hitsong.study import command

FAILURES = ["kind", "row", "track_id", "reason", "decoder"]


@dataclass(frozen=True)
class Specification:
    """How a kind of feature is made and stored.

    Attributes
    ----------
    kind : str
    parameters : dict
        Settings and code version, as JSON can hold them.
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
        """The specification for JSON."""
        listed = {"shape": list(self.shape), "columns": list(self.columns) if self.columns else None}
        return {**self.__dict__, **listed}


@dataclass(frozen=True)
class Failure:
    """Why a clip has no feature.

    Attributes
    ----------
    reason : str
    final : bool
        The same decoder would fail again on the same file; other failures are tried again by the next run.
    """

    reason: str
    final: bool = True


class Store:
    """The features of one study.

    Parameters
    ----------
    folder : pathlib.Path
        Made when the first clip is added.
    """

    def __init__(self, folder):
        self.folder = folder
        self.index_path = folder / "index.parquet"
        self.failures_path = folder / "failures.csv"
        if self.index_path.exists():
            self.index = pd.read_parquet(self.index_path)
        else:
            self.index = pd.DataFrame({"track_id": [], "sha256": [], "path": []}, dtype=str)
        if "current" not in self.index:  # an index of an earlier version
            self.index["current"] = ~self.index.duplicated("track_id", keep="last")

    def extend(self, clips):
        """Update the index to each track's present audio; clips with new audio are appended.

        Parameters
        ----------
        clips : pandas.DataFrame
            With `track_id`, `sha256` and `path`: all clips of the study.

        Returns
        -------
        int
            How many were appended.
        """
        if not self.index_path.exists():  # arrays without an index are useless
            for path in [*self.folder.glob("*.json"), *self.folder.glob("*.npy"), self.failures_path]:
                path.unlink(missing_ok=True)
        columns = ["track_id", "sha256"]
        earlier = pd.MultiIndex.from_frame(self.index[columns])
        now = pd.MultiIndex.from_frame(clips[columns])
        new = clips.loc[~now.isin(earlier), [*columns, "path"]].sort_values("track_id")
        index = pd.concat([self.index.drop(columns="current"), new], ignore_index=True)
        paths = pd.Series(clips["path"].to_numpy(), now).reindex(pd.MultiIndex.from_frame(index[columns]))
        index["current"] = paths.notna().to_numpy()
        index["path"] = paths.to_numpy()
        if not self.index_path.exists() or not index.equals(self.index):
            write_table(self.index_path, index)
        self.index = index
        return len(new)

    def audio(self):
        """The hash of each track's current audio: dict of track_id to sha256."""
        current = self.index[self.index["current"]]
        return dict(zip(current["track_id"], current["sha256"], strict=True))

    def failures(self):
        """The clips without features: kind, row, track_id, reason, and the decoder for which it is final."""
        if not self.failures_path.exists():
            return pd.DataFrame(columns=FAILURES)
        failures = pd.read_csv(
            self.failures_path, dtype={"track_id": str, "decoder": str}, keep_default_na=False
        )
        if "decoder" not in failures:  # a list of an earlier version
            failures["decoder"] = ""
        return failures.drop_duplicates(["kind", "row"], keep="last")

    def writer(self, specification, decoder=""):
        """Open a kind for writing; rows of another specification are discarded.

        Parameters
        ----------
        specification : Specification
        decoder : str
            Version of the decoder, for which failures are final.
        """
        array, description = (self.folder / f"{specification.kind}.{suffix}" for suffix in ("npy", "json"))
        described = specification.describe()
        if not description.exists() or read_json(description) != described:
            # The description is removed first and written last: an array with a description is always of its kind.
            description.unlink(missing_ok=True)
            array.unlink(missing_ok=True)
            Writer(self, specification, decoder).close()
            write_json(description, described)
        return Writer(self, specification, decoder)

    def has(self, kind, parameters=None):
        """Whether there are features of a kind, and with these parameters if they are given."""
        path = self.folder / f"{kind}.json"
        return path.exists() and (parameters is None or read_json(path)["parameters"] == parameters)

    def is_complete(self, kind, parameters=None):
        """Whether there are features of a kind, made with these parameters, for every clip of the study."""
        array = self.folder / f"{kind}.npy"
        if not self.has(kind, parameters) or not array.exists():
            return False
        return self._reaches(np.load(array, mmap_mode="r"))

    def _reaches(self, array):
        """Whether an array has a row for every clip; those of an interrupted or an earlier run may lack some."""
        return not self.index["current"].iloc[len(array) :].any()

    def read(self, kind, parameters=None):
        """Open a kind for reading.

        It has the rows of each track's current audio, without failures.

        Parameters
        ----------
        parameters : dict, optional
            The parameters that it must have (`hitsong.features.kinds.parameters`).

        Returns
        -------
        Feature

        Raises
        ------
        UserError
            If there are no such features, they have other parameters, or not all clips have them.
        """
        path = self.folder / f"{kind}.json"
        if not self.has(kind):
            raise UserError(
                f"{self.folder} holds no {kind} features: is {kind} among features.kinds? "
                f"run: {command('features')}"
            )
        if not self.has(kind, parameters):
            raise UserError(
                f"{kind} features were made with other settings, or by another version of the code, than is asked "
                f"for now; run: {command('features')}"
            )
        specification = read_json(path)
        try:
            array = np.load(self.folder / f"{kind}.npy", mmap_mode="r")
        except (OSError, ValueError):
            raise UserError(
                f"{self.folder / kind}.npy is missing or damaged; delete {path.name} beside it and run: "
                f"{command('features')}"
            ) from None
        if not self._reaches(array):
            rows, clips = self.index["current"].iloc[: len(array)].sum(), self.index["current"].sum()
            raise UserError(
                f"{kind} features are there for {rows:,} of {clips:,} clips: is {kind} among features.kinds? "
                f"run: {command('features')}"
            )
        failures = self.failures()
        usable = self.index["current"].to_numpy(bool, copy=True)
        usable[failures.loc[failures["kind"] == kind, "row"].to_numpy(int)] = False
        places = np.flatnonzero(usable)
        rows = dict(zip(self.index["track_id"].iloc[places], places.tolist(), strict=True))
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
    """Writes rows of a `.npy` file, which NumPy can open after `close`.

    The header is NumPy's, which has room for a larger number of rows.

    Attributes
    ----------
    done : int
        Rows so far.
    failed : set of int
        Rows without features.
    """

    def __init__(self, store, specification, decoder):
        self.store, self.kind, self.shape = store, specification.kind, tuple(specification.shape)
        self.decoder = decoder
        self.dtype = np.dtype(specification.dtype)
        path = store.folder / f"{self.kind}.npy"
        if not path.exists():
            path.write_bytes(self._header(0))
        self._row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self._start = len(self._header(0))
        self.done = max(0, path.stat().st_size - self._start) // self._row_bytes
        self._file = open(path, "r+b")  # noqa: SIM115 - closed by close()
        self._file.truncate(self._start + self.done * self._row_bytes)  # a row that was cut off
        failures = store.failures()
        of_kind = failures["kind"] == self.kind
        self.failed = set(failures.loc[of_kind & (failures["row"] < self.done), "row"])
        self._recovered = set()  # rows that failed in an earlier run
        unwritten = of_kind & (failures["row"] >= self.done)
        if unwritten.any() or not store.failures_path.exists():
            write_table(store.failures_path, failures[~unwritten])

    def _header(self, rows):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": self.dtype.str, "fortran_order": False, "shape": (rows, *self.shape)}
        )
        return header.getvalue()

    def write(self, row, feature):
        """Write the feature of one clip.

        Parameters
        ----------
        row : int
            The next row, or an existing one, which is replaced.
        feature : array-like or Failure
            Of the kind's shape.
        """
        if row > self.done:
            raise ValueError(f"{self.kind}: row {row} cannot follow {self.done} rows")
        if not isinstance(feature, Failure):
            feature = self._checked(np.asarray(feature))
        if isinstance(feature, Failure):
            self._add_failure(row, feature)
            feature = np.zeros(self.shape, self.dtype)
        elif row in self.failed:
            self.failed.remove(row)
            self._recovered.add(row)
        self._file.seek(self._start + row * self._row_bytes)
        self._file.write(np.ascontiguousarray(feature, self.dtype).tobytes())
        self.done = max(self.done, row + 1)

    def _checked(self, feature):
        """The feature, or a `Failure` where it cannot be stored."""
        if feature.shape != self.shape:
            return Failure(f"of shape {feature.shape} rather than {self.shape}")
        return feature if np.isfinite(feature).all() else Failure("not finite")

    def _add_failure(self, row, failure):
        """Add a failure to the list."""
        with open(self.store.failures_path, "a", newline="", encoding="utf-8") as file:
            track_id, decoder = self.store.index["track_id"].iat[row], self.decoder if failure.final else ""
            csv.writer(file, lineterminator="\n").writerow(
                [self.kind, row, track_id, failure.reason, decoder]
            )
        self.failed.add(row)

    def close(self):
        """Write the number of rows into the header, and remove failures that have been replaced."""
        self._file.seek(0)
        self._file.write(self._header(self.done))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._recovered:
            failures = self.store.failures()
            recovered = (failures["kind"] == self.kind) & failures["row"].isin(self._recovered)
            write_table(self.store.failures_path, failures[~recovered])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
