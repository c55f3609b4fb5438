"""The page of the service: a real browser before a real service."""

import csv
import io
import json
import re
from contextlib import ExitStack

import numpy as np
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import expect

from tests import browser
from tests.serving import serving

pytestmark = pytest.mark.long

REFUSED = r"the server responded with a status of (4\d\d|503)"  # the browser's own note of it
PATIENCE = 120_000  # milliseconds for a response; other tests may need the cores


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


@pytest.fixture
def clips(shared):
    """Real music, 30 s each."""
    return sorted(shared.glob("fma_mini/fma_small/**/*.mp3"))


@pytest.fixture
def visit(served):
    """Opens the page; nothing may go wrong in it but what is expected to, nor come from elsewhere."""
    visits = []
    with ExitStack() as stack:

        def opened(size=browser.DESK, dark=False, expected=None, before=None):
            tab, trouble = stack.enter_context(browser.page(*size, dark))
            visits.append((trouble, expected))
            if before:
                tab.add_init_script(before)
            tab.goto(served.url)
            expect(tab.locator("#model-facts")).to_contain_text("Study")
            return tab

        yield opened
        for trouble, expected in visits:
            assert [item for item in trouble if not (expected and re.search(expected, item))] == []


def answered(tab, files):
    """Give the page files and wait for its answer: the service's own, as the page received it."""
    path = "/rank" if len(files) > 1 else "/predict"
    with tab.expect_response(lambda response: f"{path}?" in response.url, timeout=PATIENCE) as caught:
        tab.locator("#files").set_input_files(files)
    expect(tab.locator("#result-title")).to_be_focused()
    return caught.value.json()


def value(element):
    """The number that an element shows."""
    return float(element.inner_text().replace(",", "").replace("\u2212", "-"))


def shown(image):
    """Wait until an image is there; its size in pixels."""
    expect(image).not_to_have_js_property("naturalWidth", 0)
    return image.evaluate("image => [image.naturalWidth, image.naturalHeight]")


def test_one_song_is_answered_explained_and_played(visit, clips):
    tab = visit()
    tab.evaluate(
        """() => {
          window.said = [];
          const live = document.querySelector("[role=status]");
          new MutationObserver(() => said.push(live.textContent)).observe(live, {childList: true});
        }"""
    )
    answer = answered(tab, [clips[0]])
    uploaded = "Uploaded. The service analyses it."
    assert tab.evaluate("said") == ["Uploading.", uploaded, "The result is ready."]
    expect(tab.locator("#result-title")).to_have_text(clips[0].name)
    assert value(tab.locator(".figure")) == pytest.approx(answer["prediction"], abs=0.5)
    score = tab.locator(".score").inner_text()
    among = answer["percentile"]
    assert f"Scored higher than {among['among_predictions']:.0f}\u00a0% of other songs" in score
    assert (
        f"{among['among_tracks']:.0f}\u00a0% of the study" not in score
    )  # the other place stands in the details
    tab.get_by_text("How to read this").click()
    expect(tab.locator(".score")).to_contain_text(among["explained"])
    expect(tab.locator(".score")).to_contain_text(f"{among['among_tracks']:.0f}\u00a0% of the study")
    expect(tab.locator(".of")).to_have_text(f"{answer['title']} by {answer['artist']}")
    expect(tab.locator(".quality").first).to_contain_text("Measured on 15 songs that it was not trained on")

    # The overlay lies over the spectrogram, and can be dimmed and switched off.
    overlay = tab.locator(".overlay")
    assert shown(tab.locator(".spectrogram")) == shown(overlay)
    expect(overlay).to_have_css("opacity", "0.8")
    tab.get_by_label("Strength").fill("40")
    expect(overlay).to_have_css("opacity", "0.4")
    tab.get_by_label("Colours").uncheck()
    expect(overlay).to_have_css("opacity", "0")

    # The player plays the song at hand; the line over the picture follows, and leads.
    audio, picture = tab.locator("audio"), tab.locator(".picture")
    assert audio.evaluate("audio => audio.src").startswith("blob:")
    assert audio.evaluate("audio => audio.duration") == pytest.approx(answer["seconds"], abs=0.2)
    picture.click()  # in its middle
    box = picture.bounding_box()
    middle = (answer["excerpt"]["start"] + answer["excerpt"]["end"]) / 2
    assert audio.evaluate("audio => audio.currentTime") == pytest.approx(middle, abs=0.2)
    line = tab.locator(".playhead").bounding_box()
    assert line["x"] - box["x"] == pytest.approx(box["width"] / 2, abs=3)
    tab.get_by_role("button", name="Play").click()
    expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    browser.wait_until(tab, lambda: audio.evaluate("audio => audio.currentTime") > middle + 0.2)
    tab.get_by_role("button", name="Pause").click()
    assert tab.locator(".playhead").bounding_box()["x"] > line["x"]

    # What it was made of, and by what.
    assert tab.locator(".tags li").count() == len(answer["tags"])
    assert f"{answer['descriptors']['tempo_bpm']['value']:.0f} BPM" in tab.locator(".measured").inner_text()
    tab.get_by_text("All measurements").click()
    assert tab.locator(".measured tbody tr").count() == len(answer["descriptors"])
    expect(tab.locator(".by")).to_contain_text(answer["model"]["name"])
    expect(tab.locator("#synthetic")).to_be_visible()
    tab.get_by_text("Model card").click()
    assert tab.locator(".card-text h3, .card-text h4").count() > 2


