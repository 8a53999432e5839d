"""In a mixture of a real and a synthetic voice: how often is the finding right for the voice that was asked about?

Each case mixes a bona fide and a synthetic voice by turns, enrols one of them from other clips and examines three things:
the whole recording, what the gate keeps of the enrolled voice, and (as the best a gate could do) the stretches that are
truly its. Every mixture is asked about both voices, so that the whole recording's finding is right exactly half the time
whatever it says. An abstention counts as no right answer. What is measured is the program, by its own functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import EarwitnessError
from core.examine import examine, forget
from core.finding import Finding
from core.segments import Segment
from core.speaker.enrol import enrol
from core.speaker.networks import SpeakerNetworks, shipped
from core.speaker.parts import examine_only
from core.speaker.study import Person, as_recording, people, share_interval
from core.speaker.vad import HOP
from core.speaker.verdict import segments
from core.speaker.verify import verify
from core.timeline import stretches
from models import registry
from models.registry import Detector, load_detector

CASES = 120  # mixtures; twice as many questions
ENROLMENT_S, OWN_S, TURN_S = 6.0, 8.0, 2.0
SHARES = (0.3, 0.5, 0.7)  # of the synthetic voice
THRESHOLD = 0.5


def measure(folders: Sequence[Path], cases: int = CASES) -> dict[str, Any]:
    """The whole study, JSON-able."""
    networks, detector, rng = shipped("cpu"), load_detector(registry.DEFAULT_MODEL, "cpu"), np.random.default_rng(0)
    known = people(folders, ENROLMENT_S + OWN_S)
    heard = _heard(detector.card.get("training_data", {}), {p.kind for p in known})
    known = [p for p in known if p.kind not in heard]
    real, made = ([p for p in known if p.bonafide is kind] for kind in (True, False))
    rows = []
    for case in range(cases):
        pair = real[int(rng.integers(len(real)))], made[int(rng.integers(len(made)))]
        rows += _case(pair, SHARES[case % len(SHARES)], networks)
        print(f"{case + 1}/{cases}", flush=True)
        forget()
    return report(rows, known, heard, networks, detector)


def report(rows: list[dict[str, Any]], known: Sequence[Person], left_out: list[str], networks: SpeakerNetworks,
           detector: Detector) -> dict[str, Any]:
    """The study from its answers; each is told apart by whether the detector knows a source of its mixture."""
    kinds = {p.name: p.kind for p in known}
    met = _heard(detector.card.get("beyond_the_corpus", {}), set(kinds.values()))
    for row in rows:
        row["detector_knows"] = "a source of them" if {kinds[row["voice"]], kinds[row["other"]]} & set(met) else "neither"
    cases, spoken = len(rows) // 2, [p.bonafide for p in known]
    return {"what": __doc__.splitlines()[0],
            "command": f"python -m core.speaker.study alone VOICES SYNTHETIC --cases {cases}",
            "networks_sha256": networks.sha256, "detector": detector.name, "detector_sha256": detector.content_sha256,
            "threshold": THRESHOLD, "mixtures": cases, "questions": len(rows),
            "voices": {"bona fide": sum(spoken), "synthetic": len(spoken) - sum(spoken)},
            "sources": sorted(set(kinds.values())), "left_out": left_out, "met": met,
            **_summary(rows), "cases": rows}


def _heard(trained: Mapping[str, Any], kinds: set[str]) -> list[str]:
    """Those of the sources that a part of the detector's card names, in whole or in part, as training data."""
    names = [name.removeprefix("synthesiser:") for name in trained.get("by_source", {})]
    return sorted(kind for kind in kinds if any(kind in name or name in kind for name in names))


def mixture(pair: tuple[Person, Person], share: float) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """(samples, owner 0 or 1 per sample, the two enrolments): turns of two seconds, ``share`` of the second voice."""
    enrolments, sounds = [], []
    for person, part in zip(pair, (1 - share, share), strict=True):
        enrolment, used = person.sound(ENROLMENT_S)
        enrolments.append(enrolment)
        sounds.append(person.sound(2 * OWN_S * part, used)[0])
    turns = max(1, round(max(map(len, sounds)) / (TURN_S * 16_000)))
    pieces = [(who, x[i * len(x) // turns : (i + 1) * len(x) // turns]) for i in range(turns)
              for who, x in enumerate(sounds)]
    return (np.concatenate([x for _, x in pieces]), np.concatenate([np.full(len(x), who) for who, x in pieces]),
            enrolments)


def _case(pair: tuple[Person, Person], share: float, networks: SpeakerNetworks) -> list[dict[str, Any]]:
    x, owner, enrolments = mixture(pair, share)
    recording = as_recording(x, "mixture.wav")
    whole = _answer(examine(recording, device="cpu").finding)
    rows = []
    for who, (person, enrolment) in enumerate(zip(pair, enrolments, strict=True)):
        v = verify(recording, enrol([as_recording(enrolment, "enrolment.wav")], networks), networks)
        kept, _ = segments(v, THRESHOLD)
        n = min(len(owner) // HOP, len(v.gamma.values))
        mine = owner[: n * HOP : HOP] == who
        gate = v.gamma.values[:n] >= THRESHOLD
        truth = [Segment(a * HOP / 16_000, b * HOP / 16_000, "truth") for a, b in stretches(mine)]
        rows.append({"asked": "bona fide" if person.bonafide else "synthetic", "voice": person.name, "kind": person.kind,
                     "other": pair[1 - who].name, "share_synthetic": share, "whole": whole,
                     "alone": _alone(recording, kept), "true_stretches": _alone(recording, truth),
                     "kept_of_target": float(gate[mine].mean()), "kept_of_other": float(gate[~mine].mean())})
    return rows


def _alone(recording, chosen) -> float | None:
    try:
        return _answer(examine_only(recording, chosen, device="cpu").finding)
    except EarwitnessError:
        return None


def _answer(finding: Finding) -> float | None:
    return finding.llr_log10


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    ways, groups = ("whole", "alone", "true_stretches"), [r["voice"] for r in rows]
    right = {way: np.array([_right(r, way) for r in rows], float) for way in ways}
    better = right["alone"] - right["whole"]
    out: dict[str, Any] = {"right": {way: share_interval(right[way], groups) for way in ways},
                           "alone_less_whole": share_interval(better, groups),
                           "moved_to_right": int((better > 0).sum()), "moved_to_wrong": int((better < 0).sum()),
                           "no_answer": {way: float(np.mean([r[way] is None for r in rows])) for way in ways}}
    for name in ("asked", "kind", "share_synthetic", "detector_knows"):
        out[f"by_{name}"] = {str(value): {way: float(right[way][[r[name] == value for r in rows]].mean()) for way in ways}
                             for value in sorted({r[name] for r in rows})}
    for name in ("kept_of_target", "kept_of_other"):
        out[name] = float(np.mean([r[name] for r in rows]))
    return out


def _right(row: dict[str, Any], way: str) -> bool:
    return row[way] is not None and (row[way] > 0) == (row["asked"] == "bona fide")
