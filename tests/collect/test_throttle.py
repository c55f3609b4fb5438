import threading
import time

import pytest

from hitsong.collect import throttle
from hitsong.collect.throttle import Manners, OutOfOrder, Trouble, retry_after
from hitsong.errors import ComeBackLater


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.001)


def answering(*outcomes):
    """A request that raises or returns one outcome after the other."""
    left = iter(outcomes)

    def request():
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return request


def test_hiccups_are_asked_again():
    polite = Manners("Service", gap_s=0, longest_wait_s=60)
    assert polite.ask(answering(Trouble("503"), Trouble("no answer"), "well")) == "well"
    assert polite.requests == 3
    assert polite.waited_s == 0


def test_a_service_that_never_answers_is_out_of_order():
    polite = Manners("Service", gap_s=0, longest_wait_s=60, attempts=3)
    with pytest.raises(OutOfOrder, match=r"3 times in a row \(last: 503\)") as error:
        polite.ask(answering(*[Trouble("503")] * 9))
    assert error.value.exit_code == 3
    assert polite.requests == 3


def test_what_is_no_trouble_is_not_asked_again():
    polite = Manners("Service", gap_s=0, longest_wait_s=60)
    with pytest.raises(KeyError):
        polite.ask(answering(KeyError("a bug"), "well"))
    assert polite.requests == 1


def test_retry_after_is_honoured_and_shown(capsys):
    polite = Manners("Service", gap_s=0, longest_wait_s=60)
    started = time.monotonic()
    assert polite.ask(answering(Trouble("429", retry_after=0.2), "well")) == "well"
    assert time.monotonic() - started >= 0.2
    assert polite.waited_s == pytest.approx(0.2)
    assert capsys.readouterr().err == ""
    polite.ask(answering(Trouble("429", retry_after=2.0), "well"))
    assert "asks for a pause of 2 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Trouble("429", retry_after=763), "stay away for 13 min"),
        (Trouble("429", retry_after=48925), "stay away for 13 h 35 min"),
        (Trouble("429", retry_after=5, quota=True), "quota is used up for 5 s"),
    ],
)
def test_a_long_pause_or_a_quota_ends_the_run_with_the_time_to_come_back(trouble, said):
    polite = Manners("Service", gap_s=0, longest_wait_s=60)
    with pytest.raises(ComeBackLater, match=said) as error:
        polite.ask(answering(trouble, "never asked"))
    assert "come back after 20" in str(error.value)
    assert polite.requests == 1


def test_rate_limits_do_not_count_as_hiccups():
    polite = Manners("Service", gap_s=0, longest_wait_s=60, attempts=2)
    assert polite.ask(answering(*[Trouble("429", retry_after=0)] * 10, "well")) == "well"


def test_the_gap_holds_across_threads():
    polite = Manners("Service", gap_s=0.02, longest_wait_s=60)
    starts = []

    def request():
        starts.append(time.monotonic())

    threads = [threading.Thread(target=lambda: [polite.ask(request) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == 20
    assert max(starts) - min(starts) >= 19 * 0.02


def test_one_thread_told_to_wait_makes_all_wait():
    polite = Manners("Service", gap_s=0, longest_wait_s=60)
    started = time.monotonic()
    polite_thread = threading.Thread(target=lambda: polite.ask(answering(Trouble("429", retry_after=0.3), 1)))
    polite_thread.start()
    time.sleep(0.1)
    polite.ask(answering("well"))
    assert time.monotonic() - started >= 0.3
    polite_thread.join()


def test_retry_after_headers():
    assert retry_after({"Retry-After": "12"}) == 12
    assert retry_after({}) == 5
    assert retry_after({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}) == 5
    assert retry_after({"Retry-After": "-3"}) == 0
