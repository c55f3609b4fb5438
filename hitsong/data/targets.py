"""Targets: the popularity of a track in one of several forms, or its audio features.

popularity
    The value that the source gives (Spotify: 0-100), or a transform of it, by regression.
growth
    The change of popularity from the first months after release to later ones (`hitsong.data.growth`), by regression:
    the difference, the ratio as a logarithm, or the percentile of that ratio.
popular
    1 where popularity >= threshold, else 0, by binary classification (study 2: 39, the training median).
buckets
    Ordered classes of popularity, lowest first (study 3: low, medium, high), by classification.
audio_features
    Several of Spotify's audio features at once (study 4), by regression; each output has its name.

Thresholds, edges and percentiles are fitted on the training tracks only.
"""

from dataclasses import asdict, dataclass

import numpy as np

from hitsong.errors import UserError

CLASSES = ("popular", "buckets")  # kinds whose predictions are probabilities
NUMBERS = ("popularity", "growth")  # kinds whose predictions are one number
_KNOTS = 1001  # of the percentile transform: finer than a tenth of a percent
_PER_AGE, _MOST_AGES = 50, 20  # training tracks in each group of ages, at least, and such groups, at most


@dataclass(frozen=True)
class Target:
    """A target with the parameters that were fitted on the training tracks.

    Attributes
    ----------
    kind : str
        "popularity", "growth", "popular", "buckets" or "audio_features".
    names : tuple of str
        The columns of a prediction: the labels of the buckets, lowest first, or the audio features; else the
        kind itself.
    threshold : float, optional
        Popularity from which a track counts as popular.
    edges : tuple of float, optional
        Popularity from which each bucket but the lowest begins.
    transform : str, optional
        Of popularity: "log1p" or "percentile" (among the training tracks, 0-100, ties at their mean rank). Of growth:
        "log_ratio" or "percentile" (of that ratio).
    knots : tuple of (float, float), optional
        Popularity and percentile; between them the percentile is linear. Relative to age: such a tuple for each group
        of ages.
    age_edges : tuple of float, optional
        Ages [years] between the groups of ages, for popularity relative to age.
    observe_months, predict_months : float and (float, float), optional
        Of growth: the months after release that it is counted from, and those that it is counted to.
    between : (str, str), optional
        Of growth between readings: the days up to which they were made.
    lowest : float, optional
        What a number cannot fall below: 0 where no training track is below it.
    highest : float, optional
        What a number cannot exceed: 100 for percentiles and on Spotify's scale.
    """

    kind: str
    names: tuple = ()
    threshold: float | None = None
    edges: tuple | None = None
    transform: str | None = None
    knots: tuple | None = None
    age_edges: tuple | None = None
    observe_months: float | None = None
    predict_months: tuple | None = None
    between: tuple | None = None
    lowest: float | None = None
    highest: float | None = None

    def __post_init__(self):
        # As JSON gives them back, tuples are lists.
        object.__setattr__(self, "names", tuple(self.names) or (self.kind,))
        for name in ("edges", "knots", "age_edges", "predict_months", "between"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))

    @property
    def classes(self):
        """Whether predictions are probabilities of classes."""
        return self.kind in CLASSES

    @property
    def number(self):
        """Whether a prediction is one number."""
        return self.kind in NUMBERS

    @property
    def columns(self):
        """The columns of a table of tracks that the target is made from."""
        relative = "age" if self.age_edges is not None else None
        return columns_of(self.kind, self.names, relative)

    @property
    def encoded(self):
        """The columns that hold the encoded target in a table of tracks: `y`, or one per audio feature."""
        return [f"y_{name}" for name in self.names] if self.kind == "audio_features" else ["y"]

    def encode(self, values):
        """Encode the values of tracks as models are fitted on them.

        Parameters
        ----------
        values : array-like [shape=(n,) or (n, k)]
            The columns `columns`, in this order; of a single one its values.

        Returns
        -------
        np.ndarray [shape=(n,) or (n, k), dtype=float32]
            Numbers; 0 or 1 for "popular"; for "buckets" the class, 0 for the lowest.

        Raises
        ------
        ValueError
            If a value is missing; it would otherwise count as not popular.
        """
        values = _finite(values)
        if self.kind == "growth":
            values = change(values, self.transform)
        if self.age_edges is not None:
            values = self._within_age(*values.T)
        elif self.kind == "popular":
            values = values >= self.threshold
        elif self.kind == "buckets":
            values = np.searchsorted(self.edges, values, side="right")
        elif self.transform == "log1p":
            values = np.log1p(values)
        elif self.transform == "percentile":
            values = np.interp(values, *np.transpose(self.knots))
        return values.astype(np.float32)

    def _within_age(self, popularity, age):
        """Percentiles of popularity among training tracks of similar age."""
        group, percentile = np.searchsorted(self.age_edges, age, side="right"), np.empty(len(age))
        for number, knots in enumerate(self.knots):
            rows = group == number
            percentile[rows] = np.interp(popularity[rows], *np.transpose(knots))
        return percentile

    def clip(self, predictions):
        """Bring predicted numbers, or the ends of their intervals, into the target's range; same shape and dtype."""
        if not self.number or (self.lowest, self.highest) == (None, None):
            return predictions
        return np.clip(predictions, self.lowest, self.highest)

    def truth(self, tracks):
        """The encoded target of tracks that `write` has labelled: (n,), or (n, k) for audio features."""
        values = tracks[self.encoded].to_numpy(float)
        return values if self.kind == "audio_features" else values[:, 0]

    def write(self, tracks):
        """The tracks with their encoded target, in the columns `encoded`."""
        values = self.encode(tracks[self.columns].to_numpy(float, na_value=np.nan)).reshape(len(tracks), -1)
        return tracks.assign(**dict(zip(self.encoded, values.T, strict=True)))

    def description(self):
        """Describe the target in JSON's types; `Target(**description)` gives it back."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self):
        if self.kind == "popular":
            return f"popular (popularity >= {self.threshold:g})"
        if self.kind == "buckets":
            begin = [f"{name} from {edge:g}" for name, edge in zip(self.names[1:], self.edges, strict=True)]
            return f"buckets of popularity ({', '.join([self.names[0], *begin])})"
        if self.kind == "audio_features":
            return f"audio features ({', '.join(self.names)})"
        if self.between:
            return f"{self.unit()} from {self.between[0]} to {self.between[1]}"
        if self.kind == "growth":
            months = "{:g} to {:g}".format(*self.predict_months)
            return f"{self.unit()} from the first {self.observe_months:g} months after release to months {months}"
        return self.unit() if self.transform else self.kind

    def score(self, predictions, output=None):
        """One number per track from a model's predictions, in the units that `unit` names.

        Parameters
        ----------
        predictions : array-like [shape=(n,) or (n, k)]
            As `hitsong.training.bundle.Bundle.predict` gives them.
        output : str, optional
            Which of several audio features; needed for these only.

        Returns
        -------
        np.ndarray [shape=(n,)]
            Popularity, the probability of "popular", the expected bucket (0 is the lowest), or the audio feature.
        """
        predictions = np.asarray(predictions)
        if self.kind == "buckets":
            return predictions @ np.arange(predictions.shape[1])
        return predictions if predictions.ndim == 1 else predictions[:, self.names.index(output)]

    def unit(self, output=None):
        """What the numbers of `score` are, in words."""
        popularity = f"{self.transform} of popularity" if self.transform else "points of popularity"
        return {
            "popularity": f"{popularity} among tracks of the same age"
            if self.age_edges is not None
            else popularity,
            "growth": {None: "growth of popularity", "log_ratio": "log ratio of growth"}.get(
                self.transform, "percentile of growth"
            ),
            "popular": "probability of being popular",
            "buckets": "buckets",
            "audio_features": output,
        }[self.kind]


def fit_target(settings, train, scale=None):
    """Fit the parameters of a target on the training tracks.

    Parameters
    ----------
    settings : config.Target
    train : array-like [shape=(n_train,) or (n_train, k)]
        The columns `columns_of_settings`; of a single one its values.
    scale : float, optional
        The end of the scale of popularity: Spotify's ends at 100.

    Returns
    -------
    Target

    Raises
    ------
    UserError
        If all training tracks lie on one side of the threshold, a bucket has none of them, or a value
        has no logarithm.
    ValueError
        If there are no tracks, or a value is missing.
    """
    train = _finite(train)
    if len(train) == 0:
        raise ValueError("a target needs at least one training track")
    if settings.kind == "audio_features":
        return Target("audio_features", tuple(settings.features))
    if settings.kind == "growth":
        return _growth(settings, train)
    if settings.relative_to:
        return _relative_to_age(train)
    if settings.kind == "popular":
        return _popular(settings, train)
    if settings.kind == "buckets":
        return _buckets(settings, train)
    if settings.transform == "log1p" and train.min() < 0:
        raise UserError(f"target.transform log1p: popularity goes down to {train.min():g}; use percentile")
    knots = percentiles(train) if settings.transform == "percentile" else None
    lowest = 0.0 if train.min() >= 0 or knots else None
    highest = {"percentile": 100.0, "log1p": scale and np.log1p(scale)}.get(settings.transform, scale)
    return Target("popularity", transform=settings.transform, knots=knots, lowest=lowest, highest=highest)


def columns_of(kind, features, relative_to=None):
    """The columns of a table of tracks that a kind of target is made from."""
    if kind == "audio_features":
        return list(features)
    if kind == "growth":
        return ["early", "late"]
    return ["popularity", "age"] if relative_to else ["popularity"]


def columns_of_settings(settings):
    """The same for a section `target` of a config."""
    return columns_of(settings.kind, settings.features, settings.relative_to)


def change(values, transform):
    """Growth from early to late popularity.

    Parameters
    ----------
    values : np.ndarray [shape=(n, 2)]
        Early and late popularity.
    transform : str or None
        None for the difference; else log((late + 1) / (early + 1)).

    Returns
    -------
    np.ndarray [shape=(n,)]
    """
    early, late = values.T if transform is None else np.log1p(values.clip(min=0)).T
    return late - early


def _growth(settings, train):
    knots = percentiles(change(train, settings.transform)) if settings.transform == "percentile" else None
    if settings.between:
        window = {"between": settings.between}
    else:
        window = {"observe_months": settings.observe_months, "predict_months": settings.predict_months}
    ends = {"lowest": 0.0, "highest": 100.0} if knots else {}
    return Target("growth", transform=settings.transform, knots=knots, **window, **ends)


def _relative_to_age(train):
    """Percentiles within groups of training tracks of similar age, about equally many in each."""
    popularity, age = train.T
    count = min(_MOST_AGES, max(1, len(age) // _PER_AGE))
    edges = np.unique(np.quantile(age, np.arange(1, count) / count, method="higher"))
    edges = edges[edges > age.min()]  # so that no group is empty
    group = np.searchsorted(edges, age, side="right")
    knots = tuple(percentiles(popularity[group == number]) for number in range(len(edges) + 1))
    edges = tuple(map(float, edges))
    return Target(
        "popularity", transform="percentile", knots=knots, age_edges=edges, lowest=0.0, highest=100.0
    )


def _popular(settings, popularity):
    """The threshold: a number, or a quantile of the training tracks."""
    if settings.quantile is not None:
        setting, threshold = (
            f"target.quantile {settings.quantile:g}",
            np.quantile(popularity, settings.quantile),
        )
    else:
        median = settings.threshold == "median"
        setting = f"target.threshold {settings.threshold}"
        threshold = np.median(popularity) if median else settings.threshold
    target = Target("popular", threshold=float(threshold))
    if len(np.unique(target.encode(popularity))) < 2:
        low, high = popularity.min(), popularity.max()
        # A threshold at the minimum makes every track popular, one above the maximum none.
        advice = (
            f"set target.threshold above {low:g} and up to {high:g}"
            if low < high
            else "collect tracks that differ in popularity"
        )
        raise UserError(
            f"{setting}: all {len(popularity)} training tracks lie on one side "
            f"of {threshold:g}, so there are no two classes; {advice}"
        )
    return target


def _buckets(settings, popularity):
    """The edges: as given, or where the shares of the training tracks come nearest to those setting for."""
    labels, edges = settings.labels, settings.edges
    if edges is None:
        # Tracks of equal popularity cannot be parted, so an edge is one of the values that occur.
        values, counts = np.unique(popularity, return_counts=True)
        below = np.cumsum(counts)[:-1] / len(popularity)  # share below values[1:]
        if len(below) < len(labels) - 1:
            raise UserError(
                f"target.labels: {len(labels)} buckets cannot be made of {len(values)} different values of "
                "popularity; name fewer"
            )
        places, first = [], 0
        for number, share in enumerate(np.cumsum(settings.shares)[:-1], start=1):
            last = len(below) - (len(labels) - 1 - number)  # leave a value for each edge to come
            places.append(first + int(np.abs(below[first:last] - share).argmin()))
            first = places[-1] + 1
        edges = values[1:][places]
    target = Target("buckets", tuple(labels), edges=tuple(float(edge) for edge in edges))
    sizes = np.bincount(target.encode(popularity).astype(int), minlength=len(labels))
    if not sizes.all():
        empty = labels[int(sizes.argmin())]
        raise UserError(
            f"target.edges {list(edges)}: none of {len(popularity)} training tracks is {empty}; "
            f"popularity goes from {popularity.min():g} to {popularity.max():g}"
        )
    return target


def percentiles(popularity):
    """Distinct values with their percentiles, thinned where there are very many."""
    values, counts = np.unique(popularity, return_counts=True)
    percentiles = 100 * (np.cumsum(counts) - counts / 2) / len(popularity)
    kept = np.unique(np.linspace(0, len(values) - 1, min(_KNOTS, len(values))).round().astype(int))
    return tuple((float(values[row]), float(percentiles[row])) for row in kept)


def _frozen(value):
    """Lists of any depth as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _finite(values):
    """Numbers, none missing."""
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("a target must not be missing: drop such tracks first")
    return values
