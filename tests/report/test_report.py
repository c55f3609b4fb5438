"""The report: what it says is what was measured, it stands alone, and it can be read anywhere."""

import doctest
import io
import re
from base64 import b64decode
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy import stats

from hitsong.data.leakage import SIDES
from hitsong.data.targets import Target
from hitsong.evaluation import evaluate, kinds
from hitsong.evaluation.compare import select_model
from hitsong.report import build, drawing, extreme_tracks, figure, formats, model_table, sentences, tables
from hitsong.report.dependence import Dependence
from tests import browser, finished

pytestmark = pytest.mark.long


# By kind of target: another source each, the last without audio.
def bands():
    picture, axes = drawing.new_figure()
    axes.plot([1, 2])
    return figure.Figure(
        "bands", picture, pd.DataFrame({"hertz": [200]}), "The effect of each frequency band."
    )


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """By kind of target: what 06 handed over, and the page."""
    folder, report = tmp_path_factory.mktemp("reports"), {}
    for kind, options in finished.SOURCES.items():
        arguments = finished.study(folder, kind, **options)
        if kind == "popular":
            arguments["dependence"] = Dependence(["The band at 200 Hz has the largest effect."], [bands])
        report[kind] = SimpleNamespace(**arguments, path=build.build_report(**arguments))
    return report


@pytest.mark.parametrize("kind", finished.SOURCES)
def test_the_page_stands_alone(reports, kind):
    text = reports[kind].path.read_text(encoding="utf-8")
    written = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # without the code of Vega
    assert not re.findall(r'src="(?!data:)|<script [^>]*src|<link|@import|url\((?!#)', written)
    outside = set(re.findall(r'href="(https?://[^/"]+)', written)) - {"https://arxiv.org"}
    expected = {
        "popular": {"https://open.spotify.com", "https://developer.spotify.com"}, "buckets": {"https://github.com"},
    }  # fmt: skip
    assert outside == expected.get(kind, set())
    assert "Song &lt;" in text
    assert "Song <" not in text
    assert len(text) < 10e6


@pytest.mark.parametrize("kind", finished.SOURCES)
def test_every_figure_lies_beside_the_page_with_its_numbers(reports, kind):
    report = reports[kind].study.report
    drawn = {path.stem for path in report.glob("*.png")} - {"summary"}
    assert drawn == {path.stem for path in (report / "data").glob("*.csv")}
    text = reports[kind].path.read_text(encoding="utf-8")
    assert "could not be drawn" not in text
    assert text.count("<figure>") == len(drawn)
    assert len(re.findall(r'role="img" aria-label="[^"]{20,}"|<img [^>]*alt="[^"]{10,}"', text)) == len(drawn)
    expected = {
        "popularity": {
            "popularity",
            "comparison",
            "tracks_crnn",
            "calibration",
            "error_by_year",
            "coverage",
        },
        "popular": {"roc", "precision_recall", "confusion_crnn", "error_by_genre", "bands"},
        "buckets": {"confusion_inception", "history_crnn", "error_by_popularity", "learning_curve"},
        "audio_features": {"predictions_ridge-spotify", "error_by_artist_size", "tracks_by_genre"},
    }
    assert expected[kind] <= drawn
    compared = pd.read_csv(report / "data" / "comparison.csv").set_index("model")
    for name, row in reports[kind].result["rows"].items():
        if np.isnan(compared.loc[name, "value"]):
            assert name == "mean"  # one value for all tracks has no order
            continue
        assert compared.loc[name, "value"] == pytest.approx(row["metrics"][reports[kind].result["main"]])


def test_there_is_a_section_for_what_was_run_and_for_nothing_else(reports):
    texts = {kind: report.path.read_text(encoding="utf-8") for kind, report in reports.items()}
    for text in texts.values():
        anchors = re.findall(r'<a href="#(\w+)"', text)
        assert anchors == re.findall(r'<section id="(\w+)"', text)
    assert "The band at 200 Hz" in texts["popular"]
    assert 'id="dependence"' not in texts["popularity"]
    assert "Synthetic data." in texts["popularity"]
    assert "Synthetic" not in texts["buckets"]
    assert "05_train.py" in texts["buckets"]
    assert "05_train.py" not in texts["audio_features"]
    assert "audio features from audio features" in texts["audio_features"]


def test_the_answer_is_in_the_measured_numbers(reports):
    for report in reports.values():
        best = report.result["rows"][report.result["best"]]
        low, high = best["intervals"][report.result["main"]]
        text = report.path.read_text(encoding="utf-8")
        message = re.search(r'<p class="answer"><strong>(.*?)</strong>(.*?)</p>', text)
        assert formats.interval((low, high)) in message[2]
        names = list(kinds.metrics_of(report.target.kind))
        support = model_table.typical_intervals(report.result["rows"].values(), names)
        for metric in names:
            assert formats.number(best["metrics"][metric], support[metric]) in text


