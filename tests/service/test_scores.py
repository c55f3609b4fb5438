"""Results against independent values: scores, intervals, percentiles, warnings, rankings, images."""

import io
import re
import tempfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hitsong.explain.mels import band_edges, band_medians, patch_size
from hitsong.files import read_json
from hitsong.predict.predictor import histogram, percentile_of
from hitsong.service import scoring
from hitsong.service.scoring import RecentSongs
from tests.serving import client_of, predict, rank, wav
from tests.small_study import RATE, SECONDS, TARGETS, bundle_of, examples


@pytest.mark.long
@pytest.mark.parametrize("kind", TARGETS)
def test_the_score_is_that_of_the_evaluation(service_of, audios, kind):
    evaluated = bundle_of(kind).predict(examples(kind, "test"))
    client, names = client_of(service_of(kind)), service_of(kind).predictor.target.names
    for expected, audio in list(zip(evaluated, audios.values(), strict=True))[:5]:
        predictions = predict(client, audio).json()["prediction"]
        if kind in ("popularity", "popular"):
            assert predictions == pytest.approx(expected, rel=1e-4)
        else:
            assert list(predictions) == list(names)
            np.testing.assert_allclose(list(predictions.values()), expected, rtol=1e-4)


def test_the_same_file_always_gets_the_same_score(client, noise):
    first, second = predict(client, noise).json(), predict(client, noise).json()
    assert first["prediction"] == second["prediction"]
    assert first["id"] != second["id"]


def test_interval_and_percentiles_follow_from_the_bundles_tables(client, study, tracks, noise):
    answer = predict(client, noise, fields="fields=distribution").json()
    validation = pd.read_parquet(study.models / "inception" / "validation.parquet")
    errors = np.abs(validation["y"] - validation["prediction"]).to_numpy()
    groups = tracks.set_index("track_id")["group"][validation["track_id"]].to_numpy()
    others = [errors[groups != group] for group in groups]  # an error is ranked among those of other artists
    ranks = [(other < error).sum() / (len(other) + 1) for error, other in zip(errors, others, strict=True)]
    rank = np.sort(ranks)[int(np.ceil((len(errors) + 1) * 0.9)) - 1]
    half = np.sort(errors)[int(np.floor(rank * len(errors)))]
    score = answer["prediction"]
    assert answer["interval"]["level"] == 0.9
    assert answer["interval"]["low"] == pytest.approx(max(0, score - half), rel=1e-4)
    assert answer["interval"]["high"] == pytest.approx(score + half, rel=1e-4)
    for key, values in (
        ("among_tracks", tracks["popularity"]),
        ("among_predictions", validation["prediction"]),
    ):
        share = np.mean(values < score) * 100  # between two values the percentile rises from one to the other
        assert abs(answer["percentile"][key] - share) <= 100 * 0.51 / min(len(values), 15)
    counts, edges = answer["distribution"]["counts"], answer["distribution"]["edges"]
    assert abs(sum(counts) - len(tracks)) <= len(counts) / 2
    assert (edges[0], edges[-1]) == (tracks["popularity"].min(), tracks["popularity"].max())


def test_ties_have_their_middle_percentile():
    knots = [[0.0, 15.0], [10.0, 55.0], [20.0, 90.0]]  # three in ten at 0, half of all at 10, two at 20
    assert [percentile_of(value, knots) for value in (0, 10, 20, -5, 25)] == [15, 55, 90, 15, 90]
    assert sum(histogram(knots, 10)["counts"]) == 10


def test_a_result_describes_file_and_model(client, study, noise):
    answer = predict(client, noise, name="..\\folder/my \u202esong.wav", fields="fields=descriptors").json()
    assert answer["name"] == "my song.wav"
    assert answer["seconds"] == SECONDS
    assert answer["excerpt"] == {"start": 0, "end": SECONDS}
    assert len(answer["tags"]) == 10
    assert answer["tags"][0]["score"] >= answer["tags"][-1]["score"]
    assert answer["descriptors"]["rms_dbfs"]["unit"] == "dBFS"
    assert answer["descriptors"]["rms_dbfs"]["value"] == pytest.approx(-20, abs=0.1)  # noise of deviation 0.1
    info = read_json(study.models / "inception" / "bundle.json")
    assert answer["model"]["trained_on"] == {"train": 15, "validation": 15} == info["trained_on"]
    assert answer["model"]["snapshot"] == "2026-02-03"
    assert answer["model"]["synthetic"]


def test_a_long_file_is_scored_by_its_middle(client, rng):
    answer = predict(client, wav(0.1 * rng.normal(size=10 * RATE))).json()
    assert answer["excerpt"] == {"start": 2.0, "end": 8.0}


