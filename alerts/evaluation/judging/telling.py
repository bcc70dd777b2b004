"""Pure: what a verdict tells of its excursions now, and when it is to be looked at again to tell more."""

from dataclasses import replace

from alerts.evaluation.judging.judgement import DeviceVerdict, Verdict
from alerts.excursions.telling import PeakTelling, as_told, telling_due_at, told_late
from alerts.model import Excursion, Instant


def tell(verdict: Verdict, now: Instant, peaks: PeakTelling) -> Verdict:
    """Return a verdict with what it tells of each excursion that is on record, or comes on it."""
    if not any(one.changes or one.device.excursions for one in verdict.devices):
        return verdict  # nearly always
    devices = tuple(_tell_device(one, now, peaks) for one in verdict.devices)
    due = [
        at
        for device in devices
        for excursion in _on_record(device)
        if (at := telling_due_at(excursion, now, peaks)) is not None
    ]
    if verdict.evaluate_at is not None:
        due.append(verdict.evaluate_at)
    return replace(verdict, devices=devices, evaluate_at=min(due, default=None))


def _tell_device(verdict: DeviceVerdict, now: Instant, peaks: PeakTelling) -> DeviceVerdict:
    changes = tuple(as_told(change, now, peaks) for change in verdict.changes)
    changed = {change.after.id for change in changes}
    same = [one for one in verdict.device.excursions if one.id not in changed]
    late = tuple(told for one in same if (told := told_late(one, now, peaks)) is not None)
    return replace(verdict, changes=changes, told_late=late)


def _on_record(verdict: DeviceVerdict) -> list[Excursion]:
    """Return the excursions as the verdict leaves them, as far as they were looked at."""
    left = {one.id: one for one in verdict.device.excursions}
    left |= {change.after.id: change.after for change in verdict.changes}
    left |= {one.id: one for one in verdict.told_late}
    return list(left.values())
