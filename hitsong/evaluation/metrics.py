"""Metrics of predictions: each one number from a truth `y` and a prediction `p`, by scikit-learn or SciPy.

Which of them belong to which kind of target, and what they are called, stands in `hitsong.evaluation.kinds`; `evaluate`
there measures all of a kind. Rows must be finite and at least 2 (`kinds.validate`).

Every metric is defined for every such input, without warnings: where ranking is impossible, because prediction or
truth is constant, correlations are 0.0 and ROC-AUC is 0.5; PR-AUC without a popular track is 0.0; balanced accuracy
averages over the classes that occur in the truth, macro-F1 over those that occur in truth or answers; kappa is 0.0
where truth and answers are all one class.
"""

import warnings

import numpy as np
from scipy import stats
from sklearn import metrics as sk

TOP = 10  # nDCG looks at one track in so many
THRESHOLD = 0.5
NARROW = 0.05  # of the truth's standard deviation: predictions of less are nearly all the mean

r2 = sk.r2_score
mse = sk.mean_squared_error
rmse = sk.root_mean_squared_error
mae = sk.mean_absolute_error


def spearman(y, p):
    """Rank correlation, ties by mid-ranks: -1 to 1."""
    return stats.spearmanr(y, p).statistic if _vary(y, p) else 0.0


def kendall(y, p):
    """Pairs in the right order less pairs in the wrong one, tau-b: -1 to 1."""
    return stats.kendalltau(y, p).statistic if _vary(y, p) else 0.0


def pearson(y, p):
    """Linear correlation: -1 to 1."""
    return stats.pearsonr(y, p).statistic if _vary(y, p) else 0.0


def ndcg(y, p):
    """Popularity gained in the highest tenth of predictions, relative to the best order (Järvelin & Kekäläinen, 2002).

    A prediction that is the same for all tracks has the value of chance.
    """
    return sk.ndcg_score([gains(y)], [p], k=places(len(y)))


def places(tracks):
    """How many tracks the highest tenth of a number of tracks holds, at least one."""
    return -(-tracks // TOP)


def roc_auc(y, p):
    """Area under the curve of true against false positive rate."""
    return sk.roc_auc_score(y, p) if np.ptp(y) > 0 else 0.5


def pr_auc(y, p):
    """Area under the curve of precision against recall, as average precision."""
    with _quiet():
        return sk.average_precision_score(y, p)


def brier(y, p):
    """Mean squared error of the probability."""
    return sk.brier_score_loss(y, p, pos_label=1)


def accuracy(y, p):
    """Share of right answers."""
    return sk.accuracy_score(y, answers(p))


def balanced_accuracy(y, p):
    """Share of right answers in each class that occurs, averaged."""
    with _quiet():
        return sk.balanced_accuracy_score(y, answers(p))


def macro_f1(y, p):
    """F1 score of each class that occurs, averaged."""
    return sk.f1_score(y, answers(p), average="macro", zero_division=0)


def quadratic_kappa(y, p):
    """Agreement beyond chance, where an error counts by the square of its distance (Cohen, 1968): -1 to 1."""
    if len(np.union1d(y, answers(p))) < 2:
        return 0.0
    return sk.cohen_kappa_score(y, answers(p), labels=np.arange(p.shape[1]), weights="quadratic")


def confusion(y, p):
    """Counts of tracks, rows by true class, columns by answer: nested lists."""
    return sk.confusion_matrix(y, answers(p), labels=np.arange(2 if p.ndim == 1 else p.shape[1])).tolist()


def answers(p):
    """The class that probabilities name: of two classes 1 from 0.5 on, of several the most probable.

    Parameters
    ----------
    p : np.ndarray [shape=(n,) or (n, classes)]

    Returns
    -------
    np.ndarray [shape=(n,), dtype=int]
    """
    return (p >= THRESHOLD).astype(int) if p.ndim == 1 else p.argmax(axis=1)


def gains(y):
    """What a track contributes to nDCG: its target, shifted to begin at 0 where it can be negative."""
    return y - min(0, y.min())


def collapsed(y, p):
    """Say whether a model predicts (nearly) the same for every track.

    True when the predictions' standard deviation is below `NARROW` of the truth's (calibrated ones then reach an R2 of
    0.0025 at most), or they take fewer than 3 distinct values although there are that many tracks. Of classes the
    expected number counts; of several numbers one that has collapsed is enough.
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    if y.ndim == 2:
        return any(collapsed(a, b) for a, b in zip(y.T, p.T, strict=True))
    if p.ndim == 2:
        p = p @ np.arange(p.shape[1])
    return bool(p.std() < NARROW * y.std() or len(np.unique(p)) < min(3, len(p)))


def _vary(y, p):
    return np.ptp(y) > 0 and np.ptp(p) > 0


def _quiet():
    """Without warnings about classes that do not occur: the conventions above cover them."""
    return warnings.catch_warnings(action="ignore")