def test_several_songs_are_ranked_and_each_opens(visit, clips, tmp_path):
    (tmp_path / "poem.txt").write_text("roses are red")
    tab = visit()
    answer = answered(tab, [*clips[:3], tmp_path / "poem.txt"])
    expect(tab.locator("#result-title")).to_have_text("3 songs, ranked")
    names = [row["name"] for row in answer["rows"]]
    assert [name.inner_text() for name in tab.locator(".ranking .name").all()] == names
    assert sorted(names) == [clip.name for clip in clips[:3]]
    numbers = [value(cell) for cell in tab.locator(".ranking td.number").all()]
    assert numbers == sorted(numbers, reverse=True)
    above = [cell.inner_text() for cell in tab.locator("td.above").all()]
    assert above == [*(f"{100 * row['above_next']:.0f}\u00a0%" for row in answer["rows"][:2]), ""]
    expect(tab.locator(".failed")).to_contain_text("poem.txt")

    durations = {clip.name: soundfile.info(clip).duration for clip in clips[:3]}
    for name in names[:2]:
        button = tab.get_by_role("button", name=name, exact=True)
        button.click()
        expect(button).to_have_attribute("aria-expanded", "true")
        expect(tab.locator(".detail")).to_have_count(1)  # the one before is closed
        audio = tab.locator(".detail audio")
        expect(audio).not_to_have_js_property("readyState", 0)
        assert audio.evaluate("audio => audio.duration") == pytest.approx(durations[name], abs=0.2)
        shown(tab.locator(".overlay"))
    button.click()
    expect(tab.locator(".detail")).to_have_count(0)

    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download the table").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0] == "rank,name,prediction,low,high,above_next,warnings"
    assert [line.split(",")[1] for line in lines[1:]] == names


def test_what_is_refused_is_said_with_what_to_do(visit, clips, tmp_path):
    tab = visit(expected=REFUSED)
    problem = tab.get_by_role("alert")
    (tmp_path / "poem.txt").write_text("roses are red")
    tab.locator("#files").set_input_files(tmp_path / "poem.txt")
    expect(problem).to_contain_text("could not be read as music")
    expect(problem).to_contain_text("poem.txt: ")
    expect(problem).to_contain_text("MP3, M4A, FLAC, OGG, WAV or a video")
    expect(tab.locator("#choose")).to_be_focused()
    with open(tmp_path / "album.wav", "wb") as file:
        file.truncate(40_000_000)  # more than a song of the service's may have
    tab.locator("#files").set_input_files(tmp_path / "album.wav")
    expect(problem).to_contain_text("album.wav: 40 MB; a song may have up to 30 MB")
    answered(tab, [clips[0]])
    expect(problem).to_be_empty()


