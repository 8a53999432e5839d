"""Measure SVVAD on held-out speakers: EER against the share of others, frame AUC, ablations; card and calibration.

The target speaks for three seconds whatever the share; the others are added by turns, so that only what is to be
ignored grows. Methods: ``raw`` hears everything; ``energy`` and ``silero`` weigh frames by whether anybody speaks;
``svvad`` by whether gamma is at least 0.5, as the program does; ``weighted`` by gamma itself; ``film`` gates the
features by gamma and beta, as the paper does; ``known`` weighs frames by the mixing truth, the most that a choice of
frames can do.
Ablations are gates of other trainings, or of none (``untrained``), in the place of ``svvad``.
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
from core.training.speaker_evaluate import CALIBRATION_FILE, CARD_FILE, calibrated, figure
from core.training.speaker_teacher import embed
from core.training.speaker_trials import Side, Trials, eer_over_speakers, sides, trials
from core.training.svvad import SvvadRecipe
from core.training.svvad_mix import OTHER, SILENCE, TARGET, Draw, truth_of, turns
from models.silero import Silero, at_frames, load_silero
from models.speaker import MODEL_FILE, SpeakerEncoder, fbank, load_speaker, statistics
from models.svvad import STEP, Svvad, film, load_svvad

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
TARGET_S, KEPT_FROM = 3.0, 0.5
SAME, DIFFERENT = 200, 300  # trials of each sort
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
def score(gates: Mapping[str, Svvad], encoder: SpeakerEncoder, silero: Silero, enrolment: torch.Tensor,
          tests: Sequence[Test]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Cosines (B,) by every method of enrolments (B, 192) with tests of one length, and every gate's gamma (B, T).

    gates : ``svvad`` and any others, all with the encoder as their header. Where a method keeps no frame its cosine is
    -1: nothing of the enrolled speaker was found.
    """
    from core.speaker.vad import energy_speech

    wav = torch.from_numpy(np.stack([test.wav for test in tests]))
    features = fbank(wav)
    with torch.autocast("cpu", torch.bfloat16):
        values, voices = gates["svvad"].hear(features)
        raw = encoder.spread(values, features.shape[1])
        decided = {name: gate.decide(enrolment, gate.states(values, voices), voices, features.shape[1])
                   for name, gate in gates.items()}
        gated = encoder.frames(film(features, *decided["svvad"]))
    gammas = {name: gamma for name, (gamma, _) in decided.items()}
    weights = {name: gamma >= KEPT_FROM for name, gamma in gammas.items()} | {
        "raw": torch.ones(features.shape[:2]), "weighted": gammas["svvad"],
        "energy": torch.from_numpy(np.stack([energy_speech(test.wav) for test in tests])),
        "known": torch.from_numpy(np.stack([test.truth == TARGET for test in tests])),
        "silero": at_frames(silero(wav), features.shape[1]) >= 0.5}
    pooled = {name: statistics(*raw, w.float()) for name, w in weights.items()} | {"film": statistics(*gated)}
    found = {name: (encoder.from_statistics(*given) * enrolment).sum(1) for name, given in pooled.items()}
    for name, w in weights.items():
        found[name] = torch.where(w.sum(1) > 0, found[name], -1.0)
    return ({name: cosine.numpy() for name, cosine in found.items()},
            {name: gamma.numpy() for name, gamma in gammas.items()})


def measure(gates: Mapping[str, Svvad], encoder: SpeakerEncoder, silero: Silero, given: Sequence[Side], listed: Trials,
            say: Callable[[str], None] = print) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Curves, differences to raw, frame AUC with intervals over speakers, ablations; and svvad's cosines by share."""
    enrolments = torch.from_numpy(embed(encoder, [side.wav for side in given]))
    curves, gains, others, cosines = {}, {}, {name: {} for name in gates if name != "svvad"}, {}
    frames: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {name: [] for name in gates}
    for share in SHARES:
        parts, key = [], f"{share:g}"
        for start in range(0, len(listed.pairs), BATCH):
            pairs, same = listed.pairs[start : start + BATCH], listed.same[start : start + BATCH]
            tests = [test_of(int(b), share, given, {given[a].speaker}) for a, b in pairs]
            found, gammas = score(gates, encoder, silero, enrolments[pairs[:, 0]], tests)
            parts.append(found)
            for name in gates if share > 0 else ():
                frames[name] += [(given[pairs[k, 0]].speaker, gammas[name][k, ::STEP], tests[k].truth[::STEP])
                                 for k in np.flatnonzero(same)]
        table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        cosines[key] = table["svvad"]
        intervals = {name: eer_over_speakers(values, listed) for name, values in table.items()}
        for name, rows in others.items():
            rows[key] = list(figure(intervals.pop(name)[0]).values())
        curves[key] = {name: list(figure(i).values()) for name, (i, _) in intervals.items()}
        raw, raw_draws = intervals.pop("raw")
        gains[key] = {name: figure(percentile_interval(i.value - raw.value, draws - raw_draws, 0.95))
                      for name, (i, draws) in intervals.items()}
        say(f"share {key}: {curves[key]} {others}")
    ablations = {name: {"frame_auc": frame_auc(frames[name])["against_others"], "mean_gamma": mean_gamma(frames[name]),
                        "eer": rows} for name, rows in others.items()}
    return {"curves": curves, "differences_to_raw": gains, "frame_auc": frame_auc(frames["svvad"]),
            "mean_gamma": mean_gamma(frames["svvad"]), "ablations": ablations}, cosines


