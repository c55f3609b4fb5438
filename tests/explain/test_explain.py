"""Explanations against planted reasons, closed forms, and models that know nothing."""

import io
import math
import re
from types import SimpleNamespace

import librosa
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from hitsong.backend import keras
from hitsong.config import Mel
from hitsong.data.targets import Target
from hitsong.explain import across_tracks
from hitsong.explain.gradients import integrated_gradients, sum_over_patches
from hitsong.explain.lime import lime
from hitsong.explain.mels import band_edges, band_medians, patch_size, score_function, score_of_mels
from hitsong.explain.occlusion import occlusion
from hitsong.explain.permutation import permutation_importance
from hitsong.report import charts, dependence_figures, explanation_figures

N_MELS, FRAMES = 24, 64
PATCH = (4, 8)


# ---------------------------------------------------------------------- planted reasons


def plant(count, rng):
    """Noise with the tilt of music; a blob in half of the clips raises the target, another one does nothing."""
    tilt = -30 - np.linspace(0, 25, N_MELS)[:, None]
    mels = tilt + rng.normal(0, 4, (count, N_MELS, FRAMES)) + rng.normal(0, 3, (count, 1, 1))
    blobs = np.zeros((2, count, N_MELS, FRAMES), bool)
    there = rng.random((2, count)) < 0.5
    for blob, band in zip(blobs, (np.s_[14:19], np.s_[4:9]), strict=True):
        for clip, start in enumerate(rng.integers(0, FRAMES - 10, count)):
            blob[clip, band, start : start + 10] = True
    for blob, audible in zip(blobs, there, strict=True):
        mels[blob & audible[:, None, None]] += 12
    y = 20 + 20 * there[0] + rng.normal(0, 2, count)
    return mels.astype(np.float32), y.astype(np.float32), *blobs, there.all(axis=0)


def network(seed):
    keras.utils.set_random_seed(seed)
    mel = keras.Input((N_MELS, FRAMES), name="mel")
    x = keras.layers.Rescaling(1 / 15, offset=42 / 15)(mel)
    x = keras.layers.Reshape((N_MELS, FRAMES, 1))(x)
    x = keras.layers.Conv2D(8, 5, activation="relu")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Conv2D(16, 3, activation="relu")(x)
    x = keras.layers.MaxPooling2D((1, 28))(x)
    x = keras.layers.Dense(1)(keras.layers.Flatten()(x))
    return keras.Model({"mel": mel}, {"popularity": keras.layers.Rescaling(10, offset=30)(x)})


@pytest.fixture(scope="module")
def planted():
    """A network that learnt the planted reason, and held-out clips with both blobs."""
    mels, y, *_ = plant(384, np.random.default_rng(0))
    model = network(seed=1)
    model.compile(keras.optimizers.Adam(3e-3), "mean_squared_error", jit_compile=False)
    model.fit({"mel": mels}, {"popularity": y}, epochs=12, batch_size=32, verbose=0)
    mels, y, reason, decoy, combined = plant(100, np.random.default_rng(5))
    assert np.corrcoef(predictor(model)(mels), y)[0, 1] > 0.9
    chosen = np.flatnonzero(combined)[:10]
    return SimpleNamespace(model=model, mels=mels[chosen], reason=reason[chosen], decoy=decoy[chosen])


def predictor(model):
    return lambda mels: model.predict_on_batch({"mel": mels})["popularity"][:, 0]


WAYS = {
    "occlusion": lambda model, mel: occlusion(predictor(model), mel, PATCH).values,
    "gradients": lambda model, mel: integrated_gradients(
        model, {"mel": mel}, {"mel": band_medians(mel)}
    ).values["mel"],
    "lime": lambda model, mel: lime(predictor(model), mel, PATCH, samples=400).values,
}


