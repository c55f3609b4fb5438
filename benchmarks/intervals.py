"""How often the 95 % intervals of `hitsong.evaluation.bootstrap` contain the truth.

    python benchmarks/intervals.py                       # 8, 20, 60 and 200 groups: half an hour on one core
    python benchmarks/intervals.py --groups 8 --simulations 200
    python benchmarks/intervals.py --conformal           # coverage of conformal intervals and sets at 90 %

Each simulation draws artists with an effect on the truth and on the prediction, and tracks of each artist: lognormal
numbers of them, six on average. The truth is the metric of 40,000 such artists. The models and the seeds of the last
columns are two predictions of the same tracks, and three predictions that share three quarters of their variance.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from hitsong.data.targets import Target
from hitsong.evaluation import bootstrap, conformal, kinds

MEAN_TRACKS, CORRELATION, MANY = 6, 0.4, 40_000
METRICS = {
    "spearman": "popularity", "mse": "popularity", "r2": "popularity", "roc_auc": "popular",
    "quadratic_kappa": "buckets",
}  # fmt: skip


def draw(artists, shared, unequal, rng):
    """Groups, truth, and the scores of one, another and two more seeds of the first model.

    Parameters
    ----------
    artists : int
    shared : float
        Share of the variance that tracks of an artist have in common.
    unequal : float
        Standard deviation of the logarithm of the number of tracks.
    """
    sizes = MEAN_TRACKS * np.exp(unequal * rng.normal(size=artists) - unequal**2 / 2)
    groups = np.repeat(np.arange(artists), np.maximum(1, np.round(sizes)).astype(int))

    def noise():
        return np.sqrt(shared) * rng.normal(size=artists)[groups] + np.sqrt(1 - shared) * rng.normal(
            size=len(groups)
        )

    def score(errors):
        return CORRELATION * y + np.sqrt(1 - CORRELATION**2) * errors

    y, common = noise(), noise()
    seeds = [score(np.sqrt(0.75) * common + np.sqrt(0.25) * noise()) for _ in range(3)]
    return groups, y, score(common), score(noise()) - 0.2 * y, seeds


def arranged(kind, y, score):
    """Truth and prediction as a target kind has them."""
    if kind == "popularity":
        return y, CORRELATION * score
    if kind == "popular":
        return (y > 0.3).astype(float), stats.norm.cdf(score)
    edges = stats.norm.ppf([1 / 3, 2 / 3])
    return np.digitize(y, edges).astype(float), np.eye(3)[np.digitize(score, edges)]


def measure(groups, y, first, second, seeds, draws, seed):
    """Intervals of every metric, of a difference between two models, and of three seeds."""
    intervals = {}
    for name, kind in METRICS.items():
        truth, p = arranged(kind, y, first)
        intervals[name] = bootstrap.intervals(kind, truth, p, groups, draws, seed, only=[name])[name]
    truth, p = arranged("popularity", y, first)
    for name in ("spearman", "mse"):
        other = arranged("popularity", y, second)[1]
        difference = bootstrap.paired("popularity", truth, p, other, groups, draws, seed, only=[name])[name]
        intervals[f"difference, {name}"] = (difference["low"], difference["high"])
    repeated = [arranged("popularity", y, item)[1] for item in seeds]
    measured = bootstrap.Resampling(groups, draws, seed).measure("popularity", truth, repeated, ["spearman"])
    return intervals | {"three seeds, spearman": measured.intervals()["spearman"]}


def truths(shared, unequal):
    """What the intervals should contain."""
    _, y, first, second, _ = draw(MANY, shared, unequal, np.random.default_rng(0))
    values = {name: kinds.metric(name).value(*arranged(kind, y, first)) for name, kind in METRICS.items()}
    for name in ("spearman", "mse"):
        other = kinds.metric(name).value(*arranged("popularity", y, second))
        values[f"difference, {name}"] = values[name] - other
    return values | {"three seeds, spearman": values["spearman"]}


def conformal_coverage(simulations, shared, unequal):
    """Print the coverage at 90 % on tracks of new artists, in studies of 60 artists kept apart.

    A linear model is fitted on 39 artists, calibrated on 9 and tested on 12, as one split has it; or fitted five times,
    each time without 12 artists, calibrated on the predictions of all 60, and tested on 60 more.
    """
    rng = np.random.default_rng(0)
    targets = {
        "interval": Target("popularity"), "set, popular": Target("popular", threshold=0.3),
        "set, buckets": Target("buckets", ("low", "medium", "high"), edges=(-0.43, 0.43)),
    }  # fmt: skip
    covered = {(name, how): [] for name in targets for how in ("9 artists", "60 artists")}
    for _ in range(simulations):
        groups, y, first, second, _ = draw(120, shared, unequal, rng)
        X = np.column_stack([first, second, np.ones(len(y))])
        artist = groups % 60  # the last 60 are the new ones
        split = [np.isin(groups, range(*ends)) for ends in ((0, 39), (39, 48), (48, 60))]
        p = X @ np.linalg.lstsq(X[split[0]], y[split[0]], rcond=None)[0]
        out = np.empty(len(y))
        for fold in range(5):
            held, known = artist % 5 == fold, (groups < 60) & (artist % 5 != fold)
            out[held] = X[held] @ np.linalg.lstsq(X[known], y[known], rcond=None)[0]
        for name, target in targets.items():
            for how, values, calibrated, tested in (
                ("9 artists", p, split[1], split[2]), ("60 artists", out, groups < 60, groups >= 60),
            ):  # fmt: skip
                truth, predicted = arranged(target.kind, y, values / CORRELATION)
                if target.kind == "buckets":  # probabilities, as a model gives them
                    below = stats.norm.cdf(np.array(target.edges) - values[:, None])
                    predicted = np.diff(below, axis=1, prepend=0, append=1)
                learnt = conformal.calibrate(
                    target, truth[calibrated], predicted[calibrated], groups[calibrated]
                )
                covered_share = conformal.coverage(target, learnt, truth[tested], predicted[tested])
                covered[name, how].append(covered_share["0.9"]["coverage"])
    for (name, how), values in covered.items():
        print(f"{name}, calibrated on {how}: {100 * np.mean(values):.1f} % inside, nominal 90 %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--groups", nargs="+", type=int, default=[8, 20, 60, 200])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument(
        "--shared", type=float, default=0.5, help="variance that tracks of an artist have in common"
    )
    parser.add_argument(
        "--unequal", type=float, default=0.8, help="spread of the logarithm of tracks per artist"
    )
    parser.add_argument("--conformal", action="store_true")
    arguments = parser.parse_args()
    if arguments.conformal:
        return conformal_coverage(arguments.simulations, arguments.shared, arguments.unequal)
    truth = truths(arguments.shared, arguments.unequal)
    print(f"{'coverage [%] (median width)':27}" + "".join(f"{name:>23}" for name in truth))
    for artists in arguments.groups:
        started, rng, covered, widths, equal = time.monotonic(), np.random.default_rng(artists), [], [], []
        for simulation in range(arguments.simulations):
            sample = draw(artists, arguments.shared, arguments.unequal, rng)
            equal.append(bootstrap.equal_groups(sample[0]))
            intervals = measure(*sample, arguments.draws, simulation)
            covered.append([low <= truth[name] <= high for name, (low, high) in intervals.items()])
            widths.append([high - low for low, high in intervals.values()])
        cells = zip(100 * np.mean(covered, axis=0), np.median(widths, axis=0), strict=True)
        print(
            f"{artists:4} groups, {np.mean(equal):5.1f} equal  "
            + "".join(f"{share:15.1f} ({width:.2f}) " for share, width in cells)
            + f"  {time.monotonic() - started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
