"""The service: its answers against independent truth, who may ask, its bounds, and its description."""

import atexit
import io
import re
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import openapi_spec_validator
import pandas as pd
import pytest
import schemathesis
import soundfile
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from jsonschema import Draft202012Validator
from PIL import Image
from schemathesis.config import SchemathesisConfig

from hitsong.config import Compute, Config
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import with_target
from hitsong.errors import UserError
from hitsong.features.extract import extract
from hitsong.features.store import Store
from hitsong.files import read_json, sha256, write_json
from hitsong.predict.choose import choose
from hitsong.predict.predictor import Listener, histogram, standing
from hitsong.service.app import create_app
from hitsong.service.guard import HEADERS, Guard
from hitsong.service.limits import Limits
from hitsong.service.recent import Recent
from hitsong.service.service import Service, show
from hitsong.service.worker import Pool
from hitsong.study import Study
from hitsong.training import bundle, recipe
from hitsong.training import fit as training

RATE, SECONDS, CLIPS = 22050, 3.0, 45
TARGETS = {
    "popularity": {"kind": "popularity"},
    "popular": {"kind": "popular"},
    "buckets": {"kind": "buckets"},
    "audio_features": {"kind": "audio_features", "features": ["energy", "danceability"]},
}
LIMITS = Limits(workers=1, seconds=60.0, file_bytes=2_000_000, files=4)
HOST = {"Host": "127.0.0.1:8787"}


# ---------------------------------------------------------------------- a study with trained models


def song(rng, level):
    """Noise under a chord, whose brightness is the level."""
    times = np.arange(int(SECONDS * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hz * times) for hz in rng.choice([220, 262, 330, 392], 3, replace=False))
    hiss = np.diff(rng.normal(size=len(times) + 1))
    return (0.05 * chord + 0.02 * np.exp(0.5 * level) * hiss).astype(np.float32)


@cache
def planted():
    """A study of synthetic songs, its features made by stage 03 and its models trained: config, and tracks."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    config = Config(
        study="planted",
        data=str(folder),
        features={
            "kinds": ["mel", "descriptors", "tags"],
            "mel": {"n_mels": 32, "n_fft": 1024, "hop_length": 1024, "seconds": SECONDS},
        },
        train={"models": ["inception", "numeric_mlp"], "epochs": 2, "numeric": "descriptors"},
        compute={"workers": 1},
    )
    study, rng = Study.of(config), np.random.default_rng(5)
    study.previews.mkdir()
    level = rng.normal(size=CLIPS)
    ids = [f"track-{number:02}" for number in range(CLIPS)]
    for track_id, one in zip(ids, level, strict=True):
        soundfile.write(study.previews / f"{track_id}.wav", song(rng, one), RATE, subtype="FLOAT")
    tracks = pd.DataFrame(
        {
            "track_id": ids, "path": [f"previews/{track_id}.wav" for track_id in ids],
            "popularity": np.round(30 + 10 * level + 3 * rng.normal(size=CLIPS)).clip(0, 100),
            "energy": 1 / (1 + np.exp(-level)), "danceability": rng.uniform(size=CLIPS),
            "popularity_source": "planted", "fetched_at": "2026-02-03T04:05:06", "licence": None,
            "group": np.arange(CLIPS) // 3,
            "side": np.repeat(["train", "validation", "test"], CLIPS // 3),
        }
    )  # fmt: skip
    clips = tracks.assign(sha256=[sha256(study.folder / path) for path in tracks["path"]])
    store = Store(study.features)
    store.extend(clips)
    extract(store, config.features, study.folder, Compute(workers=1))
    for kind, settings in TARGETS.items():
        name = "inception" if kind == "popularity" else "numeric_mlp"
        folder = study.models / name if kind == "popularity" else study.folder / "others" / kind
        asked = config.model_copy(update={"target": type(config.target)(**settings)})
        fit(study, asked, tracks, name, folder)
    return config, tracks


def corpus(study, config, tracks, name):
    labelled, target = with_target(tracks, tracks["side"] == "train", config)
    return Corpus(study, config, labelled, target, recipe.inputs_of_all([name], study, config))


def fit(study, config, tracks, name, folder):
    """What stage 05 does."""
    data = corpus(study, config, tracks, name)
    kinds = recipe.inputs_of(name, study, config)
    training.fit(
        folder, name, data.side(kinds, "train"), data.side(kinds, "validation"), target=data.target,
        recipe=recipe.tuned_recipe(data, name), fingerprint=recipe.fingerprint(data, name),
        about=data.about() | {"collected_from": "planted", "synthetic": True},
    )  # fmt: skip


def folder_of(study, kind):
    return study.models / "inception" if kind == "popularity" else study.folder / "others" / kind


@pytest.fixture(scope="module")
def config():
    return planted()[0]


@pytest.fixture(scope="module")
def tracks():
    return planted()[1]


@pytest.fixture(scope="module")
def study(config):
    return Study.of(config)


@pytest.fixture(scope="module")
def services(study):
    """A running service for each kind of target."""
    found = {}
    for kind in TARGETS:
        listener = Listener(bundle.load(folder_of(study, kind)), show())
        found[kind] = Service(listener, Pool(listener.settings, LIMITS), LIMITS)
    yield found
    for service in found.values():
        service.pool.close()


def client_of(service, token=None):
    return create_app(service, Guard("127.0.0.1", token)).test_client()


@pytest.fixture(scope="module")
def client(services):
    return client_of(services["popularity"])


def wav(samples, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


def predict(client, audio, name="song.wav", **headers):
    form = {"file": (io.BytesIO(audio), name)}
    return client.post("/predict", data=form, headers=HOST | headers)


def rank(client, audios):
    form = {"files": [(io.BytesIO(audio), name) for name, audio in audios.items()]}
    return client.post("/rank", data=form, headers=HOST)


@pytest.fixture(scope="module")
def audios(study, tracks):
    """The test tracks' files, by name."""
    paths = tracks.loc[tracks["side"] == "test", "path"]
    return {path: (study.folder / path).read_bytes() for path in paths}