def result(low, high, value=None, kind="popularity", collapsed=False):
    main = {"popularity": "spearman", "popular": "roc_auc"}[kind]
    row = {
        "metrics": {main: (low + high) / 2 if value is None else value},
        "intervals": {main: (low, high)}, "collapsed": collapsed,
    }  # fmt: skip
    return {"kind": kind, "main": main, "best": "crnn", "rows": {"crnn": row}, "paired": {}}


def test_the_verdict_follows_the_interval():
    def verdict(*bounds, **options):
        return sentences.answer(result(*bounds, **options), 100, True, 0.6)[0]

    assert verdict(0.1, 0.4) == "To some extent."
    assert verdict(0.6, 0.8) == "To a large extent."
    assert verdict(-0.1, 0.4).startswith("Not shown")
    assert verdict(-0.4, -0.1).startswith("No: ")
    assert verdict(0.45, 0.62, kind="popular").startswith("Not shown")
    assert verdict(0.51, 0.62, kind="popular") == "Better than chance."
    assert verdict(0.1, 0.4, collapsed=True).startswith("No result")
    assert "without training tracks" not in sentences.answer(result(0.1, 0.4), 100, False, 0.6)[1]


def test_what_is_too_good_to_be_true_is_named():
    assert sentences.suspicion(result(0.5, 0.9, 0.7), real_audio=True)
    assert sentences.suspicion(result(0.5, 0.9, 0.7), real_audio=False) is None
    assert sentences.suspicion(result(0.2, 0.4, 0.3), real_audio=True) is None


def test_the_baseline_is_beaten_only_where_the_paired_interval_says_so():
    actual = result(0.1, 0.4)
    actual["rows"]["crnn"]["repetitions"] = 3

    def relation(low, high):
        actual["paired"] = {"ridge": {"spearman": {"difference": (low + high) / 2, "low": low, "high": high}}}
        return sentences.against_baseline(actual, "ridge")

    assert "cannot be distinguished from" in relation(-0.1, 0.2)
    assert "better than" in relation(0.1, 0.2)
    assert "worse than" in relation(-0.2, -0.1)
    assert sentences.against_baseline(actual, "crnn") is None
    actual["rows"]["crnn"] |= {"repetitions": None, "coverage": {"0.5": {"coverage": 0.5, "width": 1.0}}}
    assert "with 1 seed; 3 are needed" in relation(0.1, 0.2)  # a network, fitted once


@pytest.mark.parametrize("module", [figure, formats, tables])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


def test_pairs_are_counted_as_by_hand(rng):
    y, p = rng.integers(0, 6, 60), rng.normal(size=60).round(1)
    right = [
        0.5 if p[i] == p[j] else float((p[i] > p[j]) == (y[i] > y[j]))
        for i, j in combinations(range(60), 2)
        if y[i] != y[j]
    ]
    assert tables.ordered_pairs(y, p) == pytest.approx(np.mean(right))


def test_the_interval_of_a_mean_knows_that_groups_belong_together(rng):
    values, alone = rng.normal(size=40), np.arange(40)
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert tables.mean_interval(values, alone) == pytest.approx((values.mean(), low, high))
    thrice = tables.mean_interval(np.tile(values, 3), np.tile(alone, 3))
    assert thrice == pytest.approx((values.mean(), low, high))  # copies of a track tell nothing new
    assert np.isnan(tables.mean_interval(values, np.zeros(40))[1])
    assert tables.mean_interval(values, alone, (0, 1))[1] >= 0


@pytest.mark.parametrize("kind", finished.SOURCES)
def test_predictions_are_found_again_in_the_long_table(reports, kind):
    report = reports[kind]
    y, p = select_model(report.table, report.result["best"], report.target.names)
    test = report.tracks.set_index("track_id").loc[p.index]
    truth = report.target.truth(test)
    actual = y.to_numpy().argmax(1) if kind == "buckets" else y.to_numpy().squeeze()
    np.testing.assert_allclose(actual, truth.squeeze())
    rows = report.table[
        (report.table["model"] == report.result["best"]) & (report.table["track_id"] == p.index[3])
    ]
    assert rows.set_index("output")["prediction"].to_dict() == p.iloc[3].to_dict()