@pytest.mark.parametrize("size", [browser.DESK, browser.PHONE])
def test_the_documentation_is_drawn_without_the_network(served, size):
    with browser.page(*size, False) as (tab, trouble):
        tab.goto(f"{served.url}/docs")
        tab.get_by_role("button", name="POST /predict Score one song").click()
        expect(tab.get_by_text("Try it out")).to_be_visible()
        addresses = tab.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert all(address.startswith((served.url, "data:")) for address in addresses)
        assert trouble == []


def test_a_busy_service_is_asked_again_and_a_token_is_asked_for(visit, clips):
    tab = visit(expected=REFUSED)
    sent = []

    def guard(route):
        """Refuse as the service does when it is full, and when it wants a token, then let pass."""
        sent.append(route.request.headers.get("authorization"))
        if len(sent) == 1:
            body, headers = {"status": 503, "detail": "full"}, {"Retry-After": "1"}
        elif sent[-1] != "Bearer sesame":
            body, headers = {"status": 401, "detail": "no token"}, {"WWW-Authenticate": "Bearer"}
        else:
            return route.continue_()
        route.fulfill(status=body["status"], json=body, headers=headers)

    tab.route("**/predict?*", guard)
    tab.locator("#files").set_input_files(clips[0])
    expect(tab.locator("#waiting")).to_contain_text("Next try in 1 s")
    token = tab.get_by_label("access token")
    token.fill("open")
    token.press("Enter")
    expect(tab.get_by_text("did not accept that token")).to_be_visible()
    token.fill("sesame")
    token.press("Enter")
    expect(tab.locator("#result-title")).to_be_focused()
    assert sent == [None, None, "Bearer open", "Bearer sesame"]
    assert tab.evaluate("[document.cookie, sessionStorage.length, Object.keys(localStorage)]") == [
        "", 0, ["hitsong.results"],
    ]  # fmt: skip
    assert "sesame" not in tab.evaluate("Object.values(localStorage).join()")


def test_all_is_done_by_keyboard(visit, clips):
    tab = visit()
    # Playwright begins to catch choosers a moment after it is asked to.
    tab.on("filechooser", lambda _: None)
    press = tab.keyboard.press
    press("Tab")
    expect(tab.get_by_role("link", name="Skip to the songs")).to_be_in_viewport()
    press("Enter")
    press("Tab")
    expect(tab.locator("#choose")).to_be_focused()
    with tab.expect_file_chooser() as chooser:
        press("Enter")
    held = []  # requests that are never answered
    tab.route("**/predict?*", lambda route: held.append(route))
    chooser.value.set_files(clips[0])
    expect(tab.locator("#step-upload")).to_have_attribute("aria-current", "step")
    press("Escape")
    expect(tab.get_by_role("status")).to_have_text("Cancelled.")
    expect(tab.locator("#choose")).to_be_focused()
    tab.unroute("**/predict?*")
    answer = answered(tab, [clips[0]])
    shown(tab.locator(".overlay"))
    press("Tab")
    expect(tab.get_by_text("How to read this")).to_be_focused()
    press("Tab")
    expect(tab.get_by_role("button", name="Play")).to_be_focused()
    press("Tab")
    press("Space")
    expect(tab.locator(".overlay")).to_have_css("opacity", "0")
    press("Tab")  # the strength of what is not shown cannot be reached
    slider = tab.get_by_role("slider", name="Position in the song")
    expect(slider).to_be_focused()
    assert slider.evaluate("slider => getComputedStyle(slider).outlineStyle") == "solid"
    start, end = answer["excerpt"]["start"], answer["excerpt"]["end"]
    sixth = (end - start) / 6
    for key, seconds in (("ArrowRight", sixth), ("PageUp", 4 * sixth), ("ArrowLeft", 3 * sixth), ("Home", 0)):
        press(key)
        expect(slider).to_have_attribute("aria-valuenow", f"{start + seconds:.1f}")
    press("Space")
    expect(tab.get_by_role("button", name="Pause")).to_be_visible()


