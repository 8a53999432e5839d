"""Train SVVAD without frame labels: triplet-like losses on what a frozen speaker encoder makes of the gated features.

With e the encoder's embedding, c the cosine, a1 the enrolment, a2 another clean part of the same speaker, B an
interferer, n somebody absent and [.]+ the part above zero:

    keep     [m + c(e(x_vad|a1), B) - c(e(x_vad|a1), a2)]+          keep the target, push the interferer
    beat     [m + c(e(x), a2) - c(e(x_vad|a1), a2)]+                gating must beat no gating
    reject   [m + c(e((1 - gamma) x), a2) - c(e(gamma x), a2)]+     what is rejected must be less like the target
    absent   [c(e(x_vad|n), n) - c(e(x), n)]+                       somebody absent must not be made up
    rest     l1 TV(gamma) + l2 beta^2 + l3 [rho - mean gamma]+

What a gate lets through reaches the encoder in two ways that take turns: as the paper has it, gamma x + beta on the
features; and gamma as the weights of frames in the encoder's pooling, where a half-open gate does no harm. The second
comes first: through the features alone training ends at gamma = 1 everywhere (an ablation, ``pooling``).

Who speaks when is in the batch for evaluation; nothing here reads it.

Reference: Kang et al. 2023, arXiv 2305.19581. The losses are ours; the paper's text leaves them open.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.errors import InvalidOption
from core.training import speaker_checkpoint
from core.training.speaker_data import Voice
from core.training.svvad_mix import MixBatch, MixStream
from models.speaker import SpeakerEncoder, fbank, statistics
from models.svvad import Svvad, SvvadConfig, film

SAVE_EVERY = 100
LEAST_S = 2.6  # of a voice that is mixed
LOSSES = ("keep", "beat", "reject", "absent")
ABLATION_STEPS = 150
LEAST_WEIGHT = 0.02  # of a frame in the pooling, lest a few frames decide alone


@dataclass(frozen=True)
class SvvadRecipe:
    """How the shipped network was trained. A loss with weight 0 is left out."""

    steps: int = 700
    film_every: int = 5  # steps of which one goes through the features; 1 for all of them, 0 for none
    film_from: float = 0.5  # share of the training before that begins
    batch: int = 12
    seconds: float = 3.0
    rate: float = 7e-4
    decay: float = 0.01
    margin: float = 0.6
    keep: float = 1.0
    beat: float = 1.0
    reject: float = 0.5
    absent: float = 0.5
    variation: float = 1e-2
    shift: float = 1e-2
    silence: float = 1.0
    least: float = 0.05  # mean gamma
    absent_share: float = 0.1  # of the mixtures
    seed: int = 0


def triplet(positive: torch.Tensor, negative: torch.Tensor, margin: float) -> torch.Tensor:
    """[margin + negative - positive]+ of cosines, (B,)."""
    return (margin + negative - positive).clamp_min(0)


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of rows of length 1: (B, 192), (B, 192) -> (B,)."""
    return (a * b).sum(1)


def total_variation(gamma: torch.Tensor) -> torch.Tensor:
    """Mean absolute step of gamma from frame to frame: (B, T) -> scalar; 0 for a constant."""
    return (gamma[:, 1:] - gamma[:, :-1]).abs().mean()