def test_errors_by_cell_are_the_means_and_small_cells_are_marked(reports):
    report = reports["popularity"]
    y, p = select_model(report.table, "crnn", report.target.names)
    ours = tables.loss("popularity", y, p)
    where = tables.cells(report.tracks)["genre"]
    groups = report.tracks.set_index("track_id")["group"]
    actual = tables.errors(ours, ours + 1, groups, where).set_index("cell")
    genre = report.tracks.set_index("track_id")["genre"].reindex(ours.index)
    expected = (y - p).abs().squeeze().groupby(genre).mean()
    pd.testing.assert_series_equal(
        actual["error"].sort_index(), expected.sort_index(), check_names=False, check_dtype=False
    )
    assert (actual["of_mean"] - actual["error"]).to_numpy() == pytest.approx(1)
    few = tables.errors(ours.iloc[:9], ours.iloc[:9], groups, where)
    assert few["few"].all()


def test_cells_come_in_order_and_cover_all_that_is_known():
    tracks = pd.DataFrame(
        {
            "track_id": [f"t{n}" for n in range(40)],
            "artist_id": ["big"] * 30 + [f"a{n}" for n in range(10)],
            "release_date": [f"{year}-01-01" for year in range(1961, 2000)] + [None],
            "genre": [f"g{n % 20}" for n in range(40)],
        }
    )
    actual = tables.cells(tracks)
    assert list(actual["year"].cat.categories) == [f"{y}–{(y + 4) % 100:02}" for y in range(1960, 2000, 5)]
    assert actual["year"].isna().sum() == 1
    assert actual["artist_size"].value_counts()["20 to 49"] == 30
    assert actual["artist_size"].value_counts()["1"] == 10
    assert actual["genre"].nunique() == 12
    assert (actual["genre"] == "other").sum() == 40 - 2 * 11
    popularity = pd.Series([0] * 20 + list(range(1, 21)), index=tracks["track_id"])
    tenths = tables.popularity_cells(popularity)
    assert list(tenths.cat.categories) == ["0", "1 to 20"]
    assert tenths.notna().all()


def test_calibration_accounts_for_every_track(reports):
    report = reports["popular"]
    y, p = select_model(report.table, "crnn", report.target.names)
    table = tables.calibration(y, p, report.tracks.set_index("track_id")["group"], (0, 1))
    assert table["tracks"].sum() == len(y)
    assert table["predicted"].is_monotonic_increasing
    assert np.average(table["actual"], weights=table["tracks"]) == pytest.approx(y.squeeze().mean())
    assert table["low"].min() >= 0
    assert table["high"].max() <= 1


def test_a_histogram_counts_every_track():
    rng = np.random.default_rng(0)
    for popularity in (rng.integers(0, 90, 300), rng.lognormal(6, 3, 300), rng.normal(0, 1, 300)):
        tracks = pd.DataFrame({"popularity": popularity, "side": rng.choice(list(SIDES), 300)})
        table = tables.histogram(tracks)
        assert table[list(SIDES)].to_numpy().sum() == 300
        assert len(table) <= 60


def test_the_songs_most_right_are_those_that_the_model_knew_and_the_mean_did_not():
    target = Target("popularity")
    ids = pd.Index([f"t{n}" for n in range(10)], name="track_id")
    y = pd.Series([0.0, 50, 5, 5, 5, 5, 5, 5, 0, 60], index=ids)
    p = pd.Series([0.0, 50, 5, 5, 5, 5, 5, 5, 70, 0], index=ids)
    rows = evaluate.table(target, y, {"crnn": p, "mean": pd.Series(10.0, index=ids)})
    right, wrong = extreme_tracks.find_extremes(rows, target, "crnn")
    assert right[:2] == ["t1", "t0"]
    assert wrong[:2] == ["t8", "t9"]


@pytest.mark.parametrize(
    ("source", "track", "heard", "link"),
    [
        ("spotify", {}, False, "https://open.spotify.com/track/x1"),
        ("deezer", {"track_id": "deezer:9"}, False, "https://www.deezer.com/track/9"),
        ("synthetic", {}, True, None),
        ("fma", {"licence": "Attribution-NonCommercial 3.0 International"}, True, None),
        ("fma", {"licence": "FMA-Limited: Download Only"}, False, None),
        ("fma", {}, False, None),
        ("table", {"audio_path": "mine.wav"}, True, None),
        ("table", {"preview_url": "https://example.org/a.mp3"}, False, "https://example.org/a.mp3"),
        ("table", {"preview_url": "javascript:alert(1)"}, False, None),
    ],
)
def test_only_what_may_be_copied_is_heard_in_the_page(reports, tone, source, track, heard, link):
    study = reports["popularity"].study
    study = SimpleNamespace(folder=tone("a.wav").parent, downloads=tone("a.wav").parent / "downloads.parquet")
    row = {
        "track_id": "x1", "name": "n", "artist_name": "a", "release_date": "2020", "licence": None,
        "audio_path": None, "preview_url": None, **track,
    }  # fmt: skip
    pd.DataFrame({"track_id": [row["track_id"]], "status": "ok", "path": "a.wav"}).to_parquet(study.downloads)
    rows = pd.DataFrame(
        {"track_id": [row["track_id"]], "model": "m", "output": "popularity", "y": 3.0, "prediction": 4.5}
    )
    (track_shown,) = extreme_tracks.describe_tracks(
        [row["track_id"]], study, pd.DataFrame([row]), rows, Target("popularity"), "m", source
    )
    assert (track_shown.audio is not None) == heard
    assert track_shown.link == link
    assert track_shown.predictions == [("popularity", "3", "4.5")]


