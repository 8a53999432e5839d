"""Measure SVVAD on held-out speakers: EER against the share of others, frame AUC, ablations of the losses; the card.

The target speaks for three seconds whatever the share; the others are added by turns, so that only what is to be
ignored grows. Methods: ``raw`` hears everything; ``energy`` and ``silero`` weigh frames by whether anybody speaks;
``svvad`` gates the features as the paper does; ``kept`` weighs frames by whether gamma is at least 0.5; ``known`` by the
mixing truth, the most that a choice of frames can do.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.bootstrap import percentile_interval
from core.detectors.polarity import auc
from core.training.speaker_data import SAMPLE_RATE, Voice
from core.training.speaker_evaluate import CARD_FILE, figure
from core.training.speaker_teacher import embed
from core.training.speaker_trials import Side, Trials, eer_over_speakers, sides, trials
from core.training.svvad import SvvadRecipe
from core.training.svvad_mix import OTHER, SILENCE, TARGET, Draw, truth_of, turns
from models.silero import Silero, at_frames, load_silero
from models.speaker import MODEL_FILE, SpeakerEncoder, fbank, load_speaker, statistics
from models.svvad import Svvad, film, load_svvad

SHARES, ABLATION_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8), (0.0, 0.6)
TARGET_S, KEPT_FROM = 3.0, 0.5
SAME, DIFFERENT = 200, 400  # trials of each sort
BATCH = 8
COMMAND = "python -m core speaker-train svvad && python -m core speaker-train measure-svvad"
RECIPE = (
    f"the test side's speaker for {TARGET_S:g} s, one to three other held-out speakers by turns until they have the "
    f"share; {SAME} same-speaker and {DIFFERENT} different-speaker trials of the encoder's list, the enrolled speaker "
    "never among the others; no noise added; intervals: 1,000 draws of speakers"
)


@dataclass(frozen=True, eq=False)
class Test:
    """One test recording: sound (n,), truth (n // 160,)."""

    wav: np.ndarray
    truth: np.ndarray


def chosen(listed: Trials, seed: int = 1) -> Trials:
    """A part of the encoder's trials, so that SVVAD can hear every one."""
    rng = np.random.default_rng(seed)
    same, different = np.flatnonzero(listed.same), np.flatnonzero(~listed.same)
    rows = np.concatenate([rng.permutation(same)[:SAME], rng.permutation(different)[:DIFFERENT]])
    return Trials(listed.pairs[rows], listed.same[rows], listed.speakers[rows])


def draw_from(wav: np.ndarray, rng: np.random.Generator) -> Draw:
    """Stretches of a side, one after the other and round again, at one level."""
    x, at = wav / (float(wav.std()) + 1e-6) * 0.05, [0]

    def some(n: int) -> np.ndarray:
        y = np.resize(np.roll(x, -at[0]), n)
        at[0] += n
        return y

    return some


def test_of(row: int, share: float, given: Sequence[Side], shunned: set[str]) -> Test:
    """The test recording of one side at one share, without any of the speakers ``shunned``; the same every time."""
    rng = np.random.default_rng(zlib.crc32(f"{given[row].recordings}{share}{sorted(shunned)}".encode()))
    strangers = [s for s in given if s.speaker not in shunned and s.speaker != given[row].speaker]
    drawn = rng.choice(len(strangers), int(rng.integers(1, 4)), replace=False)
    others = [draw_from(strangers[i].wav, rng) for i in drawn]
    n = int(TARGET_S * SAMPLE_RATE / (1 - share))
    ours, theirs = turns(n, share, draw_from(given[row].wav, rng), others, rng)
    return Test(ours + theirs, truth_of(ours, theirs))


@torch.inference_mode()
def score(model: Svvad, encoder: SpeakerEncoder, silero: Silero, enrolment: torch.Tensor,
          tests: Sequence[Test]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cosines (B,) by every method of enrolments (B, 192) with tests of one length, and gamma (B, T).

    Where a method keeps no frame its cosine is -1: nothing of the enrolled speaker was found.
    """
    from core.speaker.vad import energy_speech

    wav = torch.from_numpy(np.stack([test.wav for test in tests]))
    features = fbank(wav)
    with torch.autocast("cpu", torch.bfloat16):
        gamma, beta = model(enrolment, features)
        values, logits = encoder.frames(features)
        gated = encoder.frames(film(features, gamma, beta))
    weights = {"raw": torch.ones_like(gamma), "kept": gamma >= KEPT_FROM,
               "energy": torch.from_numpy(np.stack([energy_speech(test.wav) for test in tests])),
               "known": torch.from_numpy(np.stack([test.truth == TARGET for test in tests])),
               "silero": at_frames(silero(wav), features.shape[1]) >= 0.5}
    pooled = {name: statistics(values, logits, w.float()) for name, w in weights.items()}
    found = {name: (encoder.from_statistics(*given) * enrolment).sum(1)
             for name, given in (pooled | {"svvad": statistics(*gated)}).items()}
    for name, w in weights.items():
        found[name] = torch.where(w.any(1) if w.dtype == torch.bool else w.sum(1) > 0, found[name], -1.0)
    return {name: cosine.numpy() for name, cosine in found.items()}, gamma.numpy()


def measure(model: Svvad, encoder: SpeakerEncoder, silero: Silero, given: Sequence[Side], listed: Trials,
            shares: Sequence[float] = SHARES, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Curves, their differences to raw, and frame AUC with intervals over speakers."""
    enrolments = torch.from_numpy(embed(encoder, [side.wav for side in given]))
    curves, gains, frames = {}, {}, []
    for share in shares:
        parts = []
        for start in range(0, len(listed.pairs), BATCH):
            pairs, same = listed.pairs[start : start + BATCH], listed.same[start : start + BATCH]
            tests = [test_of(int(b), share, given, {given[a].speaker}) for a, b in pairs]
            found, gamma = score(model, encoder, silero, enrolments[pairs[:, 0]], tests)
            parts.append(found)
            if share > 0:
                frames += [(given[pairs[k, 0]].speaker, gamma[k], tests[k].truth) for k in np.flatnonzero(same)]
        table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        intervals = {name: eer_over_speakers(values, listed) for name, values in table.items()}
        key = f"{share:g}"
        curves[key] = {name: list(figure(i).values()) for name, (i, _) in intervals.items()}
        raw, raw_draws = intervals.pop("raw")
        gains[key] = {name: figure(percentile_interval(i.value - raw.value, draws - raw_draws, 0.95))
                      for name, (i, draws) in intervals.items()}
        say(f"share {share:g}: {curves[key]}")
    mean = {words: round(float(np.concatenate([g[t == code] for _, g, t in frames]).mean()), 3)
            for words, code in (("target", TARGET), ("others", OTHER), ("silence", SILENCE))}
    return {"curves": curves, "differences_to_raw": gains, "frame_auc": frame_auc(frames), "mean_gamma": mean}


def frame_auc(frames: Sequence[tuple[str, np.ndarray, np.ndarray]], n: int = 300) -> dict[str, Any]:
    """AUC of gamma, target's frames against others' speech and against all else, pooled; intervals over speakers."""
    table = {}
    speakers = sorted({who for who, _, _ in frames})
    per = {s: [np.concatenate([f[k] for f in frames if f[0] == s]) for k in (1, 2)] for s in speakers}
    rng = np.random.default_rng(0)
    for name, classes in (("against_others", (OTHER,)), ("against_all_else", (OTHER, SILENCE))):
        def value(names: Sequence[str], classes: tuple[int, ...] = classes) -> float:
            gamma, truth = (np.concatenate([per[s][k] for s in names]) for k in (0, 1))
            return auc(gamma[truth == TARGET], gamma[np.isin(truth, classes)])

        draws = [value(rng.choice(speakers, len(speakers))) for _ in range(n)]
        table[name] = figure(percentile_interval(value(speakers), draws, 0.95))
    return table


def write_card(folder: Path, model: Svvad, found: Mapping[str, Any], ablations: Mapping[str, Any],
               encoder_card: Mapping[str, Any], recipe: Any) -> dict[str, Any]:
    """card.json beside the weights."""
    card = {
        "name": folder.name,
        "system": "SVVAD: Conformer over the test features, Transformer after concatenation with the enrolment "
                  "embedding, gamma and beta per frame",
        "paper": "arXiv 2305.19581 (architecture); the losses are ours where the paper's text leaves them open",
        "licence": "Apache-2.0",
        "sample_rate_hz": 16_000,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        "downstream": {"encoder": encoder_card["name"], "weights_sha256": encoder_card["weights_sha256"]},
        "recipe": repr(recipe),
        "command": COMMAND,
        "trials": {"recipe": RECIPE, "same": SAME, "different": DIFFERENT, "values": "EER, lower, upper bound (95 %)"},
        "methods": {"raw": "everything", "energy": "frames within 30 dB of the loud ones", "silero": "Silero VAD at 0.5",
                    "svvad": "features gated by gamma and beta", "kept": f"frames with gamma of {KEPT_FROM:g} and more",
                    "known": "the target's frames by the mixing truth"},
        **found,
        "ablations": dict(ablations),
        "sources": encoder_card["sources"],
        "limits": [
            "Measured on mixtures by turns of read speech and prompts, without noise; overlapping speech is harder.",
            "Trained on the same few hundred voices as the encoder; no frame labels were used.",
        ],
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def evaluate(voices: Sequence[Voice], encoder_folder: Path, gate_folder: Path, silero_folder: Path, work: Path,
             say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure the shipped network and, at two shares, what ``speaker-train svvad --without`` left in ``work``."""
    encoder, silero = load_speaker(encoder_folder), load_silero(silero_folder)
    given = sides(voices)
    listed, model = chosen(trials(given)), load_svvad(gate_folder)
    found = measure(model, encoder, silero, given, listed, say=say)
    ablations = {}
    for folder in sorted(p for p in work.glob("svvad-*") if (p / MODEL_FILE).is_file()):
        name = folder.name.removeprefix("svvad-")
        say(f"ablation {name}")
        part = measure(load_svvad(folder), encoder, silero, given, listed, ABLATION_SHARES, say)
        ablations[name] = {"frame_auc": part["frame_auc"]["against_others"], "mean_gamma": part["mean_gamma"],
                           "eer": {share: rows["svvad"] for share, rows in part["curves"].items()}}
    encoder_card = json.loads((encoder_folder / CARD_FILE).read_text(encoding="utf-8"))
    return write_card(gate_folder, model, found, ablations, encoder_card, SvvadRecipe())
