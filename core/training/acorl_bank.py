"""What ACoRL is trained on, computed once and kept: frame tracks of every window, and f-InfoED's own models of each fold.

Everything lies in ``WORK/acorl`` and is found again. The tracks are those of the panel (``models.views``), so members,
alliance and panel share one front end. Windows are those of an examination, of the undegraded view of the originals.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.frames import plan_windows
from core.training.baselines import clean_view
from core.training.corpus import FOLDS, Clip, split
from core.training.loop import Recipe, new_model, train
from models import views
from models.encoder import build_encoder
from models.finfoed import FInfoED, load_finfoed, save_finfoed, time_moments

FRAMES = 400  # 10 ms each; shorter windows are repeated up to this for training
SHORTEST = 3_200  # samples; shorter clips are repeated
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Windows:
    """R windows. clip : (R,) names; samples : (R,) lengths; tracks : (R, TRACKS, FRAMES) float16, short ones
    repeated."""

    clip: np.ndarray
    samples: np.ndarray
    tracks: np.ndarray

    def rows_of(self, clips: Sequence[Clip]) -> np.ndarray:
        """Indices of these clips' windows."""
        return np.flatnonzero(np.isin(self.clip, [c.clip for c in clips]))


def cut(work: Path, clip: Clip) -> list[torch.Tensor]:
    """A clip's windows, each (1, N), cut as an examination cuts them and then to whole frames."""
    samples = clean_view(work, clip)
    samples = np.resize(samples, SHORTEST) if len(samples) < SHORTEST else samples
    return [torch.from_numpy(np.ascontiguousarray(samples[w.start : w.start + w.n_samples // 320 * 320]))[None]
            for w in plan_windows(len(samples))]


@torch.inference_mode()
def load_windows(work: Path, clips: Sequence[Clip], say: Say = lambda text: None) -> Windows:
    """Frame tracks of all originals among the clips, computed once."""
    originals = [c for c in clips if not c.copier]
    path = work / "acorl" / f"tracks-{_key(originals)}.npy"
    facts = path.with_suffix(".npz")
    if not facts.exists():
        path.parent.mkdir(exist_ok=True)
        names, lengths, rows = [], [], []
        for done, clip in enumerate(originals, 1):
            for wav in cut(work, clip):
                tracks = views.local_tracks(views.frame_tracks(views.prepare(wav))[0])[0].numpy()  # (TRACKS, T)
                rows.append(np.take(tracks, np.arange(FRAMES) % tracks.shape[1], axis=1).astype(np.float16))
                names.append(clip.clip)
                lengths.append(wav.shape[1])
            if done % 500 == 0 or done == len(originals):
                say(f"tracks: {done} of {len(originals)}")
        np.save(path, np.stack(rows))
        np.savez(facts, clip=np.array(names), samples=np.array(lengths))
    with np.load(facts, allow_pickle=False) as data:
        return Windows(data["clip"], data["samples"], np.load(path, mmap_mode="r"))


@torch.inference_mode()
def load_view_vectors(work: Path, clips: Sequence[Clip]) -> dict[str, np.ndarray]:
    """The panel's fixed views of the same windows, standardised: view -> (R, D) float32. Computed once."""
    originals = [c for c in clips if not c.copier]
    path = work / "acorl" / f"views-{_key(originals)}.npz"
    if not path.exists():
        rows = []
        for clip in originals:
            for wav in cut(work, clip):
                x = views.prepare(wav)
                rows.append({k: v[0].half().numpy() for k, v in views.clip_views(x, *views.frame_tracks(x)).items()})
        np.savez(path, **{k: np.stack([r[k] for r in rows]) for k in rows[0]})
    with np.load(path, allow_pickle=False) as data:
        found = {k: data[k].astype(np.float32) for k in data.files}
    return {k: np.clip((v - v.mean(0)) / (v.std(0) + 1e-4), -5.0, 5.0) for k, v in found.items()}


def fold_finfoed(work: Path, clips: Sequence[Clip], shipped: FInfoED, fold: int, say: Say = lambda text: None) -> FInfoED:
    """f-InfoED as it is trained without this fold's sources (seed 0 of its own evaluation), trained once.

    shipped : lends its frozen encoder.
    """
    path = work / "acorl" / f"finfoed-f{fold}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        recipe = Recipe()
        encoder = build_encoder(shipped.config.family, shipped.config.encoder)
        encoder.load_state_dict({k: v for k, v in shipped.encoder.state_dict().items() if k in encoder.state_dict()})
        model = new_model(encoder, shipped.config.family, shipped.config.encoder, recipe, seed=0)
        report = train(model, work, split(clips, FOLDS[fold])[0], recipe, seed=0)
        say(f"f-InfoED without fold {fold}: {report['wall_s']:.0f} s")
        save_finfoed(model, path)
    return load_finfoed(path).requires_grad_(False)


def entropy_moments(network: FInfoED, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What f-InfoED's clip score is linear in, and that score: hidden states (B, L, T, F) -> (B, 4D), (B,)."""
    output = network.analyse(states)
    return time_moments(network.classifier.norm(output.entropy.transpose(1, 2))), output.clip_logit


@torch.inference_mode()
def finfoed_windows(work: Path, clips: Sequence[Clip], network: FInfoED, name: str, say: Say = lambda text: None
                    ) -> tuple[np.ndarray, np.ndarray]:
    """Representations (R, 4D) and scores (R,) of all windows by one f-InfoED model, in the order of ``load_windows``."""
    originals = [c for c in clips if not c.copier]
    path = work / "acorl" / f"{name}-{_key(originals)}.npz"
    if not path.exists():
        found = []
        for done, clip in enumerate(originals, 1):
            for wav in cut(work, clip):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    states = network.encode(wav)
                found.append([v[0].numpy() for v in entropy_moments(network, states.float())])
            if done % 500 == 0 or done == len(originals):
                say(f"{name}: {done} of {len(originals)}")
        np.savez(path, vectors=np.stack([v for v, _ in found]).astype(np.float32),
                 scores=np.array([s for _, s in found], np.float32))
    with np.load(path, allow_pickle=False) as data:
        return data["vectors"], data["scores"]


def _key(clips: Sequence[Clip]) -> str:
    return f"{len(clips)}-{zlib.crc32('|'.join(c.clip for c in clips).encode()):08x}"
