"""Likelihood ratios in words: named, versioned tables, because published tables differ.

A scale turns the size of a log10 likelihood ratio into words; its sign says which proposition they favour. No
table turns a likelihood ratio into the probability of a proposition: that needs a prior nobody here has.

Reference: ENFSI Guideline for Evaluative Reporting in Forensic Science, version 3.0 (2015), verbal
equivalents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """LRs from 10**lowest up to 10**highest, in either direction: the support and its comparative."""

    lowest: float
    highest: float
    support: str
    comparative: str


@dataclass(frozen=True)
class VerbalScale:
    """A table of bands that covers every size from 0 up, in ascending order."""

    name: str
    version: str
    bands: tuple[Band, ...]

    def __str__(self) -> str:
        return self.name

    def band(self, llr_log10: float) -> Band:
        """The band of an LLR by its size; a size on an edge belongs to the band above. ValueError for NaN."""
        size = abs(llr_log10)
        if math.isnan(size):
            raise ValueError("a likelihood ratio that is not a number has no words")
        # the tolerance keeps log10(100) and 2 in the same band
        return next((b for b in reversed(self.bands) if size >= b.lowest - 1e-9), self.bands[0])

    def table(self) -> list[tuple[float, float, str]]:
        """(from, to, words) in |log10 LR|, ascending: what figures draw on both sides of zero."""
        return [(b.lowest, b.highest, b.support) for b in self.bands]


_LOG2 = math.log10(2.0)

ENFSI_2015 = VerbalScale(
    name="ENFSI 2015",
    version="1",
    bands=(
        Band(0.0, _LOG2, "no support", "about equally"),
        Band(_LOG2, 1.0, "weak support", "slightly more"),
        Band(1.0, 2.0, "moderate support", "moderately more"),
        Band(2.0, 3.0, "moderately strong support", "appreciably more"),
        Band(3.0, 4.0, "strong support", "much more"),
        Band(4.0, 6.0, "very strong support", "far more"),
        Band(6.0, math.inf, "extremely strong support", "exceedingly more"),
    ),
)


@dataclass(frozen=True)
class Propositions:
    """The two propositions that a likelihood ratio compares."""

    bonafide: str
    spoof: str


PROPOSITIONS = Propositions(
    bonafide="The examined speech is a bona fide recording of a person speaking, under the same channel.",
    spoof="The examined speech was produced by speech synthesis or voice conversion, "
    "of the kinds of system that the detector's model card lists.",
)

SPOOF, BONAFIDE, NEITHER = "spoof", "bonafide", "neither"


def direction(llr_log10: float, scale: VerbalScale = ENFSI_2015) -> str:
    """Which proposition an LLR favours: "bonafide", "spoof", or "neither" in the scale's lowest band."""
    if scale.band(llr_log10) is scale.bands[0]:
        return NEITHER
    return BONAFIDE if llr_log10 > 0 else SPOOF


def verbal(llr_log10: float, scale: VerbalScale = ENFSI_2015) -> str:
    """Support and direction: "moderate support for synthesis or conversion"."""
    way = direction(llr_log10, scale)
    if way == NEITHER:
        return "no support for either"
    favoured = "bona fide" if way == BONAFIDE else "synthesis or conversion"
    return f"{scale.band(llr_log10).support} for {favoured}"


def sentence(llr_log10: float, scale: VerbalScale = ENFSI_2015) -> str:
    """The finding in one sentence that says which way it points."""
    real, made = "a bona fide recording under the same channel", "produced by synthesis or conversion"
    way, words = direction(llr_log10, scale), scale.band(llr_log10).comparative
    if way == NEITHER:
        return f"The examined speech is {words} probable if it was {made} and if it is {real}."
    if way == SPOOF:
        return f"The examined speech is {words} probable if it was {made} than if it is {real}."
    return f"The examined speech is {words} probable if it is {real} than if it was {made}."