def share(values, place):
    """Which share of what a map finds positive lies in a place."""
    positive = np.maximum(values, 0)
    return positive[place].sum() / positive.sum()


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_a_map_points_to_the_planted_reason_and_not_to_the_decoy(way, planted, rng):
    ratios, astray = [], []
    for mel, reason, decoy in zip(planted.mels, planted.reason, planted.decoy, strict=True):
        values = WAYS[way](planted.model, mel)
        shifts = np.column_stack([rng.integers(n, size=100) for n in values.shape])
        chance = np.mean([share(np.roll(values, shift, axis=(0, 1)), reason) for shift in shifts])
        ratios.append(share(values, reason) / chance)
        astray.append(share(values, decoy & ~reason) / share(values, reason))
    assert np.mean(ratios) > 9  # three times what is asked; measured: 12 to 20
    assert min(ratios) > 3
    assert np.mean(astray) < 0.25


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_random_weights_give_another_map(way, planted):
    """Adebayo et al. (2018): a map that survives them would be about the clip, not about the model."""
    untrained = network(seed=2)
    agreement = [
        stats.spearmanr(*(WAYS[way](model, mel) for model in (planted.model, untrained)), axis=None).statistic
        for mel in planted.mels
    ]
    assert np.mean(agreement) < 0.3  # with itself it is 1


def test_silence_misleads_more_than_the_usual_level(planted):
    """Why parts are replaced by their band's median: where silence replaces them, the map strays."""
    shares = {"usual": [], "silence": []}
    for mel, reason in zip(planted.mels, planted.reason, strict=True):
        for name, replacement in (("usual", None), ("silence", np.full((N_MELS, 1), -80.0))):
            values = occlusion(predictor(planted.model), mel, PATCH, replacement=replacement).values
            shares[name].append(share(values, reason))
    assert np.mean(shares["usual"]) > 1.2 * np.mean(shares["silence"])


# ---------------------------------------------------------------------- occlusion


def test_occlusion_of_a_sum_is_what_each_part_adds_to_it(rng):
    mel, weights = rng.normal(-40, 10, (2, 8, 12))

    def predict(mels):
        return (weights * mels).sum(axis=(1, 2))

    explanation = occlusion(predict, mel, (4, 3), overlap=1)
    adds = (weights * (mel - np.median(mel, axis=1, keepdims=True))).reshape(2, 4, 4, 3).sum(axis=(1, 3))
    np.testing.assert_allclose(
        explanation.values, np.repeat(np.repeat(adds, 4, 0), 3, 1), rtol=1e-3, atol=1e-2
    )
    assert explanation.score == pytest.approx(float(predict(mel[None])[0]), rel=1e-5)
    assert explanation.calls == 1 + 2 * 4


@pytest.mark.parametrize(
    ("shape", "overlap", "calls"), [((128, 323), 2, 601), ((128, 323), 1, 169), ((13, 7), 2, 2)]
)
def test_occlusion_reaches_every_bin_at_the_cost_it_states(shape, overlap, calls):
    explanation = occlusion(lambda mels: mels.mean(axis=(1, 2)), np.zeros(shape), patch_size(Mel()), overlap)
    assert explanation.calls == calls
    assert np.isfinite(explanation.values).all()


def test_the_usual_level_leaves_padding_out(rng):
    music = rng.normal(-40, 5, (6, 20))
    padded = np.hstack([music, np.full((6, 80), -100.0)])
    np.testing.assert_allclose(band_medians(padded)[:, 0], np.median(music, axis=1))


def test_a_silent_clip_has_nothing_to_explain():
    silent = np.full((8, 12), -100.0)
    assert not occlusion(lambda mels: mels.mean(axis=(1, 2)), silent, (2, 3)).values.any()
    assert not lime(lambda mels: mels.mean(axis=(1, 2)), silent, (2, 3), samples=50).values.any()


# ---------------------------------------------------------------------- LIME


