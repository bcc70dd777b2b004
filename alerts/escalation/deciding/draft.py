"""Pure: the decision about one incident while it is being made, and how an episode begins."""

from dataclasses import dataclass, field, replace
from typing import Any

from alerts.alert_kinds import Stage
from alerts.escalation.deciding.notification import Purpose, Why
from alerts.escalation.deciding.progress import EscalatedIncident, EscalationProgress, Phase
from alerts.escalation.deciding.recipients import MessageContext, Notifications
from alerts.escalation.people import People
from alerts.escalation.policy import Policy, Step
from alerts.model import SECOND, Instant


@dataclass(slots=True, kw_only=True)
class DecisionDraft:
    """One incident at one instant: its progress before and after, what is told, and when to look again."""

    incident: EscalatedIncident
    before: EscalationProgress | None
    policy: Policy
    people: People
    now: Instant
    progress: EscalationProgress
    out: Notifications
    wakes: list[Instant] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        incident: EscalatedIncident,
        before: EscalationProgress | None,
        policy: Policy,
        people: People,
        now: Instant,
    ) -> "DecisionDraft":
        """Start from the incident's progress so far, or from nothing."""
        fresh = EscalationProgress(phase=Phase.CLIMBING, episode=0, base=now, severity=incident.severity)
        return cls(
            incident=incident,
            before=before,
            policy=policy,
            people=people,
            now=now,
            progress=before or fresh,
            out=Notifications(incident=incident, policy=policy, people=people, now=now),
        )

    @property
    def was_over(self) -> bool:
        """Whether the incident was over or unknown before."""
        return self.before is None or self.before.phase is Phase.OVER

    @property
    def found_nobody(self) -> bool:
        """Whether it is already on record that there is nobody to tell."""
        return self.before is not None and self.before.nobody

    def change(self, **changes: Any) -> None:
        """Change the incident's progress."""
        self.progress = replace(self.progress, **changes)

    def come_to_now(self) -> None:
        """Note how far the incident has come, and the severity that is told."""
        stage = self.incident.stage
        self.change(severity=self.incident.severity, stage=stage, furthest=max(stage, self.progress.furthest))

    def begin_worse(self, why: Why) -> None:
        """Begin an episode that is told at once, to all whom the steps had come to: what they were told is no longer so."""
        steps, level = self.policy.steps, self.progress.level
        asked = steps[: max(1, min(level, len(steps)))]
        self.begin(why)
        self.change(base=self.now - asked[-1].after_s * SECOND)

    def begin(self, why: Why, *, wait: bool = False) -> None:
        """Begin an episode at the first step; `wait` gives related alerts time to join."""
        self.change(
            episode=self.progress.episode + 1,
            why=why,
            base=self.now + (self.policy.group_wait_s * SECOND if wait else 0),
            level=0,
            unreached=False,
            deferred=0,
            told=(),
            nobody=False,
            silent_returns=self.progress.silent_returns if self.progress.returns else 0,
            known=frozenset(one.alert_id for one in self.incident.members),
            holders=self.holders(),
            owners=self.owners(),
        )
        if self.was_over:
            self.change(recipients=frozenset(), destination_from=None, destination_told=False)
            self.change(takers=frozenset(), asked=frozenset(), heard=frozenset())
        if self.was_over and not self.progress.returns:
            self.change(furthest=Stage.SIGN)

    def message(
        self,
        why: Why,
        *,
        purpose: Purpose = Purpose.ESCALATION,
        level: int | None = None,
        repeat: int = 0,
        detail: str | None = None,
    ) -> MessageContext:
        """Return the context of a message sent now."""
        return MessageContext(
            purpose=purpose,
            why=why,
            level=self.progress.level if level is None else level,
            episode=max(1, self.progress.episode),
            repeat=repeat,
            detail=detail,
        )

    def holders(self) -> frozenset[str]:
        """Return the contacts of whoever holds the shipment."""
        return frozenset(one.contact_id for one in self.people.holders())

    def owners(self) -> frozenset[str]:
        """Return the contacts that open alerts are assigned to."""
        return frozenset(one.contact_id for one in self.people.owners(self.out.owners))

    def opens(self, step: Step) -> Instant | None:
        """Return when a step that waits for office hours is due; None if it is due now or never opens."""
        if not step.office_hours_only:
            return None
        meant = [one for target in step.to for one in self.people.meant(target, self.out.owners)]
        opening = [at for one in meant if (at := one.next_there(self.now)) is not None]
        return None if not opening or min(opening) <= self.now else min(opening)
