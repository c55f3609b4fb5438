"""Augmentation, the two networks of today, probes and ensembles."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from hitsong.backend import keras, tf
from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.evaluation import baseline, kinds
from hitsong.models import attention_cnn, augment, short_chunk_cnn
from hitsong.training import ensemble, probe
from hitsong.training.bundle import weighted_mean

TARGETS = {
    "popularity": Target("popularity"),
    "popular": Target("popular", threshold=30.0),
    "buckets": Target("buckets", ("low", "medium", "high"), edges=(27.0, 33.0)),
    "audio_features": Target("audio_features", ("valence", "tempo")),
}


@pytest.fixture
def mels():
    return np.random.default_rng(0).normal(size=(6, 16, 40)).astype(np.float32)


# --- SpecAugment ------------------------------------------------------------------------------------


def test_spec_augment_is_silent_in_inference(mels):
    np.testing.assert_array_equal(augment.SpecAugment()(mels, training=False), mels)


def test_spec_augment_masks_bands_and_stretches_up_to_their_share():
    keras.utils.set_random_seed(1)
    x = np.ones((400, 20, 50), np.float32)
    masked = np.asarray(augment.SpecAugment(time=0.2, frequency=0.3)(x, training=True)) == 0
    bands, stretches = masked.all(axis=2), masked.all(axis=1)
    # Nothing but whole bands and whole stretches is masked.
    np.testing.assert_array_equal(masked, bands[:, :, None] | stretches[:, None, :])
    for axis, widest in ((bands, 6), (stretches, 10)):
        widths = axis.sum(axis=1)
        assert set(widths) == set(range(widest + 1))  # drawn for each clip, and all occur
        starts = (np.diff(np.pad(axis, [(0, 0), (1, 1)]).astype(int), axis=1) == 1).sum(axis=1)
        np.testing.assert_array_equal(starts, widths > 0)  # in one piece
        assert axis.any(axis=0).all()  # anywhere


def test_two_masks_cover_more_than_one():
    keras.utils.set_random_seed(1)
    x = np.ones((200, 20, 50), np.float32)
    kept = [float(np.mean(augment.SpecAugment(masks=masks)(x, training=True))) for masks in (1, 2)]
    assert kept[1] < kept[0] - 0.1


# --- Crops ------------------------------------------------------------------------------------------


def cropping(frames=12, count=3, size=(16, 40)):
    """A small network on crops, and the same trunk alone."""
    x = keras.Input((size[0], frames))
    trunk = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Activation("tanh")(x))))
    clip = keras.Input(size)
    scores = augment.CropMean(count)(trunk(augment.Crops(frames, count)(clip)))
    return keras.Model(clip, scores), trunk


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_in_inference_scores_are_the_mean_over_crops_from_start_to_end(mels, count):
    model, trunk = cropping(count=count)
    starts = [round(28 * place / max(count - 1, 1)) for place in range(count)]
    by_hand = np.mean([trunk(mels[:, :, start : start + 12]) for start in starts], axis=0)
    for predictions in (model(mels), model.predict(mels, batch_size=4, verbose=0)):  # 4, then 2 clips
        np.testing.assert_allclose(predictions, by_hand, rtol=1e-4, atol=1e-5)


def test_in_training_a_random_crop_of_each_clip_is_heard():
    keras.utils.set_random_seed(1)
    clips = np.arange(40, dtype=np.float32) * np.ones((500, 3, 1), np.float32)
    crops = np.asarray(augment.Crops(12, 3)(clips, training=True))
    assert crops.shape == (500, 3, 12)
    np.testing.assert_array_equal(crops - crops[:, :, :1], np.arange(12) * np.ones((500, 3, 1)))
    assert set(crops[:, 0, 0]) == set(range(29))  # all places, the last included


def test_crops_train_with_batches_of_any_size_and_survive_saving(mels, tmp_path):
    model, _ = cropping()
    model.compile("adam", "mean_squared_error", jit_compile=False)
    model.fit(mels, np.ones((6, 2)), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(mels, verbose=0), model.predict(mels, verbose=0), rtol=1e-5)


def test_clips_shorter_than_a_crop_are_refused():
    with pytest.raises(ValueError, match="crops of 50 frames of clips that have 40"):
        augment.Crops(50, 3)(np.zeros((1, 16, 40), np.float32))


def test_the_randomness_of_layers_is_a_state_that_can_be_set_anew(mels):
    for layer in (augment.SpecAugment(), augment.Crops(12, 3)):
        (state,) = [variable for variable in layer.variables if variable.name == "seed_generator_state"]
        drawn = []
        for seed in (5, 6, 5):
            state.assign([seed, 0])
            drawn.append(np.asarray(layer(mels, training=True)))
        np.testing.assert_array_equal(drawn[0], drawn[2])
        assert not np.array_equal(drawn[0], drawn[1])


# --- Mixup ------------------------------------------------------------------------------------------


def batch(n=12):
    rng = np.random.default_rng(0)
    inputs = {"mel": rng.normal(size=(n, 4, 5)), "tags": rng.normal(size=(n, 3))}
    y = {"tempo": rng.normal(size=(n, 1)), "energy": rng.normal(size=(n, 1))}
    return tf.nest.map_structure(lambda x: tf.constant(x, tf.float32), (inputs, y))


def test_mixup_gives_all_inputs_and_targets_the_same_partner_and_weight():
    (inputs, y), result = batch(), augment.mixup(*batch(), 0.4, [1, 2])
    before, after = (
        np.concatenate([np.reshape(x, (12, -1)) for x in tf.nest.flatten(parts)], axis=1)
        for parts in ((inputs, y), result)
    )
    mixing = after @ np.linalg.pinv(before)  # (12, 12): row i mixes clip i with its partner
    weight = np.median(np.diag(mixing))
    assert 0 < weight < 1
    others = mixing - weight * np.eye(12)
    partner = others.argmax(axis=1)
    assert sorted(partner) == list(range(12))
    np.testing.assert_allclose(others, (1 - weight) * np.eye(12)[partner], atol=1e-4)


def test_mixup_keeps_totals_and_follows_its_seed():
    inputs, y = batch()
    mixed = [augment.mixup(inputs, y, 0.4, seed)[0]["mel"] for seed in ([1, 2], [1, 3], [1, 2])]
    np.testing.assert_array_equal(mixed[0], mixed[2])
    assert not np.array_equal(mixed[0], mixed[1])
    for item in mixed:
        np.testing.assert_allclose(np.sum(item, axis=0), np.sum(inputs["mel"], axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_draws_its_weight_from_a_beta_distribution(alpha):
    pair = {"x": tf.constant([[0.0], [1.0]])}
    draw = tf.function(lambda seed: augment.mixup(pair, {}, alpha, seed)[0]["x"][0, 0])
    drawn = np.array([draw(tf.constant([7, number])) for number in range(600)])
    # Half of the time a clip's partner is itself, and its value stays 0.
    mixed = drawn[drawn > 0]
    assert mixed.mean() == pytest.approx(0.5, abs=0.06)
    assert mixed.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_mixup_turns_numbers_of_buckets_into_shares_of_classes():
    inputs = {"x": tf.eye(4)}
    numbers = np.array([0, 2, 1, 2])
    y = {"buckets": tf.constant(numbers[:, None], tf.float32)}
    mixed, shares = augment.mixup(inputs, y, 1.0, [3, 4], classes=3)
    np.testing.assert_allclose(shares["buckets"], np.asarray(mixed["x"]) @ np.eye(3)[numbers], rtol=1e-5)
    with pytest.raises(ValueError, match="number of classes"):
        augment.mixup(inputs, y, 1.0, [3, 4])


def test_mixup_maps_over_a_stream_of_batches():
    stream = tf.data.Dataset.from_tensor_slices(batch()).batch(5).enumerate()
    mixed = list(
        stream.map(lambda number, parts: augment.mixup(*parts, 0.4, [tf.constant(9, tf.int64), number]))
    )
    assert [len(inputs["mel"]) for inputs, _ in mixed] == [5, 5, 2]


# --- Networks ---------------------------------------------------------------------------------------


def network(trunk, size, **parameters):
    x = keras.Input(size, name="mel")
    model = keras.Model({"mel": x}, trunk({"mel": x}, 2, **parameters))
    model.compile("adam", "mean_squared_error", jit_compile=False)
    return model


@pytest.mark.long
@pytest.mark.parametrize(
    ("trunk", "size"),
    [
        (short_chunk_cnn.trunk, (128, 40)),
        (short_chunk_cnn.trunk, (96, 3)),
        (attention_cnn.trunk, (128, 323)),
        (attention_cnn.trunk, (64, 16)),
    ],
)
def test_a_network_trains_and_is_the_same_after_saving(trunk, size, tmp_path):
    x = {"mel": np.random.default_rng(0).normal(size=(4, *size)).astype(np.float32)}
    model = network(trunk, size, channels=8)
    assert np.isfinite(model.train_on_batch(x, np.ones((4, 2))))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(x), model(x), rtol=1e-4, atol=1e-5)
    assert not np.array_equal(model(x, training=True), model(x, training=True))  # dropout


def test_the_short_chunk_cnn_has_the_papers_parameters_at_128_channels():
    """Counted from the paper's table: seven blocks of three 3 x 3 convolutions, then 512 -> 512 -> 50."""
    count, before = 4, 1  # the norm of the input
    for filters in (128, 128, 256, 256, 256, 256, 512):
        count += 2 * (9 * before * filters + filters) + 9 * filters * filters + filters
        count += 3 * 4 * filters  # norms
        before = filters
    count += 512 * 512 + 512 + 4 * 512 + 50 * 512 + 50
    x = keras.Input((128, 231))
    assert keras.Model(x, short_chunk_cnn.trunk({"mel": x}, 50, channels=128)).count_params() == count


