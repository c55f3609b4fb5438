"""Heads and their losses against hand-written references, and through a saved model."""

import numpy as np
import pytest

from hitsong.backend import keras, tf
from hitsong.errors import UserError
from hitsong.models import heads
from hitsong.models.losses import CrossEntropy, CumulativeLink, Ranking

NAMES = {"buckets": ("low", "medium", "high"), "audio_features": ("tempo", "energy")}
COMBINATIONS = [(kind, loss) for kind, losses in heads.LOSSES.items() for loss in (None, *losses)]


def planted(kind, n=240, seed=0):
    """Inputs (n, 3), and a target that rises with the first."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    hidden = 2 * x[:, 0] + rng.logistic(size=n)
    y = {
        "popularity": 30 + 10 * hidden,
        "growth": -0.5 + hidden,
        "popular": hidden > 0.5,
        "buckets": np.digitize(hidden, [-1.5, 0.5]),
        "audio_features": np.column_stack([120 + 20 * hidden, 1 / (1 + np.exp(-hidden))]),
    }[kind]
    return x, y.astype(np.float32)


def network(kind, y, loss=None, bounded=False):
    """A head on a layer of scores, compiled."""
    head = heads.make_head({"kind": kind, "names": NAMES.get(kind, (kind,))}, y, loss, bounded)
    x = keras.Input((3,))
    model = keras.Model(x, head.outputs(keras.layers.Dense(head.n_scores)(x)))
    model.compile("adam", loss=head.losses, loss_weights=head.weights or None, jit_compile=False)
    return model, head


def named(head, y):
    """Targets by output, (n, 1) each."""
    return dict(zip(head.losses, y.reshape(len(y), -1, 1).transpose(1, 0, 2), strict=True))


def step(model, head, x, y):
    """One step of training: the loss before it."""
    return np.ravel(model.train_on_batch(x, named(head, y)))[0]  # then come those of each output


@pytest.mark.long
@pytest.mark.parametrize(("kind", "loss"), COMBINATIONS)
def test_a_compiled_checkpoint_goes_on_as_if_never_saved(kind, loss, tmp_path):
    keras.utils.set_random_seed(1)
    x, y = planted(kind, 32)
    model, head = network(kind, y, loss, bounded=True)
    step(model, head, x, y)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert step(again, head, x, y) == pytest.approx(step(model, head, x, y), rel=1e-5)
    for name, answer in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(again.predict(x, verbose=0)[name], answer, rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "loss"), COMBINATIONS)
def test_answers_and_losses_are_float32_in_mixed_precision(kind, loss):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        x, y = planted(kind, 16)
        model, head = network(kind, y, loss, bounded=True)
        assert model.layers[1].compute_dtype == "bfloat16"
        for answer in model(x).values():
            assert answer.dtype == tf.float32
        for name, item in head.losses.items():
            assert keras.losses.get(item)(named(head, y)[name], model(x)[name]).dtype == tf.float32
        assert np.isfinite(step(model, head, x, y))
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    ("kind", "loss", "suited"),
    [
        ("popular", "huber", "ranking"),
        ("buckets", "ranking", "ordinal"),
        ("audio_features", "ordinal", "huber"),
        ("popularity", "mse", "huber or ranking"),
    ],
)
def test_an_unsuitable_loss_is_refused_with_those_that_suit(kind, loss, suited):
    _, y = planted(kind, 8)
    with pytest.raises(UserError, match=f"'{loss}' does not suit the target {kind}; what does is {suited}"):
        network(kind, y, loss)


def test_classes_that_are_none_of_the_target_are_refused():
    with pytest.raises(ValueError, match="0 or 1"):
        heads.popular(np.array([0.0, 40.0]))
    with pytest.raises(ValueError, match="0 to 2"):
        heads.buckets(np.array([0.0, 3.0]), NAMES["buckets"])


# --- Ranking ----------------------------------------------------------------------------------------


def hinge_by_loops(y, p, scale, margin, w):
    total, pairs = 0.0, 0
    for i in range(len(y)):
        for j in range(i + 1, len(y)):
            if y[i] == y[j]:
                continue
            high, low = (i, j) if y[i] > y[j] else (j, i)
            total += (w[i] + w[j]) / 2 * max(0.0, margin - (p[high] - p[low]) / scale)
            pairs += 1
    return total / max(pairs, 1)


@pytest.mark.parametrize("pointwise", ["mean_squared_error", "binary_crossentropy"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_ranking_loss_is_the_pointwise_one_and_a_hinge_over_all_pairs(pointwise, weighted):
    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 2, 12).astype(float), rng.uniform(0.05, 0.95, 12)
    if pointwise == "mean_squared_error":
        y, p = 10 * rng.integers(0, 4, 12).astype(float), 30 * p  # with ties
    w = rng.uniform(0, 2, 12) if weighted else np.ones(12)
    alone = ((y - p) / 8.0) ** 2
    if pointwise == "binary_crossentropy":
        alone = -np.log(np.where(y == 1, p, 1 - p))
    expected = 0.7 * np.mean(w * alone) + 0.3 * hinge_by_loops(y, p, 8.0, 0.4, w)
    loss = Ranking(pointwise, scale=8.0, margin=0.4, weight=0.3)
    column = [values[:, None].astype(np.float32) for values in (y, p)]
    result = loss(*column, sample_weight=w.astype(np.float32) if weighted else None)
    assert float(result) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("y", [[5.0], [5.0, 5.0, 5.0]])
def test_without_a_pair_there_is_nothing_to_rank(y):
    y = np.array(y, np.float32)[:, None]
    p = y + np.arange(len(y), dtype=np.float32)[:, None]
    loss = Ranking("mean_squared_error", scale=2.0, weight=0.5)
    assert float(loss(y, p)) == pytest.approx(0.5 * np.mean(((y - p) / 2) ** 2))


def test_the_ranking_head_counts_in_standard_deviations_of_the_training_targets():
    _, y = planted("popularity")
    loss = heads.popularity(y, loss="ranking").losses["popularity"]
    same = heads.popularity(7 * y, loss="ranking").losses["popularity"]
    p = np.random.default_rng(0).permutation(y)[:, None]
    assert float(loss(y[:, None], p)) == pytest.approx(float(same(7 * y[:, None], 7 * p)), rel=1e-4)


# --- Huber and audio features -----------------------------------------------------------------------


def huber(errors):
    return np.where(np.abs(errors) <= 1, errors**2 / 2, np.abs(errors) - 0.5)


@pytest.mark.parametrize("loss", [None, "huber"])
def test_audio_features_weigh_alike_in_standard_deviations(loss):
    x, y = planted("audio_features")
    model, head = network("audio_features", y, loss)
    p = np.column_stack([item[:, 0] for item in model.predict(x, verbose=0).values()])
    errors = (y - p) / y.std(axis=0)
    expected = np.mean(huber(errors) if loss else errors**2)
    result = step(model, head, x, y)
    assert result == pytest.approx(expected, rel=1e-4)


def test_huber_of_popularity_turns_linear_at_one_standard_deviation():
    y = np.array([0.0, 20.0])  # standard deviation 10
    loss = heads.popularity(y, loss="huber").losses["popularity"]
    errors = np.array([[1.0], [10.0], [30.0]], np.float32)
    result = [float(loss(np.zeros((1, 1), np.float32), error[None])) for error in errors]
    np.testing.assert_allclose(result, huber(errors[:, 0] / 10), rtol=1e-6)


def test_a_constant_target_trains_without_a_division_by_zero():
    for kind, y in (("popularity", np.full(7, 0.1)), ("audio_features", np.tile([0.1, 0.0], (7, 1)))):
        for loss in heads.LOSSES[kind]:
            model, head = network(kind, y.astype(np.float32), loss, bounded=True)
            assert np.isfinite(step(model, head, np.ones((7, 3)), y.astype(np.float32)))


def test_bounded_features_lie_between_0_and_1_and_start_at_their_means():
    _, y = planted("audio_features")
    head = heads.audio_features(y, NAMES["audio_features"], bounded=True)
    at = head.outputs(np.array([[0.0, 0.0], [1e3, 1e3], [-0.1, -0.1], [0.1, 0.1]], np.float32))
    tempo, energy = (np.asarray(at[name])[:, 0] for name in NAMES["audio_features"])
    assert (tempo[0], energy[0]) == pytest.approx(y.mean(axis=0), rel=1e-4)
    assert tempo[1] == pytest.approx(y[:, 0].mean() + 1e3 * y[:, 0].std(), rel=1e-4)  # not bounded: 120 bpm
    assert energy[1] == pytest.approx(1)
    assert energy[3] - energy[2] == pytest.approx(
        0.2 * y[:, 1].std(), rel=0.05
    )  # a step of 1 is about a deviation


# --- Classes ----------------------------------------------------------------------------------------


def proportional_odds(score, thresholds):
    """Probabilities as differences of cumulative ones, in float64."""
    below = 1 / (1 + np.exp(-(np.asarray(thresholds)[None] - np.asarray(score)[:, None])))
    return np.diff(np.pad(below, [(0, 0), (1, 1)], constant_values=((0, 0), (0, 1))), axis=1)


@pytest.mark.parametrize("thresholds", [[0.3], [-1.0, 0.2, 2.5], [-2.0, -1.99, 0.0, 4.0]])
def test_the_ordinal_link_is_proportional_odds(thresholds):
    score = np.linspace(-4, 4, 9)
    result = np.exp(CumulativeLink(thresholds)(score[:, None].astype(np.float32)))
    np.testing.assert_allclose(result, proportional_odds(score, thresholds), rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-5)


def test_the_ordinal_link_keeps_small_probabilities_and_their_gradients():
    link, score = CumulativeLink([-1.0, 0.0, 1.0]), tf.constant([[60.0], [-60.0]])
    with tf.GradientTape() as tape:
        tape.watch(score)
        logs = link(score)
        lowest_and_highest = logs[0, 0] + logs[1, 3]
    np.testing.assert_allclose([logs[0, 0], logs[1, 3]], [-61, -61], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(lowest_and_highest, score), [[-1], [1]], rtol=1e-5)


def test_the_ordinal_head_starts_at_the_shares_of_the_training_tracks():
    y = np.repeat([0, 1, 2], [10, 70, 20])
    answer = heads.buckets(y, NAMES["buckets"], "ordinal").outputs(np.zeros((2, 1), np.float32))["buckets"]
    np.testing.assert_allclose(answer, [[0.1, 0.7, 0.2]] * 2, rtol=1e-5)
    rare = heads.buckets(np.repeat([0, 2], 10), NAMES["buckets"], "ordinal")
    answer = np.asarray(rare.outputs(np.zeros((1, 1), np.float32))["buckets"])
    assert (answer > 0).all()
    assert answer.argmin() == 1


@pytest.mark.long
def test_the_ordinal_head_minimises_the_likelihood_of_planted_ordered_data():
    keras.utils.set_random_seed(1)
    x, y = planted("buckets", 1500)
    model, head = network("buckets", y[:1000], "ordinal")
    model.optimizer.learning_rate = 0.05
    model.fit(x[:1000], named(head, y[:1000]), epochs=25, batch_size=100, verbose=0)
    link = model.get_layer("thresholds")
    thresholds = link.thresholds.numpy()
    assert (np.diff(thresholds) > 0).all()
    # What was planted: a slope of 2 and thresholds at -1.5 and 0.5, but for the bias of the scores.
    slope, bias = (weight.numpy() for weight in model.layers[1].weights)
    np.testing.assert_allclose(slope[:, 0], [2, 0, 0], atol=0.35)
    np.testing.assert_allclose(thresholds - bias, [-1.5, 0.5], atol=0.35)
    p = model.predict(x[1000:], verbose=0)["buckets"]
    truth = y[1000:].astype(int)
    loss = model.evaluate(x[1000:], named(head, y[1000:]), verbose=0, batch_size=500)
    by_hand = proportional_odds((x[1000:] @ slope + bias)[:, 0], thresholds)
    assert loss == pytest.approx(-np.mean(np.log(by_hand[np.arange(500), truth])), rel=1e-4)
    shares = np.bincount(y[:1000].astype(int)) / 1000
    assert loss < -np.mean(np.log(shares[truth])) - 0.2
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("loss", [None, "ordinal"])
def test_probabilities_of_classes_sum_to_one(loss):
    x, y = planted("buckets")
    model, _ = network("buckets", y, loss)
    p = model.predict(1e3 * x, verbose=0)["buckets"]
    assert p.shape == (240, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert ((p >= 0) & (p <= 1)).all()


def test_cross_entropy_of_shares_is_that_of_numbers_mixed_alike():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 8).astype(np.float32)
    a, b = rng.integers(0, 3, (2, 8))
    loss, eye = CrossEntropy(), np.eye(3, dtype=np.float32)
    apart = [float(loss(item[:, None].astype(np.float32), p)) for item in (a, b)]
    assert apart[0] == pytest.approx(-np.mean(np.log(p[np.arange(8), a])), rel=1e-5)
    assert float(loss(0.3 * eye[a] + 0.7 * eye[b], p)) == pytest.approx(
        0.3 * apart[0] + 0.7 * apart[1], rel=1e-5
    )
