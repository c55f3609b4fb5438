"""The page over all studies, and the summary of one page."""

import json
import re
import struct
from urllib.parse import unquote

import pytest

from hitsong.report import build, index
from tests import browser, finished

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with two reports, a study without one, one of another version, and a folder that is no study."""
    folder = tmp_path_factory.mktemp("data")
    for kind, options in (("popularity", {"source": "synthetic"}), ("buckets", {"models": 1})):
        build.build_report(**finished.study(folder, kind, tracks=200, **options))
    for name in ("crawled & <more>", "old"):
        (folder / name).mkdir()
        (folder / name / "config.yaml").write_text("study: x\n")
    record = {
        "stage": "collect",
        "finished_at": "2031-05-06T07:08:09+00:00",
        "seconds": 3.2,
        "options": "--set a=b",
    }
    (folder / "crawled & <more>" / "collect.json").write_text(json.dumps(record))
    (folder / "old" / "report").mkdir()
    (folder / "old" / "report" / "metrics.json").write_text('{"version": 1}')
    (folder / "listens").mkdir()
    index.write_index(folder)
    return folder


def test_every_study_is_listed_and_every_link_leads_somewhere(data):
    text = (data / "index.html").read_text(encoding="utf-8")
    assert "<h1>4 studies</h1>" in text
    assert "crawled &amp; &lt;more&gt;" in text
    assert text.index("crawled &amp;") < text.index(">popularity<")  # the last run first
    assert "2031-05-06 07:08" in text
    assert "no report yet" in text
    assert "has version 1" in text
    assert "listens" not in text
    links = re.findall(r'(?:href|src)="([^"]+)"', text)
    assert "popularity/report/report.html" in links
    assert all((data / unquote(link.replace("&amp;", "&"))).exists() for link in links)
    result = json.loads((data / "popularity" / "report" / "metrics.json").read_text())
    assert result["best"] in text
    assert len(text) < 100_000


def test_the_reports_link_back_and_to_their_files(data):
    folder = data / "popularity" / "report"
    text = (folder / "report.html").read_text(encoding="utf-8")
    written = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    links = {link for link in re.findall(r'href="([^"#:]+)"', written)}
    assert {"metrics.json", "models.csv", "summary.pdf", "../config.yaml", "../../index.html"} <= links
    missing = {link for link in links if not (folder / link).exists()}
    assert missing <= {"../evaluate.json", "../config.yaml"}  # of stages, which did not run here


def test_the_summary_is_one_page(data):
    folder = data / "buckets" / "report"
    assert (folder / "summary.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "summary.pdf").read_bytes().count(b"/Type /Page\n") <= 1
    width, height = struct.unpack(">II", (folder / "summary.png").read_bytes()[16:24])
    assert (width, height) == (2 * 595, 2 * 842)


def test_the_index_can_be_read_anywhere(data):
    for size in (browser.PHONE, browser.DESK):
        for dark in (False, True):
            with browser.page(*size, dark=dark) as (shown, trouble):
                shown.goto((data / "index.html").as_uri())
                assert browser.overflowing(shown) == []
                assert browser.faults(shown) == []
                assert trouble == []
                if size == browser.DESK:  # the whole table fits
                    assert shown.evaluate(
                        "(s => s.scrollWidth <= s.clientWidth)(document.querySelector('.scroll'))"
                    )