def test_the_short_chunk_cnn_halves_both_axes_until_nothing_is_left_to_halve():
    model = network(short_chunk_cnn.trunk, (128, 40), channels=4)
    sums = [layer.output.shape[1:3] for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert sums == [(64, 20), (32, 10), (16, 5), (8, 3), (4, 2), (2, 1), (1, 1)]


def test_attention_weighs_frames_and_follows_a_moment_wherever_it_is():
    keras.utils.set_random_seed(1)
    layer = attention_cnn.AttentionPooling(heads=2, units=8)
    x = np.random.default_rng(0).normal(size=(3, 20, 5)).astype(np.float32)
    pooled, weights = np.asarray(layer(x)), np.asarray(layer.weights_of(x))
    assert weights.shape == (3, 20, 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    by_hand = np.stack([[weights[n, :, head] @ x[n] for head in range(2)] for n in range(3)])
    np.testing.assert_allclose(pooled, by_hand.reshape(3, 10), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(x[:, ::-1]), pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_attention_learns_to_find_the_one_frame_that_matters():
    """A marked frame at a random place holds the answer, which a plain mean drowns in forty others."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 40, 6)).astype(np.float32)
    x[:, :, 0] = 0
    place, answer = rng.integers(0, 40, 600), rng.normal(size=600).astype(np.float32)
    x[np.arange(600), place, 0], x[np.arange(600), place, 1] = 3, answer
    model = keras.Sequential([attention_cnn.AttentionPooling(1, 8), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mean_squared_error", jit_compile=False)
    model.fit(x[:400], answer[:400], epochs=20, batch_size=32, verbose=0)
    assert model.evaluate(x[400:], answer[400:], verbose=0) < 0.2  # of a variance of 1
    weights = np.asarray(model.layers[0].weights_of(x[400:]))[:, :, 0]
    assert (weights.argmax(axis=1) == place[400:]).mean() > 0.7


def test_clips_too_short_for_attention_are_refused_with_advice():
    with pytest.raises(UserError, match=r"attention_cnn needs mels of at least 16 frames.*hop_length"):
        network(attention_cnn.trunk, (16, 15))


# --- Probes -----------------------------------------------------------------------------------------


def random_rows(kind, n=260, curved=False, seed=0):
    """Tables of what a network heard, with gaps, and a target planted in them."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, 6))
    X = pd.DataFrame(Z * [1, 50, 1, 1, 1, 1], columns=[f"embedding:embedding_{i:03d}" for i in range(6)])
    X["tags:rock"] = rng.uniform(size=n)
    X = X.mask(rng.uniform(size=X.shape) < 0.03)
    signal = np.abs(Z[:, 0]) * 2 - 1.6 if curved else Z[:, 0] + Z[:, 1]
    hidden = signal + 0.5 * rng.normal(size=n)
    y = {
        "popularity": 30 + 8 * hidden,
        "popular": hidden > 0,
        "buckets": np.digitize(hidden, [-1, 1]),
        "audio_features": np.column_stack([hidden / 5, 120 - 30 * hidden]),
    }[kind]
    return X, np.asarray(y, np.float32)


def chosen(kind, estimators=probe.ESTIMATORS, curved=False):
    X, y = random_rows(kind, curved=curved)
    fitted, scores = probe.choose_estimator(
        X[:180], y[:180], X[180:], y[180:], TARGETS[kind], [1.0, 100.0], 1, estimators
    )
    return fitted, scores, X[180:], y[180:]


@pytest.mark.parametrize("kind", TARGETS)
def test_the_perceptron_finds_what_is_planted_in_any_target(kind):
    fitted, scores, X, y = chosen(kind, ("mlp",))
    p = baseline.predict(fitted, X, TARGETS[kind])
    measured = kinds.evaluate(kind, y, p)
    assert scores == {"mlp": {name: measured[name] for name in kinds.KINDS[kind].compared}}
    assert measured[kinds.main(kind)] > {"popular": 0.85, "buckets": 0.5}.get(kind, 0.75)
    again, *_ = chosen(kind, ("mlp",))
    np.testing.assert_array_equal(baseline.predict(again, X, TARGETS[kind]), p)  # seeded


@pytest.mark.parametrize("curved", [False, True])
def test_the_probe_keeps_whichever_ranks_validation_best(curved):
    fitted, scores, X, y = chosen("popularity", curved=curved)
    best = max(scores, key=lambda name: scores[name]["spearman"])
    metrics = kinds.evaluate("popularity", y, baseline.predict(fitted, X, TARGETS["popularity"]))
    assert scores[best] == {name: metrics[name] for name in kinds.KINDS["popularity"].compared}
    assert best != (
        "ridge" if curved else "trees"
    )  # a line cannot follow an absolute value, nor steps a line
    assert json.loads(json.dumps(scores)) == scores


def test_the_probes_ridge_is_the_baselines():
    fitted, _, X, _ = chosen("buckets", ("ridge",))
    X_train, y_train = (part[:180] for part in random_rows("buckets"))
    own = baseline.fit(X_train, y_train, TARGETS["buckets"], SimpleNamespace(alphas=[1.0, 100.0]), 1)
    target = TARGETS["buckets"]
    np.testing.assert_array_equal(baseline.predict(fitted, X, target), baseline.predict(own, X, target))


def test_probes_hold_out_whole_artists(monkeypatch):
    """Features that identify the artist say nothing of new ones; only folds that part artists' tracks reward them."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    X = pd.DataFrame(rng.normal(size=(40, 30))[groups] + 0.05 * rng.normal(size=(200, 30)))
    X.columns = [f"embedding:{column}" for column in X]
    y = (50 + 20 * rng.normal(size=40)[groups] + rng.normal(size=200)).astype(np.float32)
    target, spreads = TARGETS["popularity"], []
    for given in (groups, None):
        fitted, _ = probe.choose_estimator(X, y, X, y, target, [0.1, 1e4], 1, ("ridge",), given)
        spreads.append(np.std(baseline.predict(fitted, X, target)))
    assert spreads[0] < 0.1 * spreads[1]  # the penalty that suits new artists, or known ones
    held_out, hold_out = [], baseline.hold_out

    def recorded(*arguments, **options):
        held_out.append(hold_out(*arguments, **options))
        return held_out[-1]

    monkeypatch.setattr(baseline, "hold_out", recorded)
    probe.choose_estimator(X, y, X, y, target, [0.1, 1e4], 1, ("trees", "mlp"), groups)
    for held in held_out:
        assert 0 < held.mean() <= 0.15
        assert not set(groups[held]) & set(groups[~held])
    assert len(held_out) == 2


@pytest.mark.parametrize("kind", ["popularity", "buckets"])
def test_the_perceptron_makes_do_with_a_dozen_tracks_and_empty_columns(kind):
    X, y = random_rows(kind)
    X["tags:rock"] = np.nan
    y = np.arange(260) % 2 if kind == "buckets" else y  # and no track of the third class
    fitted, _ = probe.choose_estimator(X[:12], y[:12], X[12:], y[12:], TARGETS[kind], None, 1, ("mlp",))
    p = baseline.predict(fitted, X[12:], TARGETS[kind])
    assert np.isfinite(p).all()
    assert p.shape == ((248, 3) if kind == "buckets" else (248,))


# --- Ensembles --------------------------------------------------------------------------------------


def members(kind, n=150, seed=0):
    """Predictions of three models of different worth, and the truth."""
    rng = np.random.default_rng(seed)
    if kind in ("popular", "buckets"):
        classes = 2 if kind == "popular" else 3
        y = rng.integers(0, classes, n).astype(float)
        sure = [
            np.eye(classes)[y.astype(int)] * clear + rng.gamma(1, 1, (n, classes))
            for clear in (2.0, 1.0, 0.0)
        ]
        sure = [item / item.sum(axis=1, keepdims=True) for item in sure]
        return {
            name: item[:, 1] if kind == "popular" else item for name, item in zip("abc", sure, strict=True)
        }, y
    y = rng.normal([0.5, 120], [0.1, 30], (n, 2)) if kind == "audio_features" else rng.normal(30, 10, n)
    spread = y.std(axis=0)
    return {
        name: y + noise * spread * rng.normal(size=y.shape)
        for name, noise in (("a", 0.5), ("b", 0.8), ("c", 3.0))
    }, y


def error(weights, predictions, y, kind):
    """What `fit` says it minimises."""
    mixed = sum(weight * item for weight, item in zip(weights, predictions.values(), strict=True))
    if kind == "buckets":
        return np.mean(np.sum((mixed - np.eye(3)[y.astype(int)]) ** 2, axis=1))
    return np.mean(((mixed - y) / np.std(y, axis=0)) ** 2)


@pytest.mark.parametrize("kind", TARGETS)
def test_weights_are_the_best_convex_ones(kind):
    predictions, y = members(kind)
    groups, prior = np.arange(len(y)), ensemble.PRIOR
    shrunk = ensemble.fit_weights(predictions, y, groups, TARGETS[kind])
    # What the tracks say by themselves, without the say that equal weights have.
    weights = {a: (w * (len(y) + prior) - prior / 3) / len(y) for a, w in shrunk.items()}
    assert list(weights) == ["a", "b", "c"]
    assert min(weights.values()) >= -1e-9
    assert sum(weights.values()) == pytest.approx(1)
    reference = minimize(
        error, np.full(3, 1 / 3), (predictions, y, kind), bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, tol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(list(weights.values()), reference.x, atol=2e-3)
    assert error(weights.values(), predictions, y, kind) <= reference.fun + 1e-9
    mixed = weighted_mean(weights, predictions)
    assert mixed.shape == predictions["a"].shape
    if kind == "buckets":
        np.testing.assert_allclose(mixed.sum(axis=1), 1)


def test_a_perfect_member_takes_all_that_few_artists_can_give_it():
    y, target = np.arange(10_000.0), TARGETS["popularity"]
    result = {"noise": y[::-1], "truth": y}
    assert ensemble.fit_weights(result, y, np.arange(10_000), target)["truth"] == pytest.approx(1, abs=0.002)
    of_few = ensemble.fit_weights(
        result, y, np.arange(10_000) % 30, target
    )  # as many groups as equal weights stand for
    assert of_few == pytest.approx({"noise": 0.25, "truth": 0.75})
    twins = ensemble.fit_weights({"a": y + 1, "b": y + 1}, y, np.arange(10_000), target)
    assert sum(twins.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", TARGETS)
def test_cross_validated_predictions_come_from_weights_of_other_artists(kind):
    predictions, y = members(kind, 60)
    groups = np.repeat(np.arange(20), 3)
    predicted_values = ensemble.predict_out_of_fold(predictions, y, groups, TARGETS[kind], seed=1)
    assert predicted_values.shape == predictions["a"].shape
    # Spoiling the truth of one group changes every prediction but those of its own fold.
    spoilt = y.copy()
    spoilt[groups == 7] = (
        spoilt[groups == 7] * 0 if kind in ("popular", "buckets") else -5 * spoilt[groups == 7]
    )
    again = ensemble.predict_out_of_fold(predictions, spoilt, groups, TARGETS[kind], seed=1)
    same = np.isclose(predicted_values, again, rtol=1e-9).reshape(60, -1).all(axis=1)
    assert same[groups == 7].all()
    assert len(set(groups[same])) == 4  # a fifth of the groups


def test_an_ensemble_of_useless_members_does_not_flatter_itself():
    rng = np.random.default_rng(0)
    y, groups = rng.normal(size=80), np.repeat(np.arange(16), 5)
    useless = {str(number): rng.normal(size=80) for number in range(20)}
    target = TARGETS["popularity"]
    flattered = weighted_mean(ensemble.fit_weights(useless, y, groups, target), useless)
    honest = ensemble.predict_out_of_fold(useless, y, groups, target, seed=1)
    flattery, truth = (kinds.evaluate("popularity", y, item)["spearman"] for item in (flattered, honest))
    assert flattery > truth + 0.1
    assert truth < 0.1
