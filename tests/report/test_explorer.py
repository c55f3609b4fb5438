"""The tracks of a report, one by one: seen, selected, searched, sorted and played in a browser."""

import base64
import io
import json

import numpy as np
import pytest
import soundfile

from hitsong.evaluation.compare import select_model
from hitsong.report import build, explorer
from tests import browser, finished

pytestmark = pytest.mark.long

NAMES = {"popularity": "synthetic", "popular": "spotify", "buckets": "fma", "audio_features": "table"}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    return {kind: finished.study(folder, kind, **options) for kind, options in finished.SOURCES.items()}


@pytest.fixture(scope="module")
def report(studies):
    return build.build_report(**studies["popularity"])


def explored(studies, kind):
    given = studies[kind]
    names = ("study", "tracks", "table", "target")
    return explorer.explore(*(given[name] for name in names), given["result"]["best"], NAMES[kind])


@pytest.mark.parametrize("kind", finished.SOURCES)
def test_every_test_track_is_a_row_with_its_truth_and_prediction(studies, kind):
    given, tracks = studies[kind], explored(studies, kind)
    target = given["target"]
    y, p = select_model(given["table"], given["result"]["best"], target.names)
    table = tracks.figure.table.set_index("track_id")
    assert len(tracks.rows) == len(y) == len(table)
    assert [row["p"] for row in tracks.rows] == sorted((row["p"] for row in tracks.rows), reverse=True)
    scores = target.score(p.to_numpy() if p.shape[1] > 1 else p.to_numpy()[:, 0], target.names[0])
    np.testing.assert_allclose(table.loc[p.index, "p"], scores, rtol=1e-3)
    by_id = given["tracks"].set_index("track_id")
    truth = by_id.loc[p.index, "popularity"].astype(float) if target.classes else y.iloc[:, 0]
    np.testing.assert_allclose(table.loc[p.index, "y"], truth, rtol=1e-3)
    content = json.loads(tracks.json.replace("\\u003c", "<"))
    assert [row["title"] for row in content["rows"]] == list(by_id.loc[table.index, "name"])
    assert "<" not in tracks.json
    if kind == "popularity":
        np.testing.assert_allclose(table["d"], table["p"] - table["y"], atol=0.02)
    if kind == "audio_features":
        for name, values in tracks.outputs.items():
            np.testing.assert_allclose(values["y"], y.loc[table.index, name], rtol=1e-3)


@pytest.mark.parametrize(("kind", "played"), [("popularity", True), ("popular", False), ("buckets", False)])
def test_only_what_may_be_copied_is_played(studies, kind, played):
    rows = explored(studies, kind).rows
    assert any(row["audio"] for row in rows) == played
    assert all(row["audio"] is None or row["link"] is None for row in rows)
    if kind == "popular":
        assert all(row["link"].startswith("https://open.spotify.com/track/") for row in rows)


def test_where_tracks_are_many_the_ends_of_the_list_are_played(studies, monkeypatch):
    monkeypatch.setattr(explorer, "EXCERPTS", 10)
    audible = [row["audio"] is not None for row in explored(studies, "popularity").rows]
    assert audible == [True] * 5 + [False] * (len(audible) - 10) + [True] * 5


def test_an_excerpt_is_the_middle_of_a_clip_and_small(tmp_path):
    seconds = np.arange(30 * 22050) / 22050
    wave = 0.5 * np.sin(2 * np.pi * 440 * seconds) * ((seconds > 13) & (seconds < 17))
    soundfile.write(tmp_path / "clip.wav", np.column_stack([wave, wave]), 22050)
    encoded = explorer.encode(tmp_path / "clip.wav")
    assert len(encoded) < 40_000
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
    loud = np.abs(samples) > 0.2
    assert len(samples) / rate == pytest.approx(6, abs=0.2)
    assert loud[: int(0.7 * rate)].mean() < 0.01
    assert loud[int(1.3 * rate) : int(4.7 * rate)].mean() > 0.5


@pytest.fixture
def shown(report):
    """The page of the report with its chart of tracks drawn."""
    with browser.page(*browser.DESK) as (page, trouble):
        page.goto(report.as_uri())
        page.locator("#tracks").scroll_into_view_if_needed()
        page.wait_for_selector(".drawing.tracks .live svg")
        page.wait_for_function("!document.querySelector('.drawing.tracks > svg')")
        page.locator(".drawing.tracks").evaluate("place => place.scrollIntoView({block: 'center'})")
        yield page
        assert trouble == []


def numbers_of(shown, column):
    cells = shown.locator(f"#tracks .explorer tbody tr > *:nth-child({column})").all_inner_texts()
    return [float(cell.replace("−", "-")) for cell in cells]


def test_pointing_at_a_dot_shows_its_track(shown, studies):
    first = explored(studies, "popularity").rows[0]
    dots = shown.locator(".drawing.tracks .mark-symbol path")
    assert dots.count() == len(explored(studies, "popularity").rows)
    dots.first.hover()
    tip = shown.locator(".tip").inner_text()
    assert first["title"] in tip
    assert first["artist"] in tip
    assert "actual" in tip
    assert "predicted" in tip


