"""Who deploys to a release now: one that was taken over leaves its successor alone."""

from __future__ import annotations

import pytest

from modelyard.doctor.inspect import Reader
from modelyard.errors import Unavailable
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
