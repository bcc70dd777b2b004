"""Which rules there are, for a test: what it is about, and no more."""

from collections.abc import Sequence

import pytest

from alerts.evaluation.judging import checkpoint, look
from alerts.rules import registry
from alerts.rules.kinds.signal_lost import SignalLost
from alerts.rules.registry import AnyRule


def install(monkeypatch: pytest.MonkeyPatch, rules: Sequence[AnyRule]) -> None:
    monkeypatch.setattr(registry, "RULES", rules)
    monkeypatch.setattr(checkpoint, "_BY_KIND", {one.kind: one for one in rules})
    monkeypatch.setattr(look, "_KINDS", frozenset(one.kind for one in rules))
    registry.tuned_rules.cache_clear()
    monkeypatch.setattr("alerts.evaluation.judging.judgement.RETRY_AFTER", 0)


def only_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of excursions under blows: the other rules have theirs, and cost each judgement four times as much."""
    install(monkeypatch, (SignalLost(),))