# A tone in place of the microphone; and what is sent, which the browser does not tell of forms with files.
MICROPHONE = """
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (form) {
  window.sent = form.get("file");
  send.call(this, form);
};
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  const tone = new OscillatorNode(context, {frequency: 440});
  const stream = context.createMediaStreamDestination();
  tone.connect(stream);
  tone.start();
  return stream.stream;
};
"""


def test_a_recording_is_sent_as_wav(visit):
    tab = visit(before=MICROPHONE)
    tab.get_by_role("button", name="Record").click()
    expect(tab.locator("#recorded")).to_have_text(re.compile(r"0:(0[6-9]|[1-5]\d)"))
    tab.get_by_role("button", name="Stop and analyse").click()
    expect(tab.locator("#result-title")).to_contain_text("Recording")
    sent = tab.evaluate("async () => [...new Uint8Array(await window.sent.arrayBuffer())]")
    samples, rate = soundfile.read(io.BytesIO(bytes(sent)))
    assert samples.ndim == 1
    assert 6 <= len(samples) / rate < 20
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.fft.rfftfreq(len(samples), 1 / rate)[spectrum.argmax()] == pytest.approx(440, abs=1)


LOOKS = [(browser.DESK, True), (browser.PHONE, False), (browser.DESK, False), (browser.PHONE, True)]


@pytest.mark.parametrize(("size", "dark"), LOOKS[:2], ids=["desk", "phone"])
def test_it_fits_and_is_accessible(visit, clips, size, dark, tmp_path):
    tab = visit(size, dark, expected=REFUSED)
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 3 * 128) == dark

    def check():
        check_layout(tab, size)

    check()
    (tmp_path / "poem.txt").write_text("roses are red")
    tab.locator("#files").set_input_files(tmp_path / "poem.txt")
    expect(tab.get_by_role("alert")).to_contain_text("could not be read")
    check()
    answered(tab, clips[:3])
    tab.locator(".ranking .name").first.click()
    shown(tab.locator(".overlay"))
    tab.get_by_text("All measurements").click()
    tab.get_by_text("Model card").click()
    check()


@pytest.fixture(scope="module")
def long_song(tmp_path_factory):
    """40 s of noise that becomes brighter."""
    rng = np.random.default_rng(4)
    rise = np.linspace(0, 1, 40 * 22050)
    samples = 0.05 * (
        rise * np.diff(rng.normal(size=len(rise) + 1)) + (1 - rise) * rng.normal(size=len(rise))
    )
    path = tmp_path_factory.mktemp("songs") / "long.wav"
    soundfile.write(path, samples, 22050)
    return path


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_what_if_is_computed_when_it_is_asked_for(visit, long_song, size, dark):
    tab = visit(size, dark)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    answered(tab, [long_song])
    assert not any("what-if" in url for url in asked)
    section = tab.locator(".what-if")
    with tab.expect_response(re.compile("/what-if"), timeout=PATIENCE) as caught:
        section.get_by_role("button", name="Compute").click()
    result = caught.value.json()
    expect(section.locator(".changes li")).to_have_count(6)
    lines = section.locator(".changes li").all()
    for line, sound in zip(lines, result["sound"], strict=True):
        assert ("no clear change" in line.inner_text()) == (not sound["beyond_noise"])
        if sound["beyond_noise"]:
            assert value(line.locator(".value")) == pytest.approx(sound["change"], rel=0.2, abs=0.05)
    expect(section.locator(".dot")).to_have_count(len(result["curve"]))
    best = max(result["curve"], key=lambda excerpt: excerpt["score"])
    heights = [float(dot.get_attribute("cy")) for dot in section.locator(".dot").all()]
    assert heights.index(min(heights)) == result["curve"].index(best)
    expect(section).to_contain_text("half of all songs are further off than")
    check_layout(tab, size)


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_versions_stand_side_by_side(visit, long_song, size, dark, tmp_path):
    samples, rate = soundfile.read(long_song)
    soundfile.write(tmp_path / "mix A.wav", samples, rate)
    soundfile.write(tmp_path / "mix B.wav", samples, rate)
    soundfile.write(tmp_path / "mix C.wav", np.cumsum(samples) / 20, rate)
    tab = visit(size, dark)
    answered(tab, [tmp_path / f"mix {letter}.wav" for letter in "ABC"])
    with tab.expect_response(re.compile("/versions"), timeout=PATIENCE) as caught:
        tab.get_by_role("button", name="Compare them side by side").click()
    rows = caught.value.json()["rows"]
    expect(tab.locator("#result-title")).to_have_text("3 versions, side by side")
    names = [row["name"].removesuffix(".wav") for row in rows]
    verdict = tab.locator(".verdict")
    if rows[0]["within_noise"]:
        expect(verdict).to_contain_text(f"does not tell “{names[0]}” and “{names[1]}” apart")
    else:
        expect(verdict).to_contain_text(f"“{names[0]}” scores")
    expect(verdict).to_contain_text(f"{100 * rows[0]['above_next']:.0f}\u00a0%")
    expect(tab.locator(".scores li")).to_have_count(3)
    assert tab.locator(".spectra line.line").count() == sum(len(row["spectrum"]["hertz"]) - 1 for row in rows)
    head = [cell.inner_text() for cell in tab.locator(".levels thead th").all()]
    assert head == ["measurement", *names]
    loudness = [value(cell) for cell in tab.locator(".levels tbody tr").first.locator("td").all()]
    expected = [row["descriptors"]["loudness_lufs"]["value"] for row in rows]
    assert loudness == pytest.approx(expected, abs=0.06)
    check_layout(tab, size)