def test_warnings_name_what_is_wrong(client, rng, noise):
    n = int(SECONDS * RATE)
    cases = {
        "clipped": np.clip(3 * rng.normal(size=n), -1, 1),
        "too_short": 0.1 * rng.normal(size=int(5.5 * RATE)),
        "unusual": 0.5 * np.sin(np.arange(n) * 2 * np.pi * 9000 / RATE),
    }
    for code, samples in cases.items():
        assert code in [warning["code"] for warning in predict(client, wav(samples)).json()["warnings"]]
    assert "clipped" not in [warning["code"] for warning in predict(client, noise).json()["warnings"]]


def test_a_track_of_the_study_is_not_unusual(client, audios):
    strange = [
        "unusual" in [warning["code"] for warning in predict(client, audio).json()["warnings"]]
        for audio in list(audios.values())[:6]
    ]
    assert sum(strange) <= 3  # fifteen clips know little of what is usual


def test_larger_parts_come_only_where_they_are_asked_for(client, noise):
    parts = {"descriptors", "distribution"}
    assert not parts & set(predict(client, noise).json())
    for fields in ("fields=descriptors,distribution", "fields=descriptors&fields=distribution"):
        assert parts <= set(predict(client, noise, fields=fields).json())
    assert parts & set(predict(client, noise, fields="fields=descriptors").json()) == {"descriptors"}
    refused = predict(client, noise, fields="fields=everything")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")
    row = client.post("/rank?fields=descriptors", files={"files": ("a", noise)}).json()["rows"][0]
    assert parts & set(row) == {"descriptors"}


def test_numbers_have_five_digits_at_most(client, noise):
    text = predict(client, noise, fields="fields=descriptors,distribution").text
    numbers = re.findall(r"[-\d.]+(?:e-?\d+)?", re.sub(r'"[^"]*"', "", text))
    assert max(len(re.sub(r"e.*|\D", "", number).strip("0")) for number in numbers) == 5


@pytest.mark.parametrize(
    "kind", ["audio/wav", "Audio/X-WAV; rate=22050", "video/mp4", "application/octet-stream"]
)
def test_a_file_may_be_the_whole_body(client, noise, kind):
    answer = client.post("/predict", content=noise, headers={"Content-Type": kind})
    assert answer.status_code == 200
    assert answer.json()["prediction"] == predict(client, noise).json()["prediction"]
    too_large = client.post("/predict", content=bytes(2_000_001), headers={"Content-Type": kind})
    assert (too_large.status_code, too_large.json()["code"]) == (413, "too_large")


# ---------------------------------------------------------------------- rankings


def test_a_ranking_is_in_order_and_names_what_failed(client, audios):
    sample = dict(list(audios.items())[:3]) | {"poem.mp3": b"no song at all\n" * 30}
    ranking = rank(client, sample).json()
    scores = [row["prediction"] for row in ranking["rows"]]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in ranking["rows"]] == [1, 2, 3]
    assert [failure["name"] for failure in ranking["failed"]] == ["poem.mp3"]
    assert ranking["rows"][-1]["above_next"] is None
    assert all(0.5 <= row["above_next"] <= 1 for row in ranking["rows"][:-1])


def test_above_the_next_counts_pairs_of_errors(service_of, study):
    validation = pd.read_parquet(study.models / "inception" / "validation.parquet")
    off = (validation["y"] - validation["prediction"]).to_numpy()
    above = service_of("popularity").predictor.probability_above
    for gap in (0.0, 1.5, 8.0):
        difference = gap + off[:, None] - off[None, :]
        pairs, n = np.mean(difference > 0) + np.mean(difference == 0) / 2, len(off)
        expected = (n * pairs + 0.5) / (n + 1)
        assert above(np.float32(20 + gap), np.float32(20)) == pytest.approx(expected, abs=1e-3)


def test_above_the_next_for_classes_is_exact(service_of, rng):
    draws = 400_000
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.3, 0.1])
    a, b = (rng.choice(3, draws, p=item) for item in (p, q))
    expected = np.mean(a > b) + np.mean(a == b) / 2
    assert service_of("buckets").predictor.probability_above(p, q) == pytest.approx(expected, abs=3e-3)
    a, b = rng.random(draws) < 0.7, rng.random(draws) < 0.4
    expected = np.mean(a & ~b) + np.mean(a == b) / 2
    assert service_of("popular").predictor.probability_above(0.7, 0.4) == pytest.approx(expected, abs=3e-3)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["popular", "buckets", "audio_features"])
