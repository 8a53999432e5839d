"""Whose voice, and which frames decide: speaker verification in which the boundary between target and rest is movable.

    references -> Enrolment;  recording, Enrolment -> Verification (one pass of the networks) -> Verdict at a threshold

Nothing here draws and nothing here trains. A verification compares voices; whether a voice is synthetic is for
`core.examine`, to which `parts.examine_only` gives the chosen speaker's frames alone.
"""

from core.speaker.networks import SpeakerNetworks, shipped

__all__ = ["SpeakerNetworks", "shipped"]
