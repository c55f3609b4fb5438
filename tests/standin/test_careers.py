"""Careers: as today on the reference day, grown by the planted shares, and listens that only accumulate."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import standin.__main__ as command_line
from hitsong import config
from standin.careers import REFERENCE, years
from standin.dump import draw_listens
from standin.world import World

SETTINGS = config.Standin(recordings=300, artists=40)


def _world(clock, **changes):
    return World(SETTINGS.model_copy(update={"clock": clock, **changes}), "mandopop")


def _popularity(world):
    return np.array([recording.popularity for recording in world.recordings])


@pytest.fixture(scope="module")
def now():
    return _world(REFERENCE.isoformat())


@pytest.fixture(scope="module")
def later():
    return _world("2027-11-01")


def test_the_default_clock_is_the_reference_and_moves_nothing(now):
    assert config.Standin().clock == REFERENCE.isoformat()
    assert (now.careers.changes(now.clock) == 0).all()
    assert (_popularity(now) == now.lasting).all()


def test_another_day_has_the_same_tracks_and_other_popularity(now, later):
    for kind in ("people", "albums", "tracks", "playlists", "previews"):
        assert list(getattr(now, kind)) == list(getattr(later, kind))
    assert [p.tracks[0].id for p in now.playlists.values()] == [
        p.tracks[0].id for p in later.playlists.values()
    ]
    assert (_popularity(now) != _popularity(later)).mean() > 0.4
    ranks = [np.array([track.rank for track in world.tracks.values()]) for world in (now, later)]
    assert 0.5 < spearmanr(*ranks)[0] < 1


def test_most_songs_lose_and_some_rise(now, later):
    change = _popularity(later) - _popularity(now)
    assert (change < 0).sum() > (change > 0).sum() > 0.1 * len(change)


def test_growth_has_the_planted_shares_and_the_sound_predicts_its_own(now, later):
    effects = now.careers.effects
    shares = SETTINGS.growth
    assert np.allclose(effects.var(ddof=0), [shares.artist, shares.audio, shares.noise])
    assert abs(np.corrcoef(effects["growth_effect"], now.careers.growth)[0, 1] - shares.audio**0.5) < 0.01
    change = later.careers.changes(later.clock)
    assert spearmanr(change, now.careers.growth)[0] > 0.9
    assert (
        abs(spearmanr(change, now.effects["audio_effect"])[0]) < 0.3
    )  # what makes popular is not what makes grow
    without = _world("2027-11-01", growth=config.Shares(artist=0.3, audio=0.0, noise=0.7))
    assert (without.careers.effects["growth_effect"] == 0).all()
    assert list(without.tracks) == list(later.tracks)


def test_planted_rows_hold_the_growth_of_each_copy(now):
    planted = now.planted()
    columns = ["growth_artist_effect", "growth_effect", "growth_noise"]
    assert planted.groupby("isrc")[columns].nunique().eq(1).all(axis=None)
    assert np.allclose(planted.groupby("isrc", sort=False)[columns].first(), now.careers.effects)


def test_careers_rise_to_a_peak_and_fall_and_slow_burners_peak_late(now):
    careers = now.careers
    slow = careers.peak > 1
    assert 0.05 < slow.mean() < 0.25
    for row in (np.flatnonzero(slow)[0], np.flatnonzero(~slow)[0]):
        ages = np.array([-0.1, 0.0, careers.peak[row] / 2, careers.peak[row], careers.peak[row] + 3])
        times = careers.released[row] + ages
        shape = careers.levels(times, row) - careers.growth[row] * careers.gain(times, row)
        assert shape[0] == -np.inf
        assert shape[1] < shape[2] < shape[3] == shape.max() > shape[4]


@pytest.mark.long
def test_a_later_dump_holds_the_earlier_one_and_more(now, later):
    first, second = (draw_listens(world, np.random.default_rng(1)) for world in (now, later))
    limit = pd.Timestamp(REFERENCE).timestamp()
    pd.testing.assert_frame_equal(second[second["listened_at"] < limit].reset_index(drop=True), first)
    assert len(second) > 1.01 * len(first)
    assert second["listened_at"].max() < pd.Timestamp(later.clock).timestamp()
    earlier = draw_listens(_world("2026-03-01"), np.random.default_rng(1))
    assert len(earlier) < len(first)


def test_the_users_of_the_popularity_route_never_fall(now, later):
    early = _world("2026-02-01")
    for recordings in zip(early.recordings, now.recordings, later.recordings, strict=True):
        users = [world.users(item) for world, item in zip((early, now, later), recordings, strict=True)]
        assert users == sorted(users)


def test_growth_in_listens_after_the_release_follows_the_planted_growth(now):
    careers = now.careers
    rows = np.flatnonzero(careers.released > years("2015-01-01"))
    first, second = (
        np.array([careers.ratio(row, -12, *(careers.released[row] + np.array(window))) for row in rows])
        for window in [(0, 0.25), (0.75, 1)]
    )
    assert spearmanr(np.log(second / first), careers.growth[rows])[0] > 0.7


def test_the_clock_is_an_option_of_the_standin(tmp_path, monkeypatch, capsys):
    settings = tmp_path / "config.yaml"
    settings.write_text("standin: {artists: 4, recordings: 12}")
    options = ["standin", "--config", str(settings), "--listens", str(tmp_path / "later")]
    monkeypatch.setattr(sys, "argv", [*options, "--clock", "2027-05-01"])
    command_line.main()
    assert [path.name for path in (tmp_path / "later").iterdir()] == [
        "listenbrainz-spark-dump-1000-20270501-000003-full"
    ]
    monkeypatch.setattr(sys, "argv", [*options, "--clock", "2025-05-01"])
    with pytest.raises(SystemExit):
        command_line.main()
    assert "--clock: must be a day since 2026" in capsys.readouterr().err