@pytest.fixture
def noise(rng):
    return wav(0.1 * rng.normal(size=int(SECONDS * RATE)).astype(np.float32))


# ---------------------------------------------------------------------- the answer


@pytest.mark.parametrize("kind", TARGETS)
def test_the_score_is_that_of_the_evaluation(services, study, config, tracks, audios, kind):
    name = "inception" if kind == "popularity" else "numeric_mlp"
    asked = config.model_copy(update={"target": type(config.target)(**TARGETS[kind])})
    evaluated = bundle.load(folder_of(study, kind)).predict(
        corpus(study, asked, tracks, name).side(name, "test")
    )
    client, names = client_of(services[kind]), services[kind].listener.target.names
    for expected, audio in list(zip(evaluated, audios.values(), strict=True))[:5]:
        found = predict(client, audio).json["prediction"]
        if kind in ("popularity", "popular"):
            assert found == pytest.approx(expected, rel=1e-4)
        else:
            assert list(found) == list(names)
            np.testing.assert_allclose(list(found.values()), expected, rtol=1e-4)


def test_the_same_file_always_gets_the_same_score(client, noise):
    first, second = predict(client, noise).json, predict(client, noise).json
    assert first["prediction"] == second["prediction"]
    assert first["id"] != second["id"]


def test_interval_and_percentiles_follow_from_the_bundles_tables(client, study, tracks, noise):
    answer = predict(client, noise).json
    validation = pd.read_parquet(study.models / "inception" / "validation.parquet")
    errors = np.sort(np.abs(validation["y"] - validation["prediction"]))
    half = errors[int(np.ceil((len(errors) + 1) * 0.9)) - 1]
    score = answer["prediction"]
    assert answer["interval"]["level"] == 0.9
    assert answer["interval"]["low"] == pytest.approx(max(0, score - half), rel=1e-5)
    assert answer["interval"]["high"] == pytest.approx(score + half, rel=1e-5)
    for key, values in (
        ("among_tracks", tracks["popularity"]),
        ("among_predictions", validation["prediction"]),
    ):
        share = np.mean(values < score) * 100  # between two values the percentile rises from one to the other
        assert abs(answer["percentile"][key] - share) <= 100 * 0.51 / min(len(values), 15)
    counts, edges = answer["distribution"]["counts"], answer["distribution"]["edges"]
    assert abs(sum(counts) - len(tracks)) <= len(counts) / 2
    assert (edges[0], edges[-1]) == (tracks["popularity"].min(), tracks["popularity"].max())


