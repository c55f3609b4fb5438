"""What if and versions: each number against a prediction of its own, and what is refused."""

import io

import numpy as np
import pytest
import soundfile

from hitsong.predict.variants import change_sound
from hitsong.service.decoders import ClientDisconnected
from hitsong.service.scoring import VARIANTS_AT_ONCE
from tests.serving import client_of, predict, wav
from tests.small_study import RATE

SECONDS = 40


@pytest.fixture(scope="module")
def song():
    """Noise that becomes brighter, which the planted model notices."""
    rng = np.random.default_rng(4)
    dull = np.cumsum(rng.normal(size=SECONDS * RATE))
    dull = np.convolve(dull - dull.mean(), [1, -1], "same")
    bright = np.diff(rng.normal(size=SECONDS * RATE + 1))
    rise = np.linspace(0, 1, SECONDS * RATE)
    return (0.03 * ((1 - rise) * dull + rise * bright)).astype(np.float32)


def send(client, path, files, fields=""):
    field = "file" if path == "/what-if" else "files"
    return client.post(f"{path}?{fields}", files=[(field, (name, audio)) for name, audio in files])


def encoded(samples):
    return wav(samples)  # 16 bits: the service takes 2 MB here


@pytest.fixture(scope="module")
def answer(service_of, song):
    return send(client_of(service_of("popularity")), "/what-if", [("song.wav", encoded(song))]).json()


@pytest.mark.long
def test_each_sound_is_scored_as_if_it_were_sent(client, song, answer):
    assert answer["score"] == pytest.approx(predict(client, encoded(song)).json()["prediction"], rel=1e-4)
    names = ["louder", "softer", "brighter", "darker", "more bass", "less bass"]
    assert [each["name"] for each in answer["sound"]] == names
    for each in answer["sound"][1:4]:
        changed = change_sound(song[:, None], RATE, each["name"])
        assert each["score"] == pytest.approx(
            predict(client, encoded(changed)).json()["prediction"], rel=1e-3
        )
        assert each["change"] == pytest.approx(each["score"] - answer["score"], abs=1e-3)
        assert each["beyond_noise"] == (abs(each["change"]) > 2 * answer["noise"])


def test_the_error_is_that_of_half_of_the_validation_tracks(answer, service_of):
    errors = np.abs(service_of("popularity").predictor._residuals)
    assert np.mean(errors > answer["error"]) == pytest.approx(0.5, abs=1 / len(errors))


@pytest.mark.long
def test_the_curve_runs_along_the_song(client, song, answer):
    curve = answer["curve"]
    assert (curve[0]["start"], curve[-1]["end"]) == (1.0, SECONDS - 1.0)
    assert all(each["end"] - each["start"] == pytest.approx(32) for each in curve)
    last = song[round((curve[-1]["start"]) * RATE) : round(curve[-1]["end"] * RATE)]
    assert curve[-1]["score"] == pytest.approx(predict(client, encoded(last)).json()["prediction"], rel=1e-3)


@pytest.mark.long
def test_versions_are_compared_with_noise(client, song, rng):
    darker = change_sound(song[:, None], RATE, "darker")
    files = [("same.wav", encoded(song)), ("again.wav", encoded(song)), ("darker.wav", encoded(darker))]
    result = send(client, "/versions", [*files, ("poem.txt", b"roses are red")], "fields=descriptors").json()
    assert [failure["name"] for failure in result["failed"]] == ["poem.txt"]
    rows = {row["name"]: row for row in result["rows"]}
    assert set(rows) == {"same.wav", "again.wav", "darker.wav"}
    scores = [row["score"] for row in result["rows"]]
    assert scores == sorted(scores, reverse=True)
    for row, after in zip(result["rows"], result["rows"][1:], strict=False):
        both = np.hypot(row["noise"], after["noise"])
        assert row["within_noise"] == (abs(row["score"] - after["score"]) <= 2 * both)
    assert result["rows"][-1]["within_noise"] is None
    assert rows["same.wav"]["score"] == rows["again.wav"]["score"]
    same, dark = (np.array(rows[name]["spectrum"]["decibels"]) for name in ("same.wav", "darker.wav"))
    hertz = np.array(rows["same.wav"]["spectrum"]["hertz"])
    assert (same - dark)[hertz < 500] == pytest.approx(0, abs=0.3)
    assert (same - dark)[hertz > 9000] == pytest.approx(3, abs=0.4)
    assert (
        rows["darker.wav"]["descriptors"]["loudness_lufs"]["value"]
        < rows["same.wav"]["descriptors"]["loudness_lufs"]["value"]
    )


@pytest.mark.parametrize("kind", ["popular", "buckets"])
def test_probabilities_and_classes_have_variants_and_no_error(service_of, noise, kind):
    result = send(client_of(service_of(kind)), "/what-if", [("song.wav", noise)]).json()
    assert result["error"] is None
    assert len(result["sound"]) == 6
    assert result["curve"] == []  # it is too short for another excerpt


@pytest.mark.parametrize("path", ["/what-if", "/versions"])
def test_several_audio_features_are_no_one_score(service_of, noise, path):
    refused = send(client_of(service_of("audio_features")), path, [("song.wav", noise)])
    assert (refused.status_code, refused.json()["code"]) == (404, "no_score")


def test_versions_are_few_and_what_if_takes_one_song_that_can_be_read(client, noise):
    many = send(client, "/versions", [(f"{number}.wav", noise) for number in range(5)])
    assert (many.status_code, many.json()["code"]) == (413, "too_many_files")
    poem = send(client, "/what-if", [("poem.txt", b"roses are red")])
    assert (poem.status_code, poem.json()["code"]) == (422, "unreadable")


@pytest.mark.long
def test_a_client_that_has_gone_costs_one_part_at_most(service_of, song, monkeypatch):
    service, computed = service_of("popularity"), []
    _, _, features = service.score("song.wav", encoded(song), groups=("sound", "shift"))
    assert len(features.variants) > VARIANTS_AT_ONCE
    compute = service.predictor.predict_variants
    monkeypatch.setattr(
        service.predictor, "predict_variants", lambda part: computed.append(part) or compute(part)
    )
    with pytest.raises(ClientDisconnected):
        service.score_variants(features.variants, lambda: bool(computed))
    assert [len(part) for part in computed] == [VARIANTS_AT_ONCE]


def test_title_artist_and_the_nearest_tracks_are_in_the_result(client, rng):
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format="FLAC") as sound:
        sound.title, sound.artist = "x" * 500, "\u202eJürgen\x07 & die 7"
        sound.write(0.1 * rng.normal(size=6 * RATE))
    result = predict(client, file.getvalue(), "song.flac").json()
    assert (result["title"], result["artist"]) == ("x" * 200, "Jürgen & die 7")
    assert len(result["neighbours"]) == 5
    assert all(track["artist"] == "Planted & Sons" for track in result["neighbours"])