def check_layout(tab, size):
    """It fits the window, and axe finds nothing."""
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert browser.overflowing(tab) == []
    assert browser.faults(tab) == []


def test_a_broken_song_carries_its_mark_and_at_390_pixels_its_interval(visit, clips, tmp_path):
    samples, rate = soundfile.read(clips[0])
    soundfile.write(tmp_path / "broken.wav", np.clip(20 * samples[: 10 * rate], -1, 1), rate)
    tab = visit(browser.PHONE)
    answer = answered(tab, [tmp_path / "broken.wav", clips[1]])
    row = next(row for row in answer["rows"] if row["name"] == "broken.wav")
    line = tab.locator(".ranking tbody tr").nth(row["rank"] - 1)
    expect(line.locator(".mark")).to_contain_text("clipped")
    interval = row["interval"]
    assert f"interval {interval['low']:.0f} to {interval['high']:.0f}" in line.inner_text()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download the table").click()
    written = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert "clipped" in written[row["rank"] - 1]["warnings"]


def test_results_stay_after_reload_and_back_until_they_are_forgotten(visit, clips):
    tab = visit()
    expect(tab.locator("#earlier")).to_be_hidden()
    first = answered(tab, [clips[0]])
    expect(tab.locator("#earlier li")).to_have_count(1)
    answered(tab, [clips[1]])
    expect(tab.locator("#earlier li")).to_have_count(2)
    title = tab.locator("#result-title")
    expect(title).to_have_text(clips[1].name)
    tab.go_back()
    expect(title).to_have_text(clips[0].name)
    expect(tab.get_by_role("button", name="Play")).to_be_enabled()  # the page still has the song
    tab.get_by_role("link", name="What it means").click()
    expect(title).to_have_text(clips[0].name)
    tab.reload()
    expect(title).to_have_text(clips[0].name)
    assert value(tab.locator(".figure")) == pytest.approx(first["prediction"], abs=0.5)
    expect(tab.locator(".controls .clock")).to_have_text("Choose the file again to play it.")
    expect(tab.get_by_role("button", name="Compute")).to_be_hidden()
    shown(tab.locator(".spectrogram"))  # which the service still knows
    tab.get_by_role("button", name=clips[1].name).click()
    expect(title).to_have_text(clips[1].name)
    tab.get_by_role("button", name="Forget them").click()
    expect(tab.locator("#earlier")).to_be_hidden()
    assert tab.evaluate("localStorage.length") == 0
    tab.reload()
    expect(tab.locator("#result")).to_be_hidden()
    expect(tab.locator("#choose")).to_be_visible()


