"""Does the audit tell good maps from bad ones, and which method finds a synthetic stretch? Measured on a corpus.

    python -m core.audit.study CORPUS --output docs/attribution.json
    python -m core.audit.study CORPUS --output docs/attribution-panel.json --detector panel --method gradient-shap

The corpus is a folder with a manifest.csv (columns file, label, source). Writes the numbers, and a page about them
beside. Not needed to examine anything. ``--target moment`` explains the mean of all frame scores.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.attribute.methods import METHODS
from core.attribute.question import Posed, Question, pose
from core.attribute.run import Map, compute
from core.attribute.scorer import Scorer, scorer_of
from core.audit import curves, randomise, regions, stability
from core.audit.agreement import Likeness, likeness
from core.audit.cells import grid_of
from core.audit.study_page import TRACK, page
from core.audit.verdict import checks, coarser

RATE = 16_000
METHOD, BASELINE = "integrated-gradients", "mean-bonafide"
WITNESS = "occlusion"  # the method of another principle
CLIP_S = 2.0
HYBRID_S, STRETCH_S = 3.0, (0.5, 1.5)
FADE = 160  # samples, 10 ms: a splice that doesn't click
UNKNOWN = Likeness(float("nan"), float("nan"), float("nan"))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--detector", default=None, help="by default f-InfoED of the default model")
    parser.add_argument("--target", choices=("clip", "moment"), default="clip")
    parser.add_argument("--method", choices=tuple(METHODS), default=METHOD, help="whose maps the audit judges")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--hybrids", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from core.detectors import load
    from models.registry import DEFAULT_MODEL

    name = options.detector or DEFAULT_MODEL
    scorer = scorer_of(load(name))
    asked = Asked(scorer, options.target, options.method)
    rows = list(_rows(options.corpus))
    given = {"detector": options.detector, "target": options.target, "method": options.method}
    command = " ".join([f"python -m core.audit.study CORPUS --output docs/{options.output.name}",
                        *(f"--{k} {v}" for k, v in given.items() if v not in (None, "clip", METHOD))])
    clips = separation(asked, rows, options.clips, options.seed)
    made = {"command": command, "model": name, "content_sha256": scorer.sha256, "target": asked.target,
            "plane": asked.plane, "seed": options.seed, "method": asked.method, "baseline": BASELINE,
            "separation": summary(clips), "hybrids": localisation(asked, rows, options.hybrids, options.seed),
            "clips": clips}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(made, allow_nan=False) + "\n", encoding="utf-8")
    options.output.with_suffix(".md").write_text(page(made), encoding="utf-8")


@dataclass(frozen=True)
class Asked:
    """What is explained, a detector's clip score or the mean of its frame scores, and whose maps the audit judges."""

    scorer: Scorer
    target: str = "clip"
    method: str = METHOD

    @property
    def plane(self) -> str:
        return "log-mel" if self.scorer.log_mel else "levels"

    def of(self, recording: Any) -> Posed:
        """The question about a short recording, in one window."""
        span = None if self.target == "clip" else (0.0, recording.duration_s)
        return pose(recording, self.scorer, Question(self.target, span, self.plane))


def _rows(corpus: Path) -> list[dict[str, Any]]:
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return [row | {"path": corpus / row["file"]} for row in csv.DictReader(stream)]


def _samples(path: Path, seconds: float) -> Any | None:
    """A recording's middle, or None where it is too short or silent."""
    from core.audio import read_recording
    from core.errors import UnreadableAudio

    try:
        recording = read_recording(path)
    except UnreadableAudio:
        return None
    n, wanted = len(recording.samples), round(seconds * RATE)
    if n < wanted:
        return None
    first = (n - wanted) // 2
    middle = np.array(recording.samples[first : first + wanted])
    return None if np.abs(middle).max() < 1e-3 else replace(recording, samples=middle)


# ---- does the audit separate good maps from bad ones? ------------------------------------------------------


