"""Examples: tracks with named inputs, memory-mapped and read batch by batch, and targets."""

from dataclasses import dataclass, replace

import numpy as np

AT_ONCE = 64  # clips in memory while statistics are measured


@dataclass(frozen=True)
class Input:
    """One named input of some tracks.

    Attributes
    ----------
    array : np.ndarray [shape=(stored, *shape)]
        Memory-mapped where it is large: mels are codes of one byte.
    rows : np.ndarray [shape=(n,), dtype=int]
        The row of each track in `array`.
    specification : dict
        As the store describes it: kind, parameters, shape, scale, offset (value = stored * scale + offset),
        and `columns`, the names of the numbers, or None.
    """

    array: np.ndarray
    rows: np.ndarray
    specification: dict

    @property
    def scale(self):
        return self.specification["scale"]

    @property
    def offset(self):
        return self.specification["offset"]

    @property
    def shape(self):
        return tuple(self.array.shape[1:])

    def read(self, positions=slice(None)):
        """The values of some tracks, in natural units: (n, *shape), float32."""
        return self.array[self.rows[positions]] * np.float32(self.scale) + np.float32(self.offset)

    def describe(self):
        """All that is needed to make this input of a new clip, in JSON's types."""
        kept = {name: self.specification[name] for name in ("kind", "parameters", "scale", "offset")}
        return {**kept, "shape": list(self.shape), "columns": self.specification["columns"]}


@dataclass(frozen=True)
class Examples:
    """Tracks with their inputs and targets.

    Attributes
    ----------
    track_ids : np.ndarray [shape=(n,), dtype=str]
    inputs : dict of str to Input
    y : np.ndarray [shape=(n,) or (n, k), dtype=float32] or None
        The target, as `hitsong.data.targets.Target.encode` gives it.
    groups : np.ndarray [shape=(n,)] or None
        The artists' group of each track.
    """

    track_ids: np.ndarray
    inputs: dict
    y: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self):
        return len(self.track_ids)

    def take(self, positions):
        """Choose some of the tracks, in the order of `positions`."""
        return replace(
            self,
            track_ids=self.track_ids[positions],
            inputs={
                name: replace(values, rows=values.rows[positions]) for name, values in self.inputs.items()
            },
            y=None if self.y is None else self.y[positions],
            groups=None if self.groups is None else self.groups[positions],
        )

    def only(self, names):
        """The same tracks with some of their inputs."""
        return replace(self, inputs={name: self.inputs[name] for name in names})

    def table(self, names):
        """Inputs that are rows of named numbers, side by side: a DataFrame with columns `input:column`."""
        import pandas as pd  # which networks do without

        parts = [
            pd.DataFrame(
                self.inputs[name].read(),
                columns=[f"{name}:{column}" for column in self.inputs[name].specification["columns"]],
            )
            for name in names
        ]
        return pd.concat(parts, axis=1).set_axis(pd.Index(self.track_ids, name="track_id"))


@dataclass(frozen=True)
class Statistics:
    """Statistics of an input over training tracks, for normalisation.

    Attributes
    ----------
    mean, std : np.ndarray
        Scalars (arrays without axes) over all bins for mels, else one value per last axis; `std` is 1 where
        all values are equal, since values are divided by it.
    low, high : float
        The smallest and the largest value.
    """

    mean: np.ndarray
    std: np.ndarray
    low: float
    high: float


def statistics(examples, name):
    """Compute the statistics of an input in one pass over the store.

    Codes of mels are counted rather than summed: exact, and independent of the order of the clips. Missing
    numbers (NaN) are left out.

    Parameters
    ----------
    examples : Examples
    name : str

    Returns
    -------
    Statistics
        In natural units (dB for mels).
    """
    stored = examples.inputs[name]
    if stored.array.dtype == np.uint8:
        return _of_codes(stored)
    count = total = squares = 0
    low, high = np.inf, -np.inf
    for start in range(0, len(examples), AT_ONCE):
        values = stored.read(slice(start, start + AT_ONCE)).astype(float)
        values = values.reshape(-1, values.shape[-1])
        is_finite = np.isfinite(values)
        values = np.where(is_finite, values, 0)
        count, total, squares = (
            count + is_finite.sum(axis=0),
            total + values.sum(axis=0),
            squares + (values**2).sum(axis=0),
        )
        if is_finite.any():
            low, high = min(low, values[is_finite].min()), max(high, values[is_finite].max())
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    return Statistics(mean, np.where(std > 1e-6 * np.abs(mean) + 1e-12, std, 1.0), float(low), float(high))


def _of_codes(stored):
    counts = np.zeros(256, np.int64)
    for start in range(0, len(stored.rows), AT_ONCE):
        counts += np.bincount(stored.array[stored.rows[start : start + AT_ONCE]].ravel(), minlength=256)
    levels = np.arange(256) * stored.scale + stored.offset
    mean = np.average(levels, weights=counts)
    std = np.sqrt(np.average((levels - mean) ** 2, weights=counts))
    used = np.flatnonzero(counts)
    return Statistics(np.asarray(mean), np.asarray(std or 1.0), levels[used[0]], levels[used[-1]])