def test_lime_finds_the_weights_of_a_sum(rng):
    mel = rng.normal(-40, 10, (8, 12))
    worth = rng.normal(0, 1, (2, 4))

    def additive(mels):
        kept = (np.abs(mels - band_medians(mel)) > 1e-3).reshape(-1, 2, 4, 4, 3).any(axis=(2, 4))
        return (kept * worth).sum(axis=(1, 2))

    explanation = lime(additive, mel, (4, 3), samples=200)
    np.testing.assert_allclose(explanation.values[::4, ::3], worth, atol=0.01)
    assert explanation.r2 > 0.999
    assert explanation.score == pytest.approx(worth.sum(), abs=1e-3)
    again = lime(additive, mel, (4, 3), samples=200)
    np.testing.assert_array_equal(explanation.values, again.values)


def test_lime_admits_that_a_line_does_not_fit(rng):
    mel = rng.normal(-40, 10, (8, 12))

    def parity(mels):
        kept = (np.abs(mels - band_medians(mel)) > 1e-3).reshape(-1, 2, 4, 4, 3).any(axis=(2, 4))
        return kept.sum(axis=(1, 2)) % 2.0

    assert lime(parity, mel, (4, 3), samples=300).r2 < 0.3
    assert lime(lambda mels: np.ones(len(mels)), mel, (4, 3), samples=50).r2 == 0


# ---------------------------------------------------------------------- integrated gradients


def test_gradients_sum_up_to_the_difference_of_the_scores(planted):
    predict = predictor(planted.model)
    for mel in planted.mels:
        usual = band_medians(mel)
        attribution = integrated_gradients(planted.model, {"mel": mel}, {"mel": usual})
        baseline = np.broadcast_to(usual, mel.shape).astype(np.float32)
        difference = predict(mel[None])[0] - predict(baseline[None])[0]
        assert attribution.score - attribution.baseline == pytest.approx(difference, rel=1e-4)
        assert attribution.values["mel"].sum() == pytest.approx(difference, rel=0.02)
        assert attribution.error == pytest.approx(abs(attribution.values["mel"].sum() - difference), abs=1e-3)


def two_inputs(function, output="popularity"):
    """A network that is a function of a mel (2, 3) and of three tags."""
    mel, tags = keras.Input((2, 3), name="mel"), keras.Input((3,), name="tags")
    return keras.Model({"mel": mel, "tags": tags}, {output: function(mel, tags)})


def test_gradients_of_a_product_are_shared_as_in_the_closed_form():
    """f = x y from (a, b): the integral gives (x - a)(y + b) / 2 to x and (y - b)(x + a) / 2 to y."""
    model = two_inputs(lambda mel, tags: tags[:, :1] * tags[:, 1:2])
    x = {"mel": np.zeros((2, 3)), "tags": np.array([3.0, 5.0, 7.0])}
    attribution = integrated_gradients(model, x, {"tags": np.array([1.0, 2.0, 3.0])})
    np.testing.assert_allclose(
        attribution.values["tags"], [(3 - 1) * (5 + 2) / 2, (5 - 2) * (3 + 1) / 2, 0], rtol=1e-5
    )
    assert list(attribution.values) == ["tags"]
    assert (attribution.score, attribution.baseline) == pytest.approx((15, 2))