def test_a_click_on_a_dot_or_a_button_plays_the_track(shown, studies):
    first = explored(studies, "popularity").rows[0]
    shown.locator(".drawing.tracks .mark-symbol path").first.click()
    assert first["title"] in shown.locator(".playing span").inner_text()
    shown.wait_for_function("document.querySelector('.playing audio').duration > 1")
    shown.locator("#tracks .explorer tbody .play").nth(2).click()
    assert explored(studies, "popularity").rows[2]["title"] in shown.locator(".playing span").inner_text()


def test_an_area_of_the_chart_filters_the_table(shown, studies):
    box = shown.locator(".drawing.tracks .live svg").bounding_box()
    x, y = box["x"] + 0.65 * box["width"], box["y"] + 0.15 * box["height"]
    shown.mouse.move(x, y)
    shown.mouse.down()
    shown.mouse.move(x + 0.3 * box["width"], y + 0.5 * box["height"], steps=5)
    shown.mouse.up()
    shown.wait_for_function("!document.querySelector('#tracks output').textContent.startsWith('66 of')")
    left = numbers_of(shown, 5)
    assert 0 < len(left) < len(explored(studies, "popularity").rows)
    assert f"{len(left)} of" in shown.locator("#tracks output").inner_text()
    assert min(left) > np.median([row["p"] for row in explored(studies, "popularity").rows])
    shown.locator("[name=clear]").click()
    shown.wait_for_function("document.querySelector('#tracks output').textContent.startsWith('66 of')")


def test_words_find_tracks(shown, studies):
    rows = explored(studies, "popularity").rows
    artist = rows[0]["artist"]
    expected = [row["title"] for row in rows if artist.lower() in f"{row['title']} {row['artist']}".lower()]
    shown.locator("[name=words]").fill(artist.upper())
    names = shown.locator("#tracks .explorer tbody th").all_inner_texts()
    assert [name.replace("▶", "").strip() for name in names] == expected
    shown.locator("[name=words]").fill("( no such [ song")
    assert shown.locator("#tracks .explorer tbody tr").count() == 0


def test_columns_sort_both_ways(shown):
    heading = shown.locator("#tracks .explorer thead th").nth(3)
    heading.locator("button").click()
    values = numbers_of(shown, 4)
    assert values == sorted(values, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").click()
    values = numbers_of(shown, 4)
    assert values == sorted(values)
    models = shown.locator("#models table.sortable").first
    models.locator("thead button").nth(1).click()
    cells = models.locator("tbody tr > *:nth-child(2)").all_inner_texts()
    first = [cell.split()[0] for cell in cells]
    assert first[-1] == "–"  # undefined values come last
    values = [float(text.replace("−", "-")) for text in first if text != "–"]
    assert values == sorted(values, reverse=True)


def test_a_link_opens_its_section(shown):
    details = shown.locator("#facts > details")
    assert details.get_attribute("open") is None
    shown.locator("nav a[href='#facts']").click()
    shown.wait_for_function("document.querySelector('#facts > details').open")


def test_the_verdict_the_chosen_model_and_the_caveats_stand_in_the_first_screen(shown):
    shown.evaluate("scrollTo(0, 0)")
    for part in (".answer", ".key", ".note"):
        box = shown.locator(part).bounding_box()
        assert box["y"] + box["height"] <= browser.DESK[1]
    assert shown.locator("section > details[open]").count() == 2


def test_without_javascript_the_page_has_pictures_and_the_first_tracks(report, studies):
    with browser.page(*browser.PHONE, javascript=False) as (page, trouble):
        page.goto(report.as_uri())
        rows = page.locator("#tracks .explorer tbody tr")
        assert rows.count() == explorer.LISTED
        assert explored(studies, "popularity").rows[0]["title"] in rows.first.inner_text()
        assert page.locator(".drawing.tracks > svg").is_visible()
        assert not page.locator(".tools").is_visible()
        assert trouble == []


def test_another_audio_feature_is_chosen(studies):
    path = build.build_report(**studies["audio_features"])
    with browser.page(*browser.DESK, dark=True) as (page, trouble):
        page.goto(path.as_uri())
        page.locator("#tracks").scroll_into_view_if_needed()
        page.wait_for_selector(".drawing.tracks .live svg")
        before = numbers_of(page, 4)
        page.locator("[name=output]").select_option("energy")
        browser.wait_until(page, lambda: numbers_of(page, 4) != before)
        assert trouble == []


def test_plays_of_millions_have_one_logarithmic_scale_and_tables_that_fit(tmp_path, monkeypatch):
    tracks_of = finished._tracks

    def with_plays(*arguments):
        tracks = tracks_of(*arguments)
        return tracks.assign(popularity=(50_000 * np.exp(tracks["popularity"].astype(float) / 6)).round())

    monkeypatch.setattr(finished, "_tracks", with_plays)
    given = finished.study(tmp_path, "popularity", source="synthetic")
    tracks = explorer.explore(
        *(given[name] for name in ("study", "tracks", "table", "target")), "crnn", "synthetic"
    )
    encoded = tracks.figure.drawing.to_dict()["layer"][1]["encoding"]
    scales = [encoded[axis]["scale"] for axis in ("x", "y")]
    assert scales[0] == scales[1]  # else equal values would not lie on the line
    assert scales[0]["type"] == "symlog"
    path = build.build_report(**given)
    with browser.page(*browser.DESK) as (page, trouble):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
        assert page.evaluate(wide) == 0
        assert page.locator("#models .sortable tbody").inner_text().count("M") > 3
        assert trouble == []