def _mean_over(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return (values * rows).sum() / rows.sum().clamp_min(1)


def losses(model: Svvad, encoder: SpeakerEncoder, batch: MixBatch, recipe: SvvadRecipe,
           step: int) -> dict[str, torch.Tensor]:
    """The weighted losses of one batch by name; every ``film_every``-th step takes the way through the features."""
    with torch.no_grad():
        x = fbank(batch.wav)
        values = encoder.values(x)
        pooled = encoder.spread(values, x.shape[1])
        raw = encoder.from_statistics(*statistics(*pooled))
    states = model.states(x, values)
    gamma, beta = model.decide(batch.enrolment, states, x.shape[1])
    begun = step > recipe.film_from * recipe.steps
    through_features = begun and recipe.film_every > 0 and step % recipe.film_every == 0

    def heard(gamma: torch.Tensor, beta: torch.Tensor | None = None) -> torch.Tensor:
        """The frozen encoder's embedding of what a gate lets through."""
        if through_features:
            return encoder(film(x, gamma, torch.zeros_like(gamma) if beta is None else beta))
        return encoder.from_statistics(*statistics(*pooled, gamma + LEAST_WEIGHT))

    gated, found = heard(gamma, beta), {}
    present, mixed = batch.present.float(), batch.present.float() * batch.mixed
    if recipe.keep:
        kept = triplet(cosine(gated, batch.target), cosine(gated, batch.other), recipe.margin)
        found["keep"] = recipe.keep * _mean_over(kept, mixed)
    if recipe.beat:
        better = triplet(cosine(gated, batch.target), cosine(raw, batch.target), recipe.margin)
        found["beat"] = recipe.beat * _mean_over(better, present)
    if recipe.reject:
        worse = triplet(cosine(heard(gamma), batch.target), cosine(heard(1 - gamma), batch.target), recipe.margin)
        found["reject"] = recipe.reject * _mean_over(worse, mixed)
    if recipe.absent:
        nobody = batch.enrolment.roll(1, 0)
        made_up = cosine(heard(*model.decide(nobody, states, x.shape[1])), nobody) - cosine(raw, nobody)
        found["absent"] = recipe.absent * made_up.clamp_min(0).mean()
    found["rest"] = (recipe.variation * total_variation(gamma) + recipe.shift * beta.square().mean()
                     + recipe.silence * (recipe.least - gamma.mean(1)).clamp_min(0).mean())
    return found


def ablated(name: str) -> SvvadRecipe:
    """The shipped recipe (""), or a shorter one without one loss (``reject``), with one alone (``only-beat``) or with all
    (``nothing`` left out), or with the features' way alone (``pooling``). Raises InvalidOption.
    """
    if not name:
        return SvvadRecipe()
    if name == "pooling":
        return replace(SvvadRecipe(), steps=ABLATION_STEPS, film_every=1, film_from=0.0)
    chosen = name.removeprefix("only-")
    if chosen not in LOSSES and name != "nothing":
        raise InvalidOption(f"No loss is called {chosen!r}; there are {', '.join(LOSSES)}.")
    left_out = [x for x in LOSSES if (x != chosen) == name.startswith("only-")] if name != "nothing" else []
    return replace(SvvadRecipe(), steps=ABLATION_STEPS, **dict.fromkeys(left_out, 0.0))


def usable(voices: Sequence[Voice]) -> list[Voice]:
    """The voices that are long enough to be halved."""
    return [v for v in voices if v.seconds >= LEAST_S]


def train(encoder: SpeakerEncoder, voices: Sequence[Voice], halves: np.ndarray, work: Path, recipe: SvvadRecipe, *,
          config: SvvadConfig | None = None, workers: int = 1, say: Callable[[str], None] = print) -> Svvad:
    """Train through the frozen encoder, going on from ``work/checkpoint.pt``; the log is ``work/train.csv``.

    voices, halves : those of :func:`usable`, and ``svvad_mix.halves_of`` them by the same encoder
    """
    torch.manual_seed(recipe.seed)
    work.mkdir(parents=True, exist_ok=True)
    encoder.eval().requires_grad_(False)
    model = Svvad(config)
    model.start_from(encoder)
    model.header.requires_grad_(False).eval()  # not trained: no gradient, no running statistics
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, recipe.rate, weight_decay=recipe.decay)
    kept = {"model": model, "optimiser": optimiser}
    done = speaker_checkpoint.resume(work / "checkpoint.pt", **kept)
    stream = MixStream(voices, halves, recipe.batch, recipe.seconds, recipe.absent_share, recipe.seed + done)
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers))
    began = time.process_time()
    with (work / "train.csv").open("a", newline="") as log:
        for step in range(done + 1, recipe.steps + 1):
            with torch.autocast("cpu", torch.bfloat16):
                found = losses(model, encoder, next(loader), recipe, step)
            rate = recipe.rate * speaker_checkpoint.one_cycle(step, (recipe.steps,))
            speaker_checkpoint.descend(sum(found.values()), optimiser, (rate,))
            if step % 10 == 0:
                told = {name: round(value.item(), 4) for name, value in found.items()}
                csv.writer(log).writerow([step, told, round(time.process_time() - began, 1)])
                log.flush()
                say(f"step {step}: {told}")
            if step % SAVE_EVERY == 0 or step == recipe.steps:
                speaker_checkpoint.save(work / "checkpoint.pt", step, **kept)
    return model.eval()