def test_a_result_is_saved_as_json_and_as_a_picture(visit, clips):
    tab = visit()
    answer = answered(tab, [clips[0]])
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save as JSON").click()
    assert download.value.suggested_filename == f"{clips[0].stem}.hitsong.json"
    assert json.loads(download.value.path().read_text(encoding="utf-8")) == answer
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save as picture").click()
    picture = Image.open(download.value.path())
    assert (picture.format, picture.size) == ("PNG", (1200, 630))
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 20  # text and bars, not one plain colour


def test_the_nearest_tracks_and_the_level_of_streaming_services_are_shown(visit, clips):
    tab = visit()
    answer = answered(tab, [clips[0]])
    rows = tab.locator(".nearest tbody tr")
    expect(rows).to_have_count(5)
    assert [row.locator("th").inner_text().split("\n")[0] for row in rows.all()] == [
        track["name"] for track in answer["neighbours"]
    ]
    lufs = answer["descriptors"]["loudness_lufs"]["value"]
    said = "turn a song of this level down" if lufs > -13 else "LUFS"
    expect(tab.locator(".loudness")).to_contain_text(said)


KINDS = {
    "popularity": {
        "target": {"kind": "popularity", "names": ["popularity"], "unit": "popularity"},
        "prediction": 25,
        "interval": {"level": 0.9, "low": 10, "high": 40},
        "distribution": {"edges": [0, 20, 40, 100], "counts": [10, 20, 30]},
    },
    "popular": {
        "target": {"kind": "popular", "names": ["popular"], "unit": "probability"},
        "prediction": 0.618,
        "interval": {"level": 0.9, "set": ["not popular", "popular"]},
        "distribution": {"edges": [0, 0.5, 1], "counts": [3, 1]},
    },
    "buckets": {
        "target": {"kind": "buckets", "names": ["low", "medium", "high"], "unit": "probability"},
        "prediction": {"high": 0.2, "low": 0.5, "medium": 0.3},
        "interval": {"level": 0.9, "set": ["low"]},
        "distribution": None,
    },
    "audio_features": {
        "target": {"kind": "audio_features", "names": ["energy", "danceability"], "unit": "0 to 1"},
        "prediction": {"danceability": 0.71, "energy": 0.33},
        "interval": {
            "level": 0.9,
            "low": {"danceability": 0.5, "energy": 0},
            "high": {"danceability": 1, "energy": 0.6},
        },
        "distribution": None,
    },
}
SAID = {
    "popularity": ["25\npopularity", "interval: 10 to 40"],
    "popular": ["62\u00a0%", "certainty: not popular or popular"],
    "buckets": ["low", "certainty: low", "low\n50\u00a0%\nmedium\n30\u00a0%\nhigh\n20\u00a0%"],
    "audio_features": [
        "2 audio features",
        "energy\n0.33 0.00 to 0.60\n0.0\n0.5\n1.0\ndanceability\n0.71 0.50 to 1.00",
    ],
}


def test_every_kind_of_target_is_drawn(visit, served, clips):
    """Real answers, their targets exchanged: training a model for each would tell no more about the page."""
    tab = visit()
    song = tab.request.post(
        f"{served.url}/predict?fields=descriptors,distribution", multipart={"file": clips[0]}
    ).json()
    tab.route("**/predict?*", lambda route: route.fulfill(json=song))
    for kind, exchanged in KINDS.items():
        song |= exchanged | {"percentile": None}
        answered(tab, [clips[0]])
        text = re.sub(r"\s*\n\s*", "\n", tab.locator(".summary").inner_text())
        for message in SAID[kind]:
            assert message in text
        if kind == "popularity":
            check_histogram(tab)
    with tab.expect_response(re.compile("explain.*output=danceability")):
        tab.get_by_label("Explained feature").select_option("danceability")


def check_histogram(tab):
    """Bars as high as tracks are dense; the song and its interval where they belong."""
    heights = [float(bar.get_attribute("height")) for bar in tab.locator(".bin").all()]
    assert np.divide(heights, max(heights)) == pytest.approx([0.5, 1, 0.5])
    bars = [bar.bounding_box() for bar in tab.locator(".bin").all()]
    left, right = bars[0]["x"], bars[-1]["x"] + bars[-1]["width"]
    marker, band = (
        tab.locator(".histogram circle.marker").bounding_box(),
        tab.locator(".histogram rect.band").bounding_box(),
    )
    places = [marker["x"] + marker["width"] / 2, band["x"], band["x"] + band["width"]]
    assert (np.array(places) - left) / (right - left) == pytest.approx([0.25, 0.1, 0.4], abs=0.01)


