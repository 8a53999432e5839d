"""Train SVVAD without frame labels: triplet-like losses on what a frozen speaker encoder makes of the gated features.

With e the encoder's embedding, c the cosine, a1 the enrolment, a2 another clean part of the same speaker, B an
interferer, n somebody absent and [.]+ the part above zero:

    keep     [m + c(e(x_vad|a1), B) - c(e(x_vad|a1), a2)]+          keep the target, push the interferer
    beat     [m + c(e(x), a2) - c(e(x_vad|a1), a2)]+                gating must beat no gating
    reject   [m + c(e((1 - gamma) x), a2) - c(e(gamma x), a2)]+     what is rejected must be less like the target
    absent   [c(e(x_vad|n), n) - c(e(x), n)]+                       somebody absent must not be made up
    rest     l1 TV(gamma) + l2 beta^2 + l3 [rho - mean gamma]+

What a gate lets through reaches the encoder in two ways that take turns: as the paper has it, gamma x + beta on the
features; and gamma as the weights of frames in the encoder's pooling, where a half-open gate does no harm. Most steps
take the second (``pooling`` is the ablation without it). They need no gradient through the encoder, so that what it
hears in a mixture is kept, and every mixture is learned from several times.

Who speaks when is in the batch for evaluation: no loss reads it. The log's frame AUC does, of mixtures of voices that the
gate isn't trained on; the recipe was chosen looking at it, too.

Reference: Kang et al. 2023, arXiv 2305.19581. The losses are ours; the paper's text leaves them open.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from core.detectors.polarity import auc
from core.errors import InvalidOption
from core.training import speaker_checkpoint
from core.training.speaker_data import Voice
from core.training.svvad_mix import OTHER, TARGET, MixBatch, MixStream
from models.speaker import VARIANCE_FLOOR, SpeakerEncoder, fbank
from models.svvad import Svvad, SvvadConfig, film

SAVE_EVERY, CHECK_EVERY = 100, 50
CHECKED = 8  # of this many voices one is only listened to, never trained on
LEAST_S = 2.6  # of a voice that is mixed
LOSSES = ("keep", "beat", "reject", "absent")
ABLATION_STEPS = 40
LEAST_WEIGHT = 0.02  # of a frame in the pooling, lest a few frames decide alone


@dataclass(frozen=True)
class SvvadRecipe:
    """How the shipped network was trained. A loss with weight 0 is left out."""

    steps: int = 80
    mixtures: int = 80  # batches that are made, all in all
    film_every: int = 20  # steps of which one goes through the features; 1 for all of them, 0 for none
    film_rows: int = 6  # of a batch that do
    batch: int = 24
    seconds: float = 5.0
    rate: float = 2e-4
    few_rate: float = 0.1  # of the comparison's few numbers
    decay: float = 0.02
    margin: float = 0.4
    keep: float = 1.0
    beat: float = 1.0
    reject: float = 1.0
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


@dataclass(frozen=True, eq=False)
class Heard:
    """A batch of mixtures and what the frozen encoder hears in it, halved: values (B, V, T'), voices (B, T', 192)."""

    batch: MixBatch
    values: torch.Tensor
    voices: torch.Tensor

    def first(self, n: int) -> Heard:
        """The first n mixtures."""
        batch = MixBatch(*(getattr(self.batch, field.name)[:n] for field in fields(MixBatch)))
        return Heard(batch, self.values[:n], self.voices[:n])


@torch.no_grad()
def hear(model: Svvad, batch: MixBatch) -> Heard:
    """The header over a batch."""
    values, voices = model.hear(fbank(batch.wav))
    return Heard(replace(batch, wav=batch.wav.half()), values.half(), voices.half())


def weighed(encoder: SpeakerEncoder, values: torch.Tensor, gates: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What the encoder makes of values (B, V, T') under each gate (B, T) on its pooling: embeddings (B, 192)."""
    logits = encoder.attention(values)  # (B, 1, T')
    weights = torch.stack([gate[:, ::2] for gate in gates], 1) + LEAST_WEIGHT  # (B, gates, T')
    share = (logits - logits.amax(2, keepdim=True)).exp() * weights
    share = share / share.sum(2, keepdim=True)
    mean = share @ values.transpose(1, 2)  # (B, gates, V)
    deviation = (share @ values.square().transpose(1, 2) - mean.square()).clamp_min(VARIANCE_FLOOR).sqrt()
    return [encoder.from_statistics(mean[:, i], deviation[:, i]) for i in range(len(gates))]


