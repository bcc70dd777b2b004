"""The honest neighbour itself: it must notice what it is there to notice."""

import os
import signal
import time

import pytest

from tests.security.neighbour import Neighbour, Phase, Times


def test_a_neighbour_sees_a_quiet_service_as_it_is_and_a_frozen_one_as_frozen(service):
    with Neighbour(service) as honest:
        quiet = honest.during(2)
        honest.during(2).is_like(quiet)

        def freeze():
            os.kill(service.pid, signal.SIGSTOP)
            time.sleep(2)
            os.kill(service.pid, signal.SIGCONT)

        frozen = honest.phase_of(freeze)
        assert frozen.calls.worst > 1500
        assert frozen.acks.worst > 1500
        assert len(frozen.calls) > 5  # each late call counts, and not the first of them alone
        with pytest.raises(AssertionError, match="are slow"):
            frozen.is_like(Phase(Times([10]), Times([10]), [], quiet.peak_mb))


def test_what_is_refused_fails_the_test(service):
    with service.client() as admin:
        made = admin.post("/v1/keys", json={"role": "ops"}).json()

        def revoke():
            with Neighbour(service, made["key"]) as honest:
                assert admin.delete(f"/v1/keys/{made['id']}").is_success
                assert any("401" in each for each in honest.during(4).refused)

        with pytest.raises(AssertionError, match="401"):
            revoke()