def test_songs_can_be_dropped_and_keep_apart_under_one_name(visit, tone):
    name = "<img src=x onerror=alert(1)>.wav"
    sounds = [list(tone(f"{seconds}.wav", seconds=seconds).read_bytes()) for seconds in (6, 8)]
    tab = visit()
    dropped = tab.evaluate_handle(
        """([name, sounds]) => {
          const data = new DataTransfer();
          for (const bytes of sounds) data.items.add(new File([new Uint8Array(bytes)], name));
          return data;
        }""",
        [name, sounds],
    )
    tab.dispatch_event("body", "dragenter", {"dataTransfer": dropped})
    expect(tab.locator("#drop")).to_have_class("drop over")
    tab.dispatch_event("body", "drop", {"dataTransfer": dropped})
    expect(tab.locator("#result-title")).to_have_text("2 songs, ranked")
    for given, seconds in ((name, 6), (f"{name} (2)", 8)):
        tab.get_by_role("button", name=given, exact=True).click()
        audio = tab.locator(".detail audio")
        expect(audio).not_to_have_js_property("readyState", 0)
        assert audio.evaluate("audio => audio.duration") == pytest.approx(seconds, abs=0.01)
        shown(tab.locator(".detail .overlay"))  # or the next click would break it off


def test_a_card_is_text_and_never_markup(visit):
    tab = visit()
    card = (
        "# A *b*\n\n<script>x</script> `c` **d**\n\n- one\n- two\n\n| k | v |\n|---|---|\n| <b>1</b> | 2 |\n"
    )
    html = tab.evaluate(
        """async (card) => {
          const {markdown} = await import("/page/card.js");
          const root = document.createElement("div");
          root.append(...markdown(card));
          return root.innerHTML;
        }""",
        card,
    )
    assert "<h3>A <em>b</em></h3>" in html
    assert "<p>&lt;script&gt;x&lt;/script&gt; <code>c</code> <strong>d</strong></p>" in html
    assert "<ul><li>one</li><li>two</li></ul>" in html
    assert "<td>&lt;b&gt;1&lt;/b&gt;</td><td>2</td>" in html


def test_numbers_are_worded_without_false_certainty(visit):
    tab = visit()
    text = tab.evaluate(
        """async () => {
          const {percent, number, clock} = await import("/page/format.js");
          const {ticks} = await import("/page/charts.js");
          const {csv} = await import("/page/ranking.js");
          const row = {
            rank: 1, name: '=1+"a",b', target: {kind: "popularity"}, prediction: 2, interval: {low: 1, high: 3},
            above_next: null, warnings: [{code: "clipped"}, {code: "no_tags"}, {code: "unusual"}],
          };
          return {
            percents: [0, 0.001, 0.5, 0.999, 1].map(percent),
            numbers: [[36.61, 40], [6.81, 4], [0.618, 0.3], [-12.4, 30]].map(([x, width]) => number(x, width)),
            clock: clock(75.9), ticks: [ticks(0, 100, 5), ticks(3, 17, 6), ticks(0, 29.9, 6, [1, 2, 5, 10])],
            csv: csv([row]),
          };
        }"""
    )
    spaced = [percent.replace("\u00a0", " ") for percent in text["percents"]]
    assert spaced == ["0 %", "under 1 %", "50 %", "over 99 %", "100 %"]
    assert text["numbers"] == ["37", "6.8", "0.62", "\u221212"]
    assert text["clock"] == "1:15"
    assert text["ticks"] == [[0, 20, 40, 60, 80, 100], [5, 10, 15], [0, 5, 10, 15, 20, 25]]
    assert text["csv"] == (
        'rank,name,prediction,low,high,above_next,warnings\n1,"\'=1+""a"",b",2,1,3,,clipped unusual\n'
    )