def separation(asked: Asked, rows: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """For each clip, the audit's measures of its map, of a shuffled map and of a destroyed network's map."""
    rng = np.random.default_rng(seed)
    made: list[dict[str, Any]] = []
    for i in rng.permutation(len(rows)):
        if len(made) == count:
            break
        recording = _samples(rows[i]["path"], CLIP_S)
        if recording is None:
            continue
        made.append({"file": rows[i]["file"], "label": rows[i]["label"],
                     **measure_clip(asked.of(recording), rng, asked.method)})
        print(f"clip {len(made)} of {count}", file=sys.stderr, flush=True)
    return made


def measure_clip(posed: Posed, rng: np.random.Generator, method: str = METHOD) -> dict[str, Any]:
    """Measures by kind of map: good, random (its cells shuffled), destroyed."""
    fewer = coarser(posed, method)  # on two seconds, 16 steps leave f-InfoED a completeness error below 0.1 %
    good = compute(posed, method, BASELINE, parameters=fewer)
    witness = compute(posed, WITNESS, BASELINE).values
    steady = stability.measure(posed, good.values, good.score, method, BASELINE, fewer, seed=1)
    broken = [randomise.destroyed_map(posed, method, BASELINE, fewer, seed=s) for s in (1, 2)]
    maps = {"good": good.values, "random": _shuffled(good.values, rng), "destroyed": broken[0]}
    reference = curves.measure(posed, [good.values], BASELINE)
    return {kind: _measures(posed, good, kind, values, witness, steady, broken[1], reference)
            for kind, values in maps.items()}


def _shuffled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grid = grid_of(values.shape)
    cells = grid.pool(values)
    spread = grid.spread(rng.permutation(cells.ravel()).reshape(cells.shape))
    return spread / grid.spread(grid.pool(np.ones(values.shape)))


def _measures(posed: Posed, good: Map, kind: str, values: np.ndarray, witness: np.ndarray,
              steady: stability.Stability, broken: np.ndarray, reference: curves.Curves) -> dict[str, Any]:
    given = good if kind == "good" else replace(good, values=values, windows=(values,))
    found = reference
    if kind != "good":
        towards = 1.0 if good.gap >= 0 else -1.0
        order = np.argsort(-towards * grid_of(values.shape).pool(values), axis=None, kind="stable")
        found = replace(reference, map=curves.Curve("map", *curves.curve(posed.problems[0], order, BASELINE)))
        steady = replace(steady, likeness=UNKNOWN)
    made = checks(given, found, likeness(values, broken), steady,
                  {WITNESS: likeness(values, witness, coarse=True)})
    return {c.code: None if c.passed is None else round(float(c.value), 4) for c in made} | {
        "reliable": not any(c.passed is False for c in made), "missed": [c.code for c in made if c.passed is False]}


def summary(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares that pass, medians and quartiles per measure and kind, and areas under the curve of good against bad."""
    if not clips:
        return {"clips": 0}
    kinds = ("good", "random", "destroyed")
    codes = [c for c in clips[0]["good"] if c not in ("reliable", "missed")]
    values = {k: {c: np.array([x[k][c] for x in clips if x[k][c] is not None], float) for c in codes} for k in kinds}
    return {
        "clips": len(clips),
        "reliable": {k: round(float(np.mean([x[k]["reliable"] for x in clips])), 4) for k in kinds},
        "missed": {k: {c: sum(c in x[k]["missed"] for x in clips) for c in codes} for k in kinds},
        "quartiles": {k: {c: [round(float(q), 4) for q in np.quantile(v, [0.25, 0.5, 0.75])]
                          for c, v in values[k].items() if v.size} for k in kinds},
        "auc": {k: {c: round(auc(values["good"][c], values[k][c]), 4) for c in ("faithful", "loudness", "agreement")}
                for k in kinds[1:]},
    }


def auc(higher: np.ndarray, lower: np.ndarray) -> float:
    """How often a value of the first lies above one of the second (ties half)."""
    if not higher.size or not lower.size:
        return 0.5
    return float(np.mean((higher[:, None] > lower) + 0.5 * (higher[:, None] == lower)))


# ---- which method finds a synthetic stretch? ---------------------------------------------------------------


def localisation(asked: Asked, rows: list[dict[str, Any]], count: int, seed: int) -> dict[str, Any]:
    """Per method: mass inside and on the edges of a spliced synthetic stretch against the time it takes."""
    rng = np.random.default_rng(seed + 1)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (*METHODS, TRACK)}
    for number, (recording, span) in enumerate(hybrids(rows, count, rng), 1):
        posed = asked.of(recording)
        for name, method in METHODS.items():
            if not method.fits(posed.problems[0]):
                found[name].append(_inside(compute(posed, name, BASELINE), span))
        track = _track(posed)
        if track is not None:
            found[TRACK].append(_told_apart(*track, span))
        print(f"hybrid {number} of {count}", file=sys.stderr, flush=True)
    return {name: {key: _interval([x[key] for x in values], rng) for key in values[0]} | {"hybrids": len(values)}
            for name, values in found.items() if values}


def _track(posed: Posed) -> tuple[np.ndarray, np.ndarray] | None:
    """The detector's frame scores [T] and their moments in seconds [T]; None where it has none."""
    import torch

    wav = posed.problems[0].wav
    try:
        with posed.scorer.lock, torch.no_grad():
            values = posed.scorer.frames_of_wav(wav)[0].double().cpu().numpy()
    except LookupError:
        return None
    return values, (np.arange(len(values)) + 0.5) * wav.shape[-1] / RATE / len(values)


def _inside(given: Map, span: tuple[float, float]) -> dict[str, float]:
    """Mass over time inside (1 where a map doesn't know the stretch), for all of it and towards spoof; how well the
    columns' sizes tell inside from outside; mass over time on the edges."""
    every = {s.where: s for s in regions.shares(given.values, given.times_s, [span])}
    spoof = {s.where: s for s in regions.shares(given.values, given.times_s, [span], sign=-1)}
    size = np.abs(given.values).sum(0)
    inside = (given.times_s >= span[0]) & (given.times_s < span[1])
    return {"inside": every["inside"].ratio, "inside, towards spoof": spoof["inside"].ratio,
            "edges": every["edges"].ratio, "auc of columns": auc(size[inside], size[~inside]),
            **_told_apart(given.values.sum(0), given.times_s, span)}


def _told_apart(values: np.ndarray, times_s: np.ndarray, span: tuple[float, float]) -> dict[str, float]:
    """How often a value inside is lower (more towards spoof) than one outside, [C] each: 0.5 is chance."""
    inside = (times_s >= span[0]) & (times_s < span[1])
    return {"auc towards spoof": auc(-values[inside], -values[~inside])}


def hybrids(rows: list[dict[str, Any]], count: int, rng: np.random.Generator):
    """Bona fide speech with one stretch from a spoofed clip of the same source, at equal level: (recording, span)."""
    spoofs: dict[str, list] = {}
    for row in rows:
        if row["label"] == "spoof" and not row.get("partial"):
            spoofs.setdefault(row["source"], []).append(row)
    hosts = [r for r in rows if r["label"] == "bonafide" and r["source"] in spoofs]
    made = 0
    for i in rng.permutation(len(hosts)):
        if made == count:
            return
        host = _samples(hosts[i]["path"], HYBRID_S)
        pool = spoofs[hosts[i]["source"]]
        length = round(rng.uniform(*STRETCH_S) * RATE)
        donor = _samples(pool[rng.integers(len(pool))]["path"], length / RATE)
        if host is None or donor is None:
            continue
        x, y = host.samples, donor.samples
        start = int(rng.integers(RATE // 4, len(x) - length - RATE // 4))
        gain = np.ones(length)
        gain[:FADE], gain[-FADE:] = np.linspace(0, 1, FADE), np.linspace(1, 0, FADE)
        level = min(8.0, np.sqrt(np.mean(x**2) / max(1e-12, np.mean(y**2))))
        mixed = x.copy()
        mixed[start : start + length] = (1 - gain) * x[start : start + length] + gain * level * y[:length]
        made += 1
        yield replace(host, samples=mixed.astype(np.float32)), (start / RATE, (start + length) / RATE)


def _interval(values: list[float], rng: np.random.Generator) -> dict[str, float]:
    """Mean with its 95 % bootstrap interval over hybrids."""
    x = np.array(values, float)
    means = x[rng.integers(0, len(x), (2_000, len(x)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(x.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


if __name__ == "__main__":
    main()