def test_ties_stand_at_their_middle():
    knots = [[0.0, 15.0], [10.0, 55.0], [20.0, 90.0]]  # three in ten at 0, half of all at 10, two at 20
    assert [standing(value, knots) for value in (0, 10, 20, -5, 25)] == [15, 55, 90, 15, 90]
    assert sum(histogram(knots, 10)["counts"]) == 10


def test_an_answer_says_what_was_heard_and_by_whom(client, study, noise):
    answer = predict(client, noise, name="..\\folder/my \u202esong.wav").json
    assert answer["name"] == "my song.wav"
    assert answer["seconds"] == SECONDS
    assert answer["heard"] == {"start": 0, "end": SECONDS}
    assert len(answer["tags"]) == 10
    assert answer["tags"][0]["score"] >= answer["tags"][-1]["score"]
    assert answer["descriptors"]["rms_dbfs"]["unit"] == "dBFS"
    assert answer["descriptors"]["rms_dbfs"]["value"] == pytest.approx(-20, abs=0.1)  # noise of deviation 0.1
    info = read_json(study.models / "inception" / "bundle.json")
    assert answer["model"]["trained_on"] == {"train": 15, "validation": 15} == info["trained_on"]
    assert answer["model"]["snapshot"] == "2026-02-03"
    assert answer["model"]["synthetic"]


def test_of_a_long_file_the_model_hears_the_middle(client, rng):
    answer = predict(client, wav(0.1 * rng.normal(size=10 * RATE))).json
    assert answer["heard"] == {"start": 3.5, "end": 6.5}


def test_warnings_name_what_is_wrong(client, rng, noise):
    n = int(SECONDS * RATE)
    cases = {
        "silent": np.zeros(n),
        "clipped": np.clip(3 * rng.normal(size=n), -1, 1),
        "too_short": 0.1 * rng.normal(size=RATE // 2),
        "unusual": 0.5 * np.sin(np.arange(n) * 2 * np.pi * 9000 / RATE),
    }
    for code, samples in cases.items():
        assert code in [warning["code"] for warning in predict(client, wav(samples)).json["warnings"]]
    assert "clipped" not in [warning["code"] for warning in predict(client, noise).json["warnings"]]


def test_a_track_of_the_study_is_not_unusual(client, audios):
    strange = [
        "unusual" in [warning["code"] for warning in predict(client, audio).json["warnings"]]
        for audio in list(audios.values())[:6]
    ]
    assert sum(strange) <= 3  # fifteen clips know little of what is usual


# ---------------------------------------------------------------------- a ranking


def test_a_ranking_is_in_order_and_names_what_failed(client, audios):
    some = dict(list(audios.items())[:3]) | {"poem.mp3": b"no song at all\n" * 30}
    ranking = rank(client, some).json
    scores = [row["prediction"] for row in ranking["rows"]]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in ranking["rows"]] == [1, 2, 3]
    assert [failure["name"] for failure in ranking["failed"]] == ["poem.mp3"]
    assert ranking["rows"][-1]["above_next"] is None
    assert all(0.5 <= row["above_next"] <= 1 for row in ranking["rows"][:-1])


def test_above_the_next_counts_pairs_of_errors(services, study):
    validation = pd.read_parquet(study.models / "inception" / "validation.parquet")
    off = (validation["y"] - validation["prediction"]).to_numpy()
    above = services["popularity"].listener.above
    for gap in (0.0, 1.5, 8.0):
        difference = gap + off[:, None] - off[None, :]
        pairs, n = np.mean(difference > 0) + np.mean(difference == 0) / 2, len(off)
        expected = (n * pairs + 0.5) / (n + 1)
        assert above(np.float32(20 + gap), np.float32(20)) == pytest.approx(expected, abs=1e-3)


def test_above_the_next_for_classes_is_exact(services, rng):
    draws = 400_000
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.3, 0.1])
    a, b = (rng.choice(3, draws, p=one) for one in (p, q))
    expected = np.mean(a > b) + np.mean(a == b) / 2
    assert services["buckets"].listener.above(p, q) == pytest.approx(expected, abs=3e-3)
    a, b = rng.random(draws) < 0.7, rng.random(draws) < 0.4
    expected = np.mean(a & ~b) + np.mean(a == b) / 2
    assert services["popular"].listener.above(0.7, 0.4) == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("kind", ["popular", "buckets", "audio_features"])