def losses(model: Svvad, encoder: SpeakerEncoder, given: Heard, recipe: SvvadRecipe,
           step: int) -> dict[str, torch.Tensor]:
    """The weighted losses of one batch by name; every ``film_every``-th step takes the way through the features."""
    through_features = recipe.film_every > 0 and step % recipe.film_every == 0
    given = given.first(recipe.film_rows) if through_features else given
    batch, values, voices = given.batch, given.values.float(), given.voices.float()
    n_frames = batch.truth.shape[1]
    states = model.states(values, voices)
    gamma, beta = model.decide(batch.enrolment, states, voices, n_frames)
    nobody = batch.enrolment.roll(1, 0)
    gamma_n, beta_n = model.decide(nobody, states, voices, n_frames)
    with torch.no_grad():
        raw = weighed(encoder, values, [torch.ones_like(gamma)])[0]
    zero = torch.zeros_like(beta)
    if through_features:
        x = fbank(batch.wav.float())
        with torch.autocast("cpu", torch.bfloat16):
            gated, kept, rejected, made_up = (encoder(film(x, *gate)).float() for gate in (
                (gamma, beta), (gamma, zero), (1 - gamma, zero), (gamma_n, beta_n)))
    else:
        gated, rejected, made_up = weighed(encoder, values, [gamma, 1 - gamma, gamma_n])
        kept = gated
    found = {}
    mixed = batch.present.float() * batch.mixed
    if recipe.keep:
        nearer = triplet(cosine(gated, batch.target), cosine(gated, batch.other), recipe.margin)
        found["keep"] = recipe.keep * _mean_over(nearer, mixed)
    if recipe.beat:
        better = triplet(cosine(gated, batch.target), cosine(raw, batch.target), recipe.margin)
        found["beat"] = recipe.beat * _mean_over(better, mixed)
    if recipe.reject:
        worse = triplet(cosine(kept, batch.target), cosine(rejected, batch.target), recipe.margin)
        found["reject"] = recipe.reject * _mean_over(worse, mixed)
    if recipe.absent:
        more = (cosine(made_up, nobody) - cosine(raw, nobody)).clamp_min(0)
        found["absent"] = recipe.absent * more.mean()
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
        return replace(SvvadRecipe(), steps=ABLATION_STEPS, film_every=1)
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
    few = model.comparison()
    rest = [p for p in model.parameters() if p.requires_grad and all(p is not q for q in few)]
    optimiser = torch.optim.AdamW([{"params": rest}, {"params": few, "weight_decay": 0.0}], recipe.rate,
                                  weight_decay=recipe.decay)
    kept = {"model": model, "optimiser": optimiser}
    done = speaker_checkpoint.resume(work / "checkpoint.pt", **kept)
    checked = np.arange(len(voices)) % CHECKED == 0
    given, check = (_mixtures(model, [voices[i] for i in np.flatnonzero(rows)], halves[rows], recipe, n, workers)
                    for rows, n in ((~checked, recipe.mixtures), (checked, 1 + recipe.mixtures // CHECKED)))
    began = time.process_time()
    with (work / "train.csv").open("a", newline="") as log:
        for step in range(done + 1, recipe.steps + 1):
            if step % CHECK_EVERY == 0 or step == 1:
                say(f"step {step}: frame AUC {checked_auc(model, check):.3f}")
            one = given[int(np.random.default_rng([recipe.seed, step]).integers(len(given)))]
            found = losses(model, encoder, one, recipe, step)
            share = speaker_checkpoint.one_cycle(step, (recipe.steps,))
            speaker_checkpoint.descend(sum(found.values()), optimiser, (recipe.rate * share, recipe.few_rate * share))
            if step % 10 == 0:
                told = {name: round(value.item(), 4) for name, value in found.items()}
                csv.writer(log).writerow([step, told, round(time.process_time() - began, 1)])
                log.flush()
            if step % SAVE_EVERY == 0 or step == recipe.steps:
                speaker_checkpoint.save(work / "checkpoint.pt", step, **kept)
    return model.eval()


def _mixtures(model: Svvad, voices: Sequence[Voice], halves: np.ndarray, recipe: SvvadRecipe, n: int,
              workers: int) -> list[Heard]:
    stream = MixStream(voices, halves, recipe.batch, recipe.seconds, recipe.absent_share, recipe.seed)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers)
    with torch.autocast("cpu", torch.bfloat16):
        return [hear(model, batch) for batch in islice(loader, n)]


@torch.no_grad()
def checked_auc(model: Svvad, check: Sequence[Heard]) -> float:
    """AUC of gamma, frames of the target against others' speech; the only reader of the truth here, for the log."""
    gammas, truths = [], []
    for one in check:
        values, voices = one.values.float(), one.voices.float()
        states = model.states(values, voices)
        gammas.append(model.decide(one.batch.enrolment, states, voices, one.batch.truth.shape[1])[0].numpy())
        truths.append(one.batch.truth.numpy())
    gamma, truth = np.concatenate(gammas), np.concatenate(truths)
    return auc(gamma[truth == TARGET], gamma[truth == OTHER])