def test_an_excerpt_is_the_middle_of_the_clip_and_small(tmp_path):
    seconds = np.arange(30 * 22050) / 22050
    wave = 0.5 * np.sin(2 * np.pi * 440 * seconds) * ((seconds > 10) & (seconds < 20))
    soundfile.write(tmp_path / "clip.wav", np.column_stack([wave, wave]), 22050)
    address = extreme_tracks.encode_excerpt(tmp_path / "clip.wav")
    assert len(address) < 250_000
    excerpt, rate = soundfile.read(io.BytesIO(b64decode(address.split(",")[1])))
    assert excerpt.ndim == 1
    assert len(excerpt) / rate == pytest.approx(15, abs=0.2)
    loud = np.abs(excerpt) > 0.2
    assert loud[: int(2 * rate)].mean() < 0.01  # 7.5 to 9.5 s of the clip
    assert loud[int(3 * rate) : int(12 * rate)].mean() > 0.5


def test_figures_take_their_colours_from_the_page(reports):
    text = reports["popularity"].path.read_text(encoding="utf-8")
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--accent)" in drawn
    assert not re.findall(r"#[0-9a-f]{6}", re.sub(r'(href|url\()="?#\w+', "", drawn))
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def see_all(shown):
    """Scroll through a page, so that all its charts are drawn."""
    shown.evaluate(
        """async () => {
            for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
                scrollTo(0, y);
                await new Promise((resolve) => setTimeout(resolve, 30));
            }
        }"""
    )
    shown.wait_for_function("!document.querySelector('.drawing.chart > svg')")


@pytest.mark.parametrize("kind", finished.SOURCES)
def test_the_page_can_be_read_on_phone_and_desk_by_day_and_by_night(reports, kind):
    with browser.page(*browser.PHONE) as (shown, trouble):
        shown.goto(reports[kind].path.as_uri())
        shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        marks = """[...document.querySelectorAll('.drawing.chart:not(.tracks)')].map((place) =>
            [".mark-symbol path", ".mark-rule line", ".mark-rect path", ".mark-text text"].map(
                (kind) => place.querySelectorAll(kind).length))"""
        pictures = shown.evaluate(marks)
        see_all(shown)
        assert shown.evaluate(marks) == pictures  # the charts show what their pictures showed
        papers = set()
        for width, height in (browser.PHONE, browser.DESK):
            for scheme in ("light", "dark"):
                shown.set_viewport_size({"width": width, "height": height})
                shown.emulate_media(color_scheme=scheme)
                assert browser.overflowing(shown) == []
                assert browser.faults(shown) == []
                papers.add(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(papers) == 2
        loaded = shown.evaluate("[...document.images].map(one => one.naturalWidth)")
        drawn = shown.evaluate(
            "[...document.querySelectorAll('.drawing svg.marks, .drawing > svg')].map(one => one.getBBox().width)"
        )
        assert len(loaded) + len(drawn) == len(list((reports[kind].study.report / "data").glob("*.csv")))
        assert min(loaded + drawn) > 0
        if kind == "popularity":
            shown.wait_for_function(
                "[...document.querySelectorAll('.song audio')].every(one => one.duration > 1)"
            )
            assert shown.locator(".song audio").count() == 6
        assert trouble == []


def test_the_eyes_of_these_tests_are_open():
    with browser.page(*browser.PHONE, dark=True) as (shown, trouble):
        shown.set_content(
            '<p style="width: 900px">wide</p><img src="http://pictures.invalid/a.png"><p style="color: #aaa">pale</p>'
            "<script>console.error('lost'); missing()</script>"
        )
        shown.wait_for_timeout(200)
        assert "wide" in browser.overflowing(shown)[0]
        assert any("image-alt" in fault for fault in browser.faults(shown))
        for what in (
            "remote request: http://pictures",
            "failed: http://pictures",
            "console: lost",
            "exception",
        ):
            assert any(what in line for line in trouble), trouble
        assert shown.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
