"""Members' attribution maps of one stretch on one plane, their overlap, and what only one of them uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.attribute.question import Question, pose
from core.attribute.run import Map, compute
from core.audit.cells import grid_of, level_map
from core.audit.complementarity import attribution_overlap, only_this
from core.audit.verdict import MOST_ERROR
from core.complement.members import Member, explained

if TYPE_CHECKING:
    from core.audio import Recording
    from models.registry import Detector

# On the spectrum and against silence, nothing would add up: most members bring every sound to one level first, so along
# that line their scores stand still and jump at its end.
METHOD, BASELINE, PLANE = "integrated-gradients", "mean-bonafide", "levels"
STEPS = 12
LONGEST_S = 4.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """One map per member, all on the same plane and stretch; overlap : np.ndarray [shape=(M, M)]."""

    members: tuple[Member, ...]
    maps: tuple[Map, ...]
    level: np.ndarray  # of the stretch's bands, (R, C), for the picture behind the maps
    overlap: np.ndarray

    @property
    def seconds(self) -> tuple[float, float]:
        return self.maps[0].start_s, self.maps[0].stop_s

    @property
    def ragged(self) -> tuple[Member, ...]:
        """Members whose map doesn't add up to what it explains, by the audit's limit."""
        return tuple(m for m, found in zip(self.members, self.maps, strict=True) if found.error > MOST_ERROR)

    def only(self, which: int) -> np.ndarray:
        """Cells (r, c) where one member has more of its evidence than any other, by how much; they add up to <= 1."""
        grid = grid_of(self.maps[0].values.shape)
        return only_this([grid.pool(np.abs(m.values)) for m in self.maps], which)


def gather(recording: Recording, members: Sequence[Member], detector: Detector, span_s: tuple[float, float],
           device: str = "auto", on_progress: Callable[[float, str], Any] | None = None) -> Evidence:
    """Integrated Gradients of each member's score on the region's band levels, compared with mean bona fide speech.

    span_s : scored alone, its first 4 s. ``on_progress(share, words)`` may raise Cancelled. Raises InvalidOption for a
    region that can't be explained, ModelUnavailable.
    """
    start, stop = span_s[0], min(span_s[1], span_s[0] + LONGEST_S)
    maps, problem = [], None
    for place, member in enumerate(members):
        def tell(share: float, place: int = place, member: Member = member) -> None:
            if on_progress is not None:
                on_progress((place + share) / len(members), f"explaining {member.title}")

        tell(0.0)
        posed = pose(recording, explained(member, detector, device), Question("region", (start, stop), PLANE))
        problem = posed.problems[0]
        maps.append(compute(posed, METHOD, BASELINE, parameters={"steps": STEPS}, on_progress=tell))
    overlap = np.array([[attribution_overlap(a.values, b.values) for b in maps] for a in maps])
    return Evidence(tuple(members), tuple(maps), level_map(problem), overlap)
