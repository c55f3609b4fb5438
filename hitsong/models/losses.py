"""Losses and links that Keras lacks: standardised Huber, cross-entropy of mixed classes, ranking, the ordinal link.

All compute in float32, also where a network does not. Saved models name them: import this module before loading one.
"""

import numpy as np

from hitsong.backend import keras

MARGIN = 0.1  # standard deviations of the training targets
RANKING_WEIGHT = 0.5


@keras.saving.register_keras_serializable("hitsong")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy of classes given by number, (batch, 1), or, where mixup mixed them, by shares, (batch, classes)."""

    def call(self, y_true, y_pred):
        """The loss of each clip, from the probabilities of the classes: (batch,)."""
        if y_true.shape[-1] == 1:
            return keras.ops.sparse_categorical_crossentropy(y_true, y_pred)
        return keras.ops.categorical_crossentropy(y_true, y_pred)


@keras.saving.register_keras_serializable("hitsong")
class Huber(keras.losses.Loss):
    """Huber's loss of errors in standard deviations: half their square up to 1, beyond that linear (SmoothL1).

    `scale` is the standard deviation of the training targets. Keras's own Huber loss does not save its `delta`.
    """

    def __init__(self, scale, **options):
        super().__init__(**options)
        self.scale = scale

    def call(self, y_true, y_pred):
        return keras.losses.huber(y_true / self.scale, y_pred / self.scale)

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


@keras.saving.register_keras_serializable("hitsong")
class Ranking(keras.losses.Loss):
    """A pointwise loss and a hinge on the order of pairs, after Yu et al. (arXiv:1710.10814).

    Of two clips whose targets differ, the prediction of the higher should exceed the other by a margin:
    `max(0, margin - (p_high - p_low) / scale)`, averaged over pairs. The paper draws its pairs and trains a Siamese
    network on them; here every pair of a batch counts, at the cost of one pass over each clip. Ties are no pairs;
    without pairs the ranking part is 0. With sample weights a pair has the mean of its two clips' weights.

    Margin and weight are this project's own: with a margin well below a standard deviation, clips are ordered without
    large differences between predictions, which a weak signal does not support.

    Parameters
    ----------
    pointwise : str
        "mean_squared_error" (in units of `scale` squared) or "binary_crossentropy" (in nats).
    scale : float
        Standard deviation of the training targets: the unit of pairs' differences.
    margin : float
        In units of `scale`.
    weight : float
        Share of the ranking part in the loss, 0 to 1; the pointwise part has the rest.
    """

    def __init__(self, pointwise, scale, margin=MARGIN, weight=RANKING_WEIGHT, **options):
        super().__init__(**options)
        self.pointwise, self.scale, self.margin, self.weight = pointwise, scale, margin, weight

    def call(self, y_true, y_pred):
        """The loss of each clip, half of each of its pairs included: (batch,)."""
        alone = keras.losses.get(self.pointwise)(y_true, y_pred)
        if self.pointwise == "mean_squared_error":
            alone = alone / self.scale**2
        y, p = keras.ops.reshape(y_true, (-1,)), keras.ops.reshape(y_pred, (-1,))
        order = keras.ops.sign(y[:, None] - y[None, :])  # (batch, batch), 0 for ties
        lead = order * (p[:, None] - p[None, :]) / self.scale
        hinge = keras.ops.relu(self.margin - lead) * keras.ops.abs(order)
        pairs = keras.ops.sum(keras.ops.abs(order))  # each counted twice, as in `hinge`
        # Scaled so that the mean over clips, which is what Keras takes, is the mean over pairs.
        clips = keras.ops.cast(keras.ops.shape(y)[0], pairs.dtype)
        in_pairs = keras.ops.sum(hinge, axis=1) * clips / keras.ops.maximum(pairs, 1)
        return (1 - self.weight) * alone + self.weight * in_pairs

    def get_config(self):
        own = {name: getattr(self, name) for name in ("pointwise", "scale", "margin", "weight")}
        return super().get_config() | own


@keras.saving.register_keras_serializable("hitsong")
class CumulativeLink(keras.layers.Layer):
    """The ordinal model's link: from one score to the log-probabilities of ordered classes.

    Proportional odds (McCullagh, 1980, "Regression models for ordinal data"): the log-odds of a class of at most
    k are `threshold[k] - score`. A higher score makes higher classes more probable; thresholds are learnt, and
    stay in order because all but the first are kept as logarithms of their distance from the one below.

    Parameters
    ----------
    thresholds : sequence of float
        Their initial values, rising: one fewer than classes.
    """

    def __init__(self, thresholds, **options):
        super().__init__(**options)
        self.start = list(map(float, thresholds))

    def build(self, shape):
        start = np.concatenate([self.start[:1], np.log(np.diff(self.start))])
        self.steps = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(start, dtype),
            name="steps",
        )

    @property
    def thresholds(self):
        """The thresholds as they are now, rising: (classes - 1,)."""
        return keras.ops.cumsum(keras.ops.concatenate([self.steps[:1], keras.ops.exp(self.steps[1:])]))

    def call(self, scores):
        """Log-probabilities (batch, classes) of scores (batch, 1)."""
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): a product, so that logarithms of
        # small probabilities do not cancel.
        ops, thresholds = keras.ops, self.thresholds
        not_above = ops.log_sigmoid(thresholds - scores)
        above = ops.log_sigmoid(scores - thresholds)
        between = ops.log(-ops.expm1(-ops.exp(self.steps[1:])))
        return (
            ops.pad(not_above, [[0, 0], [0, 1]])
            + ops.pad(above, [[0, 0], [1, 0]])
            + ops.pad(between, [[1, 1]])
        )

    def get_config(self):
        return super().get_config() | {"thresholds": self.start}
