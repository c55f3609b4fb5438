import threading
import time

import pytest

from hitsong.collect import throttle
from hitsong.collect.throttle import RetryableError, ServiceUnavailable, Throttle, retry_after
from hitsong.errors import ComeBackLater


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.001)


def responding(*outcomes):
    """A request that raises or returns one outcome after the other."""
    left = iter(outcomes)

    def request():
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return request


def test_failed_requests_are_sent_again():
    service = Throttle("Service", gap_s=0, longest_wait_s=60)
    assert service.send(responding(RetryableError("503"), RetryableError("no response"), "well")) == "well"
    assert service.requests == 3
    assert service.waited_s == 0


def test_a_service_without_a_valid_response_is_unavailable():
    service = Throttle("Service", gap_s=0, longest_wait_s=60, attempts=3)
    with pytest.raises(ServiceUnavailable, match=r"3 times in a row \(last: 503\)") as error:
        service.send(responding(*[RetryableError("503")] * 9))
    assert error.value.exit_code == 3
    assert service.requests == 3


def test_other_errors_are_not_retried():
    service = Throttle("Service", gap_s=0, longest_wait_s=60)
    with pytest.raises(KeyError):
        service.send(responding(KeyError("a bug"), "well"))
    assert service.requests == 1


def test_retry_after_is_honoured_and_shown(capsys):
    service = Throttle("Service", gap_s=0, longest_wait_s=60)
    started = time.monotonic()
    assert service.send(responding(RetryableError("429", retry_after=0.2), "well")) == "well"
    assert time.monotonic() - started >= 0.2
    assert service.waited_s == pytest.approx(0.2)
    assert capsys.readouterr().err == ""
    service.send(responding(RetryableError("429", retry_after=2.0), "well"))
    assert "asks for a pause of 2 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RetryableError("429", retry_after=763), "wait for 13 min"),
        (RetryableError("429", retry_after=48925), "wait for 13 h 35 min"),
        (RetryableError("429", retry_after=5, quota=True), "quota is used up for 5 s"),
    ],
)
def test_a_long_pause_or_a_quota_ends_the_run_with_the_time_to_come_back(error, message):
    service = Throttle("Service", gap_s=0, longest_wait_s=60)
    with pytest.raises(ComeBackLater, match=message) as raised:
        service.send(responding(error, "never sent"))
    assert "come back after 20" in str(raised.value)
    assert service.requests == 1


def test_rate_limits_do_not_count_as_failures():
    service = Throttle("Service", gap_s=0, longest_wait_s=60, attempts=2)
    assert service.send(responding(*[RetryableError("429", retry_after=0)] * 10, "well")) == "well"


def test_the_gap_holds_across_threads():
    service = Throttle("Service", gap_s=0.02, longest_wait_s=60)
    starts = []

    def request():
        starts.append(time.monotonic())

    threads = [threading.Thread(target=lambda: [service.send(request) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == 20
    assert max(starts) - min(starts) >= 19 * 0.02


def test_a_pause_holds_for_all_threads():
    service = Throttle("Service", gap_s=0, longest_wait_s=60)
    started = time.monotonic()
    thread = threading.Thread(
        target=lambda: service.send(responding(RetryableError("429", retry_after=0.3), 1))
    )
    thread.start()
    while thread.is_alive() and not service.waited_s:  # until it has been refused
        time.sleep(0.01)
    service.send(responding("well"))
    assert time.monotonic() - started >= 0.3
    thread.join()


def test_retry_after_headers():
    assert retry_after({"Retry-After": "12"}) == 12
    assert retry_after({}) == 5
    assert retry_after({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}) == 5
    assert retry_after({"Retry-After": "-3"}) == 0