def test_gradients_reach_all_inputs_that_have_a_baseline_and_hold_the_others(rng):
    weights = rng.normal(size=(2, 3)).astype(np.float32)
    model = two_inputs(
        lambda mel, tags: keras.ops.sum(mel * weights, axis=(1, 2))[:, None] + 2 * tags[:, :1] - tags[:, 1:2]
    )
    mel, tags = rng.normal(size=(2, 3)), np.array([1.0, 2.0, 3.0])
    combined = integrated_gradients(
        model, {"mel": mel, "tags": tags}, {"mel": np.zeros((2, 1)), "tags": np.zeros(3)}
    )
    np.testing.assert_allclose(combined.values["mel"], weights * mel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(combined.values["tags"], [2, -2, 0], rtol=1e-4, atol=1e-6)
    alone = integrated_gradients(model, {"mel": mel, "tags": tags}, {"mel": np.zeros((2, 1))})
    np.testing.assert_allclose(alone.values["mel"], weights * mel, rtol=1e-4, atol=1e-6)
    assert alone.baseline == pytest.approx(2 - 2)


def test_gradients_are_those_of_the_weights_of_the_moment(tmp_path):
    mel = keras.Input((2, 3), name="mel")
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Model({"mel": mel}, {"popularity": dense(keras.layers.Flatten()(mel))})
    x = {"mel": np.ones((2, 3))}
    for weight in (1.0, 4.0):
        dense.set_weights([np.full((6, 1), weight)])
        attribution = integrated_gradients(model, x, {"mel": np.zeros((2, 3))})
        np.testing.assert_allclose(attribution.values["mel"], weight, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    attribution = integrated_gradients(loaded, x, {"mel": np.zeros((2, 3))})
    np.testing.assert_allclose(attribution.values["mel"], 4, rtol=1e-5)


def test_what_is_missing_gets_no_gradient():
    def known(mel, tags):
        return keras.ops.sum(keras.ops.where(keras.ops.isnan(tags), 0.0, tags), axis=1, keepdims=True)

    x = {"mel": np.zeros((2, 3)), "tags": np.array([3.0, np.nan, 7.0])}
    attribution = integrated_gradients(two_inputs(known), x, {"tags": np.ones(3)})
    np.testing.assert_allclose(attribution.values["tags"], [2, 0, 6], rtol=1e-5)


def test_gradients_of_buckets_are_those_of_the_expected_one():
    model = two_inputs(lambda mel, tags: keras.ops.softmax(tags), "buckets")
    tags = np.array([0.0, 1.0, 2.0])
    attribution = integrated_gradients(model, {"mel": np.zeros((2, 3)), "tags": tags}, {"tags": np.zeros(3)})
    expected = np.exp(tags) / np.exp(tags).sum() @ np.arange(3)
    assert attribution.score == pytest.approx(expected)
    assert attribution.baseline == pytest.approx(1)
    assert attribution.values["tags"].sum() == pytest.approx(expected - 1, rel=0.02)


def test_a_named_output_is_the_one_explained():
    mel, tags = keras.Input((2, 3), name="mel"), keras.Input((3,), name="tags")
    outputs = {"energy": tags[:, :1] + mel[:, 0, :1], "tempo": 100 * tags[:, 1:2]}
    model = keras.Model({"mel": mel, "tags": tags}, outputs)
    x = {"mel": np.ones((2, 3)), "tags": np.ones(3)}
    attribution = integrated_gradients(model, x, {"tags": np.zeros(3)}, output="tempo")
    np.testing.assert_allclose(attribution.values["tags"], [0, 100, 0], rtol=1e-5)


def test_steps_are_added_until_the_sum_is_right():
    straight = two_inputs(lambda mel, tags: tags[:, :1])
    steep = two_inputs(lambda mel, tags: keras.ops.sigmoid(100 * (tags[:, :1] - 0.305)))
    x = {"mel": np.zeros((2, 3)), "tags": np.ones(3)}
    steps = [integrated_gradients(model, x, {"tags": np.zeros(3)}) for model in (straight, steep)]
    assert steps[0].steps < steps[1].steps
    assert steps[1].error <= 0.01


def test_neighbourhoods_add_up_bins(rng):
    values = rng.normal(size=(9, 11))
    result = sum_over_patches(values, (3, 5))
    assert result[4, 5] == pytest.approx(values[3:6, 3:8].sum())
    assert result[0, 0] == pytest.approx(values[:2, :3].sum())


# ---------------------------------------------------------------------- tables


@pytest.fixture
def table(rng):
    return pd.DataFrame(rng.normal(size=(120, 4)), columns=["tempo", "energy", "valence", "key"])


def test_permutation_importance_finds_the_columns_that_are_used(table, rng):
    groups = np.arange(len(table)) // 4
    y = table @ [3.0, 0.0, 1.0, 0.0]

    def predict(X):
        return (X @ [3.0, 0.0, 1.0, 0.0]).to_numpy()

    importance = permutation_importance(predict, table, y, groups, "popularity", 500, seed=1)
    assert list(importance["column"][:2]) == ["tempo", "valence"]
    used = importance[:2]
    assert (
        (used["low"] > 0) & (used["low"] < used["importance"]) & (used["importance"] < used["high"])
    ).all()
    assert (importance.loc[2:, ["importance", "low", "high"]] == 0).all(axis=None)
    # Of a perfect ranking, the shuffled first column leaves what the third tells.
    assert used["importance"].iat[0] == pytest.approx(1 - 6 / np.pi * np.arcsin(0.1 / 2), abs=0.1)


# ---------------------------------------------------------------------- scores and axes


@pytest.mark.parametrize(
    ("target", "output", "predictions", "expected", "unit"),
    [
        (Target("popularity"), None, [12.0, 30.0], [12, 30], "points of popularity"),
        (Target("popularity", transform="log1p"), None, [1.0, 2.0], [1, 2], "log1p of popularity"),
        (Target("popular", threshold=3), None, [0.2, 0.9], [0.2, 0.9], "probability of being popular"),
        (Target("buckets", ("low", "mid", "high")), None, [[1, 0, 0], [0, 0.5, 0.5]], [0, 1.5], "buckets"),
        (Target("audio_features", ("tempo", "energy")), "energy", [[120, 0.3], [90, 0.7]], [0.3, 0.7], "energy"),
    ],
)  # fmt: skip
def test_a_score_is_one_number_in_the_units_of_the_target(target, output, predictions, expected, unit):
    np.testing.assert_allclose(target.score(predictions, output), expected)
    assert target.unit(output) == unit


def test_only_the_mels_vary_when_a_map_is_made():
    class Fake:
        target = Target("popularity")

        def predict_features(self, features):
            return features["mel"].mean(axis=(1, 2)) + 100 * features["tags"][:, 1]

    features = {"mel": np.full((2, 3), 5.0), "tags": np.array([1.0, 2.0])}
    predict = score_of_mels(score_function(Fake()), features)
    np.testing.assert_allclose(predict(np.stack([np.zeros((2, 3)), np.ones((2, 3))])), [200, 201])


@pytest.mark.parametrize("settings", [Mel(), Mel(n_mels=40, fmin=50.0, fmax=8000.0, htk=True)])
def test_each_filter_peaks_inside_its_band(settings):
    edges = band_edges(settings)
    filters = librosa.filters.mel(
        sr=settings.sample_rate, n_fft=2**16, n_mels=settings.n_mels, fmin=settings.fmin, fmax=settings.fmax,
        htk=settings.htk,
    )  # fmt: skip
    peaks = filters.argmax(axis=1) * settings.sample_rate / 2**16
    assert len(edges) == settings.n_mels + 1
    assert ((edges[:-1] < peaks) & (peaks < edges[1:])).all()


# ---------------------------------------------------------------------- listening


@pytest.fixture
def clips(rng):
    return {"mel": rng.normal(-40, 10, (40, 16, 32))}, np.arange(40) // 2


@pytest.mark.parametrize(
    ("measure", "heard", "part"),
    [
        (across_tracks.band_importance, np.s_[:, 4:6, :], 2),
        (across_tracks.time_importance, np.s_[:, :, 20:24], 5),
    ],
)
def test_only_what_a_model_hears_matters(measure, heard, part, clips):
    features, groups = clips
    settings = Mel(n_mels=16, hop_length=2048)

    def score(features):
        return features["mel"][heard].mean(axis=(1, 2))

    result = measure(score, features, groups, settings, 300, 1)
    others = result.drop(index=part)
    assert len(result) == 8
    assert (others[["importance", "low", "high", "share"]] == 0).all(axis=None)
    row = result.loc[part]
    assert row["share"] == pytest.approx(1)
    assert row["low"] < row["importance"] < row["high"]
    # Two independent clips differ by 2 / sqrt(pi) standard deviations of the score on average.
    spread = score(features).std() * 2 / np.sqrt(np.pi)
    assert row["importance"] == pytest.approx(spread, rel=0.35)
    assert (result["begin"][1:].to_numpy() == result["end"][:-1].to_numpy()).all()
    ends = result["begin"].iat[0], result["end"].iat[-1]
    edges = band_edges(settings)
    seconds = 32 * 2048 / 22050
    assert ends == pytest.approx(
        (edges[0], edges[-1]) if measure is across_tracks.band_importance else (0, seconds)
    )


def test_bands_are_exchanged_between_artists(clips):
    _, groups = clips
    donors = across_tracks._draw_donors(groups, seed=1)
    assert (groups[donors] != groups).all()
    with pytest.raises(ValueError, match="at least 2 groups"):
        across_tracks._draw_donors(["a", "a"], seed=1)


def test_a_sample_is_bounded_and_repeats():
    chosen = across_tracks.sample_clips(np.arange(1000), seed=3)
    assert len(np.unique(chosen)) == len(chosen) == across_tracks.CLIPS
    np.testing.assert_array_equal(chosen, across_tracks.sample_clips(np.arange(1000), seed=3))
    np.testing.assert_array_equal(across_tracks.sample_clips(np.arange(5), seed=3), np.arange(5))


def clustered(rng, columns, artists=40, tracks=3):
    """Numbers half of whose variance artists share, and the artists."""
    groups = np.repeat(np.arange(artists), tracks)
    shared, own = rng.normal(size=(artists, columns)), rng.normal(size=(len(groups), columns))
    return np.sqrt(0.5) * (shared[groups] + own), groups


def test_companions_of_the_predictions_are_told_from_chance(rng):
    values, groups = clustered(rng, 41)
    table = pd.DataFrame(values[:, 1:]).add_prefix("tag ")
    table["rock"] = values[:, 0] + 0.5 * rng.normal(size=len(values))
    table["mute"] = 0.0
    table.loc[3, "rock"] = np.nan
    correlations = across_tracks.correlate_columns(values[:, 0], table, groups, 500, seed=1).set_index(
        "column"
    )
    assert correlations.index[0] == "rock"
    assert "mute" not in correlations.index
    assert list(correlations.index[correlations["q"] <= 0.05]) == ["rock"]
    filled = table["rock"].fillna(table["rock"].median())
    assert correlations.loc["rock", "spearman"] == pytest.approx(
        stats.spearmanr(values[:, 0], filled).statistic
    )
    # Benjamini and Hochberg by hand: the smallest of p n / rank from each rank on.
    p = np.sort(correlations["p"])
    q = np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    np.testing.assert_allclose(np.sort(correlations["q"]), np.minimum(q, 1))


def test_chance_passes_for_a_companion_as_often_as_it_is_said_to(rng):
    p, false = [], 0
    for simulation in range(40):
        values, groups = clustered(rng, 31)
        correlations = across_tracks.correlate_columns(
            values[:, 0], pd.DataFrame(values[:, 1:]), groups, 200, seed=simulation
        )
        p.extend(correlations["p"])
        false += (correlations["q"] <= 0.05).any()
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.08  # of 1,200
    assert false <= 8  # of 40


def test_nothing_goes_with_a_constant_prediction(table):
    assert across_tracks.correlate_columns(np.ones(len(table)), table, np.arange(len(table)), 100, 1).empty


def test_the_words_name_what_is_strongest_and_warn(rng):
    bands = pd.DataFrame({"begin": [0.0, 430.0], "end": [430.0, 1000.0], "importance": [1.0, 3.0], "low": [0.5, 2.0],
                          "high": [2.0, 4.0], "share": [0.2, 0.6]})  # fmt: skip
    moments = bands.assign(begin=[0.0, 15.0], end=[15.0, 30.0])
    words = across_tracks.describe_importance(bands, moments, "points of popularity")
    assert "430 to 1,000 Hz" in words
    assert "3 points of popularity (2 to 4)" in words
    assert "60\u00a0% of its change when the whole song is replaced" in words
    assert "15 to 30 s" in words
    assert "does not show what makes songs popular" in words
    result = pd.DataFrame({"column": ["rock", "jazz"], "spearman": [0.5, -0.1], "q": [0.001, 0.6]})
    assert "1 of 2" in across_tracks.describe_correlations(result)
    assert "rock (+0.50)" in across_tracks.describe_correlations(result)
    assert "Correlation is not causation" in across_tracks.describe_correlations(result)
    assert across_tracks.describe_correlations(result[1:]).startswith("None of 1")


# ---------------------------------------------------------------------- drawing


def test_the_figure_has_seconds_hertz_and_colours_centred_on_nothing(rng):
    settings = Mel()
    mel, values = rng.normal(-40, 10, (128, 323)), np.zeros((128, 323))
    values[60:70, 100:120], values[20, 20] = 3.0, -1.0
    figure = explanation_figures.over_spectrogram(mel, values, settings, "points", "why")
    axes, bar = figure.axes
    assert axes.get_xlim() == pytest.approx((0, 323 * 2048 / 22050))
    edges = band_edges(settings)
    for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        hertz = float(label.get_text().replace("k", "e3"))
        assert edges[math.floor(tick)] <= hertz <= edges[math.ceil(tick)]
    drawn = axes.images[1]
    assert drawn.norm.vmin == -drawn.norm.vmax
    assert explanation_figures.SCALE(0.5)[3] == 0
    assert bar.get_xlabel() == "points"


def test_the_overlay_is_transparent_where_nothing_is_and_has_low_frequencies_at_the_bottom():
    values = np.zeros((4, 6))
    values[0, 0], values[3, 5] = 2.0, -2.0
    pixels = np.array(Image.open(io.BytesIO(explanation_figures.overlay_png(values))))
    assert pixels.shape == (4, 6, 4)
    assert (pixels[..., 3] > 0).sum() == 2
    raised, lowered = pixels[3, 0], pixels[0, 5]
    assert raised[0] > raised[2]  # orange
    assert lowered[2] > lowered[0]  # blue
    assert not np.array(Image.open(io.BytesIO(explanation_figures.overlay_png(np.zeros((4, 6))))))[
        ..., 3
    ].any()


def test_every_table_can_be_drawn(clips, table):
    features, groups = clips
    measured = [
        measure(lambda features: features["mel"].mean(axis=(1, 2)), features, groups, Mel(n_mels=16), 100, 1)
        for measure in (across_tracks.band_importance, across_tracks.time_importance)
    ]
    for draw, rows in zip(
        (dependence_figures.importance_of_bands, dependence_figures.importance_of_parts),
        measured,
        strict=True,
    ):
        assert len(drawn_rows(draw(rows, "points"))) == 8
    groups = np.arange(len(table)) // 3
    strongest = across_tracks.correlate_columns(table["tempo"], table, groups, 100, 1)
    assert drawn_rows(dependence_figures.correlations(strongest))[0] == "tempo"
    lost = permutation_importance(
        lambda X: X["key"].to_numpy(), table, table["key"], groups, "popularity", 100, 1
    )
    assert drawn_rows(dependence_figures.importance(lost, "spearman"))[0] == "key"


def drawn_rows(chart):
    """The labels of a chart's rows, from top to bottom."""
    labels = re.findall(r'text-anchor="end"[^>]*>([^<]+)</text>', charts.Rendering(chart).svg("chart"))
    return [label for label in labels if label]