def test_every_kind_of_target_can_be_ranked(service_of, audios, kind):
    sample = dict(list(audios.items())[:3])
    rows = rank(client_of(service_of(kind)), sample).json()["rows"]
    if kind == "audio_features":
        assert [(row["name"], row["rank"]) for row in rows] == [
            (name.split("/")[-1], None) for name in sample
        ]
        assert set(rows[0]["interval"]["low"]) == {"energy", "danceability"}
        assert rows[0]["percentile"] is None
        return
    several = kind == "buckets"
    scores = [
        np.arange(3) @ list(row["prediction"].values()) if several else row["prediction"] for row in rows
    ]
    assert scores == sorted(scores, reverse=True)
    classes = {"low", "medium", "high"} if several else {"popular", "not popular"}
    assert set(rows[0]["interval"]["set"]) <= classes


# ---------------------------------------------------------------------- images


def test_spectrogram_and_overlay_have_one_size(client, noise):
    name = predict(client, noise).json()["id"]
    sizes, modes = [], []
    for path in (f"/spectrogram/{name}.png", f"/explain/{name}.png"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        image = Image.open(io.BytesIO(answer.content))
        sizes.append(image.size)
        modes.append(image.mode)
    assert sizes == [(1 + int(SECONDS * RATE) // 1024, 32)] * 2
    assert modes == ["RGB", "RGBA"]


def test_an_explanation_in_numbers_is_that_of_the_picture(service_of, client, rng):
    name = predict(client, wav(0.1 * rng.normal(size=10 * RATE))).json()["id"]  # its middle is scored
    numbers = client.get(f"/explain/{name}.json").json()
    values, seconds, hertz = (np.array(numbers[key]) for key in ("values", "seconds", "hertz"))
    assert values.shape == (len(hertz) - 1, len(seconds) - 1)
    assert (np.diff(hertz) > 0).all()
    assert hertz[-1] == pytest.approx(
        band_edges(service_of("popularity").predictor.settings.mel)[-1], rel=1e-4
    )
    assert (seconds[0], seconds[-1]) == (2.0, pytest.approx(8.0, abs=0.1))
    service = service_of("popularity")
    recent = service.recent.get(name)
    full, score = service.explain(recent, None)
    assert numbers["score"] == pytest.approx(score, rel=1e-4)
    rows = np.round((seconds[:-1] - 2.0) * RATE / 1024).astype(int)
    np.testing.assert_allclose(values[0], full[0][rows], rtol=1e-4)
    mel = service.predictor.settings.mel
    hidden = recent.features["mel"].copy()
    height, width = patch_size(mel)
    hidden[:height, :width] = band_medians(hidden)[:height]
    without = service.bundle.predict_features(
        {**{k: v[None] for k, v in recent.features.items()}, "mel": hidden[None]}
    )
    assert values[0, 0] == pytest.approx(score - float(np.squeeze(without)), rel=1e-2, abs=1e-4)


def test_the_spectrogram_of_a_short_file_has_no_padding(client, rng):
    n = int(5.5 * RATE)
    name = predict(client, wav(0.1 * rng.normal(size=n))).json()["id"]
    for path in (f"/spectrogram/{name}.png", f"/explain/{name}.png"):
        assert Image.open(io.BytesIO(client.get(path).content)).size == (1 + n // 1024, 32)


def test_a_model_without_spectrogram_has_one_to_show_but_no_map(service_of, noise):
    client = client_of(service_of("popular"))
    answer = predict(client, noise).json()
    assert answer["excerpt"] == {"start": 0, "end": SECONDS}
    picture = client.get(f"/spectrogram/{answer['id']}.png")
    assert Image.open(io.BytesIO(picture.content)).size == (1 + int(SECONDS * RATE) // 2048, 128)
    refused = client.get(f"/explain/{answer['id']}.png")
    assert (refused.status_code, refused.json()["code"]) == (404, "no_map")


def test_recent_songs_expire_and_are_bounded(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(scoring.time, "monotonic", lambda: clock[0])
    recent = RecentSongs(most=2, seconds=20)
    names = [recent.put(number) for number in range(3)]
    assert [recent.get(name) for name in names] == [None, 1, 2]
    assert len(set(names)) == 3
    assert all(len(name) == 22 for name in names)  # 128 bits
    clock[0] = 19.0
    assert recent.get(names[1]) == 1
    clock[0] = 21.0
    assert [recent.get(name) for name in names] == [None] * 3


def test_nothing_of_an_upload_reaches_a_folder(client, tmp_path, monkeypatch, noise):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert predict(client, noise).status_code == 200
    assert list(tmp_path.iterdir()) == []
