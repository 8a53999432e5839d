"""From members' scores to the fused log10 likelihood ratio, term by term.

The fusion is linear, so its answer is a sum: what it says when every member is undecided, and what each member adds by
being off its own point of indecision (where its likelihood ratio is 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.calibrate import Llr
from core.complement.listen import Said
from core.complement.members import Member
from core.complement.shipped import FUSION, Shipped


@dataclass(frozen=True)
class Waterfall:
    """start : log10 LR with every member undecided; steps : (member, what it adds in log10); llr : the bounded sum."""

    start: float
    steps: tuple[tuple[Member, float], ...]
    llr: Llr
    bounds: tuple[float, float]

    @property
    def total(self) -> float:
        """The sum before it is bounded."""
        return self.start + sum(step for _, step in self.steps)


def waterfall(said: Said, ours: Shipped) -> Waterfall:
    """Raises KeyError where a fused member was not heard."""
    line = ours.calibrations[FUSION]
    by_key = {m.key: m for m in said.members}
    start, steps, score = line.slope * ours.bias + line.intercept, [], ours.bias
    for name, weight in zip(ours.fused, ours.weight.tolist(), strict=True):
        member, value = by_key[name], said.of(name)
        neutral = undecided(member)
        score += weight * value
        start += line.slope * weight * neutral
        steps.append((member, line.slope * weight * (value - neutral)))
    return Waterfall(start, tuple(steps), line.apply(score), line.bounds)


def undecided(member: Member) -> float:
    """The score at which a member's own likelihood ratio is 1; 0 for one whose score says nothing."""
    return 0.0 if member.line.slope == 0 else -member.line.intercept / member.line.slope