def mean_gamma(frames: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean gamma of the target's frames, of others' and of silence."""
    return {words: round(float(np.concatenate([g[t == code] for _, g, t in frames]).mean()), 3)
            for words, code in (("target", TARGET), ("others", OTHER), ("silence", SILENCE))}


def frame_auc(frames: Sequence[tuple[str, np.ndarray, np.ndarray]], n: int = 200) -> dict[str, Any]:
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


def write_card(folder: Path, model: Svvad, found: Mapping[str, Any], quality: Mapping[str, Any],
               encoder_card: Mapping[str, Any], recipe: Any) -> dict[str, Any]:
    """card.json beside the weights."""
    card = {
        "name": folder.name,
        "system": "SVVAD: Conformer over the test features, Transformer after concatenation with the enrolment "
                  "embedding, gamma and beta per frame; gamma's logit adds to a comparison of half seconds with the "
                  "enrolment",
        "paper": "arXiv 2305.19581 (architecture); the comparison and the losses are ours",
        "licence": "Apache-2.0",
        "sample_rate_hz": 16_000,
        "parameters": {"trained": sum(p.numel() for name, p in model.named_parameters() if not name.startswith("header")),
                       "header": sum(p.numel() for p in model.header.parameters())},
        "weights_sha256": hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        "downstream": {"encoder": encoder_card["name"], "weights_sha256": encoder_card["weights_sha256"]},
        "recipe": repr(recipe),
        "way": "Most steps of the training let gamma weigh frames in the frozen encoder's pooling, and so does the "
               f"program (frames with gamma of {KEPT_FROM:g} and more); every {recipe.film_every}th step gates the "
               "features by gamma and beta, as the paper does.",
        "command": COMMAND,
        "trials": {"recipe": RECIPE, "same": SAME, "different": DIFFERENT, "values": "EER, lower, upper bound (95 %)"},
        "methods": {"raw": "everything", "energy": "frames within 30 dB of the loud ones", "silero": "Silero VAD at 0.5",
                    "svvad": f"frames with gamma of {KEPT_FROM:g} and more", "weighted": "frames weighted by gamma",
                    "film": "features gated by gamma and beta", "known": "the target's frames by the mixing truth"},
        **found,
        "calibration": {**quality, "of": "svvad's cosines at all shares"},
        "sources": encoder_card["sources"],
        "limits": [
            "Measured on mixtures by turns of read speech and prompts, without noise; overlapping speech is harder. "
            "Others come from any kind of recording: where the channel differs, too, they are easier to tell apart.",
            "Trained on the same few hundred voices as the encoder; no loss saw who speaks when, "
            "but the recipe was chosen looking at frame AUC on training voices set aside and on synthetic ones.",
            "Ablations are shorter trainings: beside \"nothing\", which leaves nothing out, they can be compared.",
            _gained(found),
        ],
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def _gained(found: Mapping[str, Any]) -> str:
    """What training added to the comparison that the gate sets out from."""
    trained = found["frame_auc"]["against_others"]["value"]
    untrained = found["ablations"]["untrained"]["frame_auc"]["value"]
    return (f"Frame AUC against other speakers is {trained:.3f}, of the untrained comparison with the enrolment "
            f"{untrained:.3f}: most of what the gate can do is the frozen encoder's.")


def evaluate(voices: Sequence[Voice], encoder_folder: Path, gate_folder: Path, silero_folder: Path, work: Path,
             say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure the shipped network, its start, and what ``speaker-train svvad --without`` left in ``work``; write its
    calibration and its card.
    """
    encoder, silero = load_speaker(encoder_folder), load_silero(silero_folder)
    given = sides(voices)
    listed = chosen(trials(given))
    untrained = Svvad()
    untrained.start_from(encoder)
    gates = {"svvad": load_svvad(gate_folder), "untrained": untrained.eval()} | {
        folder.name.removeprefix("svvad-"): load_svvad(folder)
        for folder in sorted(p for p in work.glob("svvad-*") if (p / MODEL_FILE).is_file())}
    found, cosines = measure(gates, encoder, silero, given, listed, say)
    lowest = min(float(x[x > -1].min()) for x in cosines.values())
    calibration, quality = calibrated({share: np.maximum(x, lowest) for share, x in cosines.items()}, listed)
    calibration.save(gate_folder / CALIBRATION_FILE)
    encoder_card = json.loads((encoder_folder / CARD_FILE).read_text(encoding="utf-8"))
    return write_card(gate_folder, gates["svvad"], found, quality, encoder_card, SvvadRecipe())
