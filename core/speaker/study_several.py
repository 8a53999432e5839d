"""How often are two voices in a recording noticed, and one voice taken for two?

Recordings of one voice and of two (the second with a fifth to a half of the time, from the same kind of recording) are
joined from held-out clips, as they are and with noise. The limit is where one voice in twenty would be taken for two on
one half of the speakers; its errors are those on the other half, both ways round. The shipped limit is from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.speaker.networks import SpeakerNetworks, shipped
from core.speaker.several import LEAST_S, examine_speakers
from core.speaker.study import Person, as_recording, people, share_interval

CASES = 300  # of each kind
LENGTHS_S = (10.0, 20.0)
SHARES = (0.2, 0.35, 0.5)
SNR_DB = (10.0, 25.0)
FALSE_ALARMS = 0.05


def measure(folders: Sequence[Path], cases: int = CASES) -> dict[str, Any]:
    """The whole study, JSON-able: what `core.speaker.several` reads."""
    networks, rng = shipped("cpu"), np.random.default_rng(0)
    known = [p for p in people(folders, LENGTHS_S[1]) if p.bonafide]
    half = {p.name: i % 2 for i, p in enumerate(known)}
    one, two = [], []
    for case in range(cases):
        one.append(_row(_one(known, rng), rng, case, networks))
        two.append(_row(_two(known, half, rng, SHARES[case % len(SHARES)]), rng, case, networks))
        print(f"{case + 1}/{cases}", flush=True)
    for row in (*one, *two):
        row["half"] = half[row["voice"]]
    limits = {h: limit_of([r["distance"] for r in one if r["half"] != h]) for h in (0, 1)}
    for row in (*one, *two):
        row["found"] = row["distance"] is not None and row["distance"] > limits[row["half"]]
    return {"what": "one voice or several, from embeddings of two-second stretches",
            "command": f"python -m core.speaker.study several VOICES --cases {cases}",
            "encoder_sha256": networks.encoder_sha256, "limit": limit_of([r["distance"] for r in one]),
            "limits_of_halves": [limits[0], limits[1]], "speakers": len(known), "recordings_of_each_kind": cases,
            "sources": sorted({p.kind for p in known}), "aimed_false_alarms": FALSE_ALARMS,
            **errors(one, two)}


def limit_of(distances: Sequence[float | None]) -> float:
    """The distance that FALSE_ALARMS of recordings of one voice exceed."""
    return float(np.quantile([d for d in distances if d is not None], 1 - FALSE_ALARMS))


def errors(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> dict[str, Any]:
    """False alarms and misses with intervals over speakers, and by noise, share and kind."""
    def rate(rows: list[dict[str, Any]], wrong: bool) -> list[float]:
        return share_interval(np.array([r["found"] == wrong for r in rows], float), [r["voice"] for r in rows])

    shares, kinds = sorted({r["share"] for r in two}), sorted({r["kind"] for r in one})
    return {
        "false_alarms": rate(one, True), "misses": rate(two, False),
        "misses_by_share": {str(s): rate([r for r in two if r["share"] == s], False) for s in shares},
        "noisy": {"false_alarms": rate([r for r in one if r["noisy"]], True),
                  "misses": rate([r for r in two if r["noisy"]], False)},
        "by_kind": {k: {"false_alarms": rate([r for r in one if r["kind"] == k], True)[0],
                        "misses": rate([r for r in two if r["kind"] == k], False)[0] if any(r["kind"] == k for r in two)
                        else None, "recordings": sum(r["kind"] == k for r in one)} for k in kinds},
    }


def _one(known: list[Person], rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    person = known[int(rng.integers(len(known)))]
    return person.sound(float(rng.uniform(*LENGTHS_S)))[0], {"voice": person.name, "kind": person.kind, "share": 0.0}


def _two(known: list[Person], half: dict[str, int], rng: np.random.Generator,
         share: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Two voices of one kind and of one half of the speakers."""
    while True:
        person = known[int(rng.integers(len(known)))]
        alike = (person.kind, half[person.name])
        others = [p for p in known if p.name != person.name and (p.kind, half[p.name]) == alike]
        if others:
            break
    other = others[int(rng.integers(len(others)))]
    seconds = float(rng.uniform(max(LENGTHS_S[0], 1.5 * LEAST_S / share), LENGTHS_S[1]))
    a, b = person.sound(seconds * (1 - share))[0], other.sound(seconds * share)[0]
    at = int(rng.integers(0, 3))  # the second voice at the end, at the start, in the middle
    parts = ([a, b], [b, a], [a[: len(a) // 2], b, a[len(a) // 2 :]])[at]
    return np.concatenate(parts), {"voice": person.name, "kind": person.kind, "share": share, "other": other.name}


def _row(given: tuple[np.ndarray, dict[str, Any]], rng: np.random.Generator, case: int,
         networks: SpeakerNetworks) -> dict[str, Any]:
    from core.noise import add_at_snr, coloured_noise

    x, row = given
    noisy = case % 2 == 1
    if noisy:
        x = add_at_snr(x, coloured_noise(len(x), float(rng.uniform(0, 2)), rng), float(rng.uniform(*SNR_DB)))
    found = examine_speakers(as_recording(np.asarray(x, np.float32), "several.wav"), networks)
    return row | {"distance": found.distance, "noisy": noisy}