def test_every_kind_of_target_can_be_ranked(services, audios, kind):
    some = dict(list(audios.items())[:3])
    rows = rank(client_of(services[kind]), some).json["rows"]
    if kind == "audio_features":
        assert [(row["name"], row["rank"]) for row in rows] == [(name.split("/")[-1], None) for name in some]
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


# ---------------------------------------------------------------------- pictures


def test_pictures_of_a_prediction_lie_on_each_other(client, noise):
    name = predict(client, noise).json["id"]
    sizes, modes = [], []
    for path in (f"/spectrogram/{name}.png", f"/explain/{name}.png"):
        answer = client.get(path, headers=HOST)
        assert (answer.status_code, answer.content_type) == (200, "image/png")
        image = Image.open(io.BytesIO(answer.data))
        sizes.append(image.size)
        modes.append(image.mode)
    assert sizes == [(65, 32)] * 2
    assert modes == ["RGB", "RGBA"]


def test_a_short_file_is_pictured_without_its_padding(client, rng):
    name = predict(client, wav(0.1 * rng.normal(size=RATE))).json["id"]
    for path in (f"/spectrogram/{name}.png", f"/explain/{name}.png"):
        assert Image.open(io.BytesIO(client.get(path, headers=HOST).data)).size == (1 + RATE // 1024, 32)


def test_a_model_that_hears_no_spectrogram_has_one_to_show_but_nothing_to_point_at(services, noise):
    client = client_of(services["popular"])
    answer = predict(client, noise).json
    assert answer["heard"] == {"start": 0, "end": SECONDS}
    picture = client.get(f"/spectrogram/{answer['id']}.png", headers=HOST)
    assert Image.open(io.BytesIO(picture.data)).size == (33, 128)
    refused = client.get(f"/explain/{answer['id']}.png", headers=HOST)
    assert (refused.status_code, refused.json["code"]) == (404, "no_map")


def test_predictions_are_forgotten_when_there_are_others_or_time_has_passed():
    recent = Recent(most=2, seconds=0.2)
    names = [recent.put(number) for number in range(3)]
    assert [recent.get(name) for name in names] == [None, 1, 2]
    assert len(set(names)) == 3
    assert all(len(name) == 22 for name in names)  # 128 bits
    time.sleep(0.25)
    assert [recent.get(name) for name in names] == [None] * 3


def test_nothing_of_an_upload_reaches_a_folder(client, tmp_path, monkeypatch, noise):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert predict(client, noise).status_code == 200
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8787"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8787"}, 200),
        ({"Host": "evil.example"}, 421),  # a foreign name that leads here
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost@evil.example"}, 421),
        ({"Host": "["}, 421),
        ({"Host": ""}, 421),
        ({"Host": "127.0.0.1:8787", "Origin": "http://127.0.0.1:8787", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "127.0.0.1:8787", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:8787", "Origin": "http://127.0.0.1:9000"}, 403),
        ({"Host": "127.0.0.1:8787", "Origin": "null"}, 403),
        ({"Host": "127.0.0.1:8787", "Origin": "http://["}, 403),
        ({"Host": "127.0.0.1:8787", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "127.0.0.1:8787", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_requests_of_other_sites_are_refused(client, noise, headers, status):
    answer = client.post("/predict", data={"file": (io.BytesIO(noise), "a.wav")}, headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.content_type == "application/problem+json"


def test_a_token_is_asked_for_where_there_is_one(services, noise, caplog):
    client = client_of(services["popularity"], token="s3cret-é")
    assert [client.get(path, headers=HOST).status_code for path in ("/", "/health", "/openapi.json")] == [
        200
    ] * 3
    for path in ("/model", "/metrics", "/spectrogram/x.png", "/explain/x.png"):
        answer = client.get(path, headers=HOST)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("Bearer wrong", "Basic s3cret-é", "Bearer", "s3cret-é"):
        assert predict(client, noise, Authorization=wrong.encode().decode("latin-1")).status_code == 401
    right = "Bearer s3cret-é".encode().decode("latin-1")  # headers carry bytes
    assert predict(client, noise, Authorization=right).status_code == 200
    assert "s3cret" not in caplog.text


def test_every_answer_carries_the_headers_that_protect_browsers(client):
    for path, status in (("/", 200), ("/model", 200), ("/nowhere", 404), ("/predict", 405)):
        answer = client.get(path, headers=HOST)
        assert answer.status_code == status
        assert HEADERS.items() <= dict(answer.headers).items()
        assert "Set-Cookie" not in answer.headers
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_holds_nothing_that_its_policy_forbids(client):
    page = client.get("/", headers=HOST).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    for path in re.findall(r'(?:src|href)="(/[^"]*)"', page):
        assert client.get(path, headers=HOST).status_code == 200
    assert client.get("/page/../app.py", headers=HOST).status_code == 404


# ---------------------------------------------------------------------- what goes wrong


def test_every_refusal_is_a_problem(client, noise):
    form = {"content_type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\n\r\n%s\r\n'
    text = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n--x--\r\n'
    long = wav(np.zeros((61 * 8000, 1), np.float32), 8000, subtype="PCM_U8")
    cases = [
        (404, client.get("/nowhere", headers=HOST)),
        (404, client.get("/explain/AAAAAAAAAAAAAAAAAAAAAA.png", headers=HOST)),
        (405, client.get("/predict", headers=HOST)),
        (405, client.delete("/model", headers=HOST)),
        (415, client.post("/predict", json={}, headers=HOST)),
        (415, client.post("/predict", data=noise, content_type="audio/wav", headers=HOST)),
        (400, client.post("/predict", data=b"x", content_type="multipart/form-data", headers=HOST)),
        (400, client.post("/predict", data=b"x", **form, headers=HOST)),
        (400, client.post("/predict", data=b"--x--\r\n", **form, headers=HOST)),
        (400, client.post("/predict", data=part % (b"file", noise), **form, headers=HOST)),  # no end
        (400, client.post("/predict", data={"song": (io.BytesIO(noise), "a")}, headers=HOST)),
        (400, client.post("/predict", data=text, **form, headers=HOST)),
        (413, client.post("/predict", data=part % (b"file", b"") * 2 + b"--x--\r\n", **form, headers=HOST)),
        (
            413,
            client.post(
                "/predict", data=part % (b"file", bytes(2_000_001)) + b"--x--\r\n", **form, headers=HOST
            ),
        ),
        (413, client.post("/predict", data=bytes(3_000_000), **form, headers=HOST)),
        (413, rank(client, {f"{number}.wav": b"" for number in range(5)})),
        (413, predict(client, long)),
        (422, predict(client, b"")),
        (422, predict(client, b"a poem, not a song")),
        (422, predict(client, b"\0\0\0\x18ftypM4A " + bytes(500))),
        (422, predict(client, noise[:40])),
        (422, predict(client, wav(np.full(RATE, np.nan, np.float32), subtype="FLOAT"))),
    ]
    for status, answer in cases:
        assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
        assert answer.json["status"] == status
        assert set(answer.json) == {"type", "title", "status", "code", "detail"}
    assert cases[2][1].headers["Allow"] == "POST"


def test_a_bug_is_logged_and_not_shown(services, noise, monkeypatch, caplog):
    def broken(audio):
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(services["popularity"].pool, "hear", broken)
    answer = predict(client_of(services["popularity"]), noise)
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "the secret of the house" in caplog.text


def test_load_beyond_the_bound_is_told_to_come_back(services, noise, monkeypatch):
    busy = services["popularity"]
    monkeypatch.setattr(busy, "_slots", threading.BoundedSemaphore(1))
    begun, go_on, hear = threading.Event(), threading.Event(), busy.pool.hear

    def slow(audio):
        begun.set()
        assert go_on.wait(20)
        return hear(audio)

    monkeypatch.setattr(busy.pool, "hear", slow)
    answers = []
    first = threading.Thread(target=lambda: answers.append(predict(client_of(busy), noise)))
    first.start()
    assert begun.wait(20)
    refused = predict(client_of(busy), noise)
    assert client_of(busy).get("/health", headers=HOST).json["in_flight"] == 1
    go_on.set()
    first.join()
    assert (refused.status_code, refused.json["code"]) == (503, "busy")
    assert int(refused.headers["Retry-After"]) >= 1
    assert answers[0].status_code == 200
    assert predict(client_of(busy), noise).status_code == 200


# ---------------------------------------------------------------------- the API's description


@pytest.fixture(scope="module")
def description(client):
    return client.get("/openapi.json", headers=HOST).json


def test_the_description_is_valid_and_names_every_route(client, description):
    openapi_spec_validator.validate(description)
    described = {(path.replace("{id}", "<name>"), method) for path, item in description["paths"].items()
                 for method in item if method in ("get", "post")}  # fmt: skip
    routes = {
        (rule.rule, method.lower())
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert described == routes - {("/page/<name>", "get")}  # parts of the page


@pytest.mark.parametrize("kind", TARGETS)
def test_answers_have_the_shape_that_is_described(services, description, audios, kind):
    client, audio = client_of(services[kind]), next(iter(audios.values()))
    for shape, answer in [
        ("Song", predict(client, audio)),
        ("Ranking", rank(client, {"a": audio, "b": audio, "c": b""})),
        ("Card", client.get("/model", headers=HOST)),
        ("Health", client.get("/health", headers=HOST)),
        ("Problem", client.get("/nowhere", headers=HOST)),
    ]:
        schema = {"$ref": f"#/components/schemas/{shape}", "components": description["components"]}
        Draft202012Validator(schema).validate(answer.json)


def test_the_api_keeps_to_its_description(client):
    """What schemathesis makes up, good and bad, for every operation."""
    config = SchemathesisConfig.from_dict(
        {"checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "413", "422"]}}}
    )
    schema = schemathesis.openapi.from_wsgi("/openapi.json", client.application, config=config, headers=HOST)

    for operation in schema.get_all_operations():

        @bounded(
            max_examples=15, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.ok().as_strategy())
        def keeps(case):
            case.call_and_validate(headers=HOST)

        keeps()


def test_measurements_count_what_was_answered(services, noise):
    client = client_of(services["popularity"])

    def counted():
        text = client.get("/metrics", headers=HOST).text
        found = re.search(r'hitsong_requests_total\{endpoint="predict",status="200"\} ([\d.]+)', text)
        return float(found[1]) if found else 0

    before = counted()
    predict(client, noise)
    assert counted() == before + 1
    assert "hitsong_worker_restarts 0.0" in client.get("/metrics", headers=HOST).text


# ---------------------------------------------------------------------- which model


def test_the_best_model_that_can_judge_a_file_is_chosen(study, tmp_path):
    def put(name, score, kind="mel"):
        info = read_json(study.models / "inception" / "bundle.json")
        info["validation"]["spearman"] = score
        info["inputs"] = {"x": info["inputs"]["mel"] | {"kind": kind}}
        write_json(other.models / name / "bundle.json", info)
        model = study.models / "inception" / "model.keras"
        (other.models / name / "model.keras").write_bytes(model.read_bytes())

    other = replace(study, folder=tmp_path)
    with pytest.raises(UserError, match=r"no finished model; run: python 05_train\.py"):
        choose(other)
    put("deaf", 0.9, kind="spotify")
    with pytest.raises(UserError, match="deaf: made for Spotify's audio features"):
        choose(other)
    put("good", 0.4)
    put("fair", 0.3)
    assert choose(other)[1] == "good: of those that can judge a file the best on validation (spearman)"
    write_json(other.report / "metrics.json", {"best": "fair"})
    assert choose(other)[1] == "fair: the best of the study by 06_evaluate.py"
    write_json(other.report / "metrics.json", {"best": "deaf"})
    chosen, why = choose(other)
    assert chosen.folder.name == "good"
    assert why.endswith("deaf, the best of the study, needs Spotify's audio features")
    write_json(other.report / "metrics.json", {"best": "ridge-tags"})
    assert choose(other)[1].endswith("ridge-tags, the best of the study, is no bundle in models/")
    assert choose(other, "fair")[0].folder.name == "fair"
    with pytest.raises(UserError, match="did you mean 'fair'"):
        choose(other, "fare")
