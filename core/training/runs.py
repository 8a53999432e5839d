"""Fold by fold: train on some sources, score the clips and hybrids of the others, keep the result on disk.

A run is (variant, seed, fold). Its result is one ``.npz`` and one CSV log in the working folder; a run that is there is
never repeated, so an interrupted evaluation resumes where it stopped. Variants are the ablations of the model card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.training.baselines import clean_view
from core.training.corpus import FOLDS, Clip, split
from core.training.hybrids import make_hybrids
from core.training.loop import Recipe, new_model, score_clip, train
from core.training.processes import processes
from models.encoder import FrameEncoder, load_encoder
from models.finfoed import FInfoED

KEEP_LAYERS = 2
MAX_POSITIONS = 200
HYBRIDS_PER_FOLD = 120
CLIP_WINDOW, CLIP_HOP = 12_800, 3_200  # sliding the clip head for comparison: 0.8 s windows every 0.2 s


def variants(recipe: Recipe) -> dict[str, Recipe]:
    """The shipped recipe and its ablations, at equal training length."""
    sampler = recipe.sampler
    return {
        "finfoed": recipe,
        "no-adapters": replace(recipe, adapter_rank=0),
        "fine-tuned": replace(recipe, adapter_rank=0, fine_tune=True),
        "mu-head": replace(recipe, head="mu"),
        "mean-head": replace(recipe, head="mean"),
        "no-augmentation": replace(recipe, sampler=replace(sampler, degrade=False)),
        "no-copies": replace(recipe, sampler=replace(sampler, use_copies=False)),
    }


def fresh_encoder(path: Path, positions: int = MAX_POSITIONS) -> FrameEncoder:
    """The frozen encoder as the detector uses it: first layers, positions of a 4 s window."""
    return load_encoder(path, keep_layers=KEEP_LAYERS, max_positions=positions)


@dataclass(frozen=True, eq=False)
class RunResult:
    """Held-out results of one run: per clip its windows' mean logit, per hybrid its frame and sliding scores."""

    scores: dict[str, float]
    hybrids: list[dict]
    wall_s: float


def run_path(work: Path, variant: str, seed: int, fold: int) -> Path:
    return work / "runs" / f"{variant}-s{seed}-f{fold}.npz"


def run_fold(work: Path, clips: Sequence[Clip], encoder_path: Path, variant: str, recipe: Recipe, seed: int, fold: int,
             on_step: Callable[[int, int, dict], None] | None = None) -> RunResult:
    """Train and score one run, or read it back."""
    path = run_path(work, variant, seed, fold)
    if path.exists():
        return read_run(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    training, test = split(clips, FOLDS[fold])
    encoder = fresh_encoder(encoder_path)
    model = new_model(encoder, "whisper", encoder.config, recipe, seed)
    report = train(model, work, training, recipe, seed=seed, log=path.with_suffix(".csv"), on_step=on_step)
    scores = {c.clip: float(score_clip(model, clean_view(work, c))[0].mean()) for c in test}
    hybrids = [score_hybrid(model, h) for h in make_hybrids(work, test, HYBRIDS_PER_FOLD, seed=fold)]
    _write_run(path, scores, hybrids, report["wall_s"])
    return read_run(path)


def run_all(work: Path, clips: Sequence[Clip], encoder_path: Path, seeds: Mapping[str, int], known: Mapping[str, Recipe],
            workers: int, say: Callable[[str], None]) -> None:
    """Every fold of so many seeds of each variant, as far as missing, in so many processes of one thread each."""
    jobs = [(work, clips, encoder_path, name, known[name], seed, fold)
            for name, n in seeds.items() for seed in range(n) for fold in range(len(FOLDS))]
    jobs = [job for job in jobs if not run_path(work, *job[3:4], *job[5:]).exists()]
    if not jobs:
        return
    with processes(workers) as pool:
        for job, result in zip(jobs, pool.map(run_fold, *zip(*jobs, strict=True)), strict=True):
            say(f"{job[3]}, seed {job[5]}, fold {job[6]}: trained in {result.wall_s:.0f} s")


@torch.inference_mode()
def score_hybrid(model: FInfoED, hybrid) -> dict:
    """Frame scores of a hybrid from the frame head, and from the clip head slid along it (the comparison)."""
    clip, frames = score_clip(model, hybrid.samples)
    slid = []
    for start in range(0, max(1, len(hybrid.samples) - CLIP_WINDOW + 1), CLIP_HOP):
        slid.append(float(score_clip(model, hybrid.samples[start : start + CLIP_WINDOW])[0].mean()))
    return {"frames": frames, "slid": np.array(slid), "clip": float(clip.mean()), "span": hybrid.spoof_span_s,
            "duration_s": len(hybrid.samples) / 16_000, "host": hybrid.host.clip, "donor": hybrid.donor.clip}


def _write_run(path: Path, scores: dict[str, float], hybrids: list[dict], wall_s: float) -> None:
    arrays: dict[str, np.ndarray] = {"clips": np.array(list(scores)), "scores": np.array(list(scores.values())),
                                     "wall_s": np.array(wall_s), "n_hybrids": np.array(len(hybrids))}
    for i, hybrid in enumerate(hybrids):
        arrays |= {f"h{i}_{key}": np.asarray(value) for key, value in hybrid.items()}
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)


def read_run(path: Path) -> RunResult:
    """Read a run's result. No pickled content is accepted."""
    keys = ("frames", "slid", "clip", "span", "duration_s", "host", "donor")
    with np.load(path, allow_pickle=False) as data:
        scores = {str(k): float(v) for k, v in zip(data["clips"], data["scores"], strict=True)}
        hybrids = [{key: data[f"h{i}_{key}"] for key in keys} for i in range(int(data["n_hybrids"]))]
        return RunResult(scores, hybrids, float(data["wall_s"]))


def pooled(results: Sequence[RunResult]) -> tuple[dict[str, float], list[dict]]:
    """All folds of one variant and seed: scores of every original clip, each by the model that never saw its source."""
    scores: dict[str, float] = {}
    hybrids: list[dict] = []
    for result in results:
        scores |= result.scores
        hybrids += result.hybrids
    return scores, hybrids
