"""Who deploys to a release now: one that was taken over leaves its successor alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard.doctor.inspect import Reader
from modelyard.errors import Unavailable, UsageError
from modelyard.release import lease as leasing
from modelyard.release.lease import Lease


@pytest.mark.parametrize("stopped", [False, True], ids=["refused", "by a signal"])
def test_a_deploy_that_was_out_of_reach_leaves_the_one_that_took_over_in_its_place(
    cluster, monkeypatch, stopped
):
    monkeypatch.setattr(leasing, "LAPSE", 0.3)
    slept, successor = Lease(Reader(), "line", print), Lease(Reader(), "line", print)
    with pytest.raises(KeyboardInterrupt if stopped else Unavailable), slept:
        slept._over.set()  # as a machine that sleeps: it renews nothing
        successor.__enter__()
        if stopped:
            raise KeyboardInterrupt
        slept.check()
    assert successor.stopped, "it knows that there is something to put right"
    successor.check()
    successor.__exit__(None, None, None)
    assert successor.read() is None


def test_of_two_deploys_that_wait_for_a_dead_one_only_one_takes_over(api, cluster, monkeypatch):
    monkeypatch.setattr(leasing, "LAPSE", 1.5)
    monkeypatch.setattr(leasing, "BEAT", 0.1)
    dead = Lease(Reader(), "line", print)
    dead.__enter__()
    dead._over.set()
    dead._thread.join()
    # Both have seen it dead before either writes.
    both = threading.Barrier(2)

    def meet(request: str) -> None:
        if request.startswith("PATCH"):
            api.before = None if both.n_waiting else meet
            both.wait(timeout=20)

    api.before = meet
    waiting = [Lease(Reader(), "line", print) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        entered = [pool.submit(lease.__enter__) for lease in waiting]
    errors = [one.exception() for one in entered]
    (refused,) = (error for error in errors if error is not None)
    assert isinstance(refused, Unavailable)
    holder = waiting[errors.index(None)]
    holder.check()
    holder.__exit__(None, None, None)


def test_an_account_that_may_not_see_who_deploys_does_not_ask_for_ever(api, cluster):
    api.refuse("GET .*configmaps/line-deploying", 403, "no", times=99)
    with Lease(Reader(), "line", print) as lease:
        lease._over.set()
        with pytest.raises(UsageError, match=r"403: no\. Deploying needs access\.deployTo"):
            Lease(Reader(), "line", print).__enter__()
        api.faults.clear()
