"""How hidden states become what a library stores and compares: one frozen linear map per layer.

    states (B, L, T, F) -> mean over time -> (x - mean) basis -> unit length   vectors (B, L, V)
                        -> means of blocks of tau frames -> the same map       short features (B, L, N, S)

The basis whitens: means of raw hidden states point nearly all in one direction, and after whitening the same speaker
comes first more often. Then it leaves out the few directions in which noise and codecs move every recording alike
(nuisance attribute projection), so that a noisy copy stays beside its original: without that, white noise 20 dB below the
speech puts another recording first for two of three windows in layer 0 (figures in the card of RAD). The map is fitted
once, before a library's first clip, and named by its digest; libraries and networks that name the same one fit.

Reference: Solomonoff, Campbell, Boardman 2005, "Advances in channel compensation for SVM speaker recognition", ICASSP.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import EarwitnessError

if TYPE_CHECKING:
    from models.registry import Detector

VECTOR = 384  # V, most dimensions that are compared
REMOVED = 8  # directions of nuisance left out in each layer
SHORT = 64  # S, leading dimensions of the same map that short features keep
TAU = 20  # frames per block, 0.4 s
BLOCKS = 10  # N: a window of 4 s has 200 frames
FLOOR = 5e-4  # eigenvalues below this share of the largest are not blown up any further


class LibraryError(EarwitnessError):
    """A library, its manifest or its files can't be used as they are; the message names the file."""

    code = "library"


@dataclass(frozen=True, eq=False)
class Measured:
    """Segments as a library holds them: vectors float32 (B, L, V) of unit length, short features fp16 (B, L, N, S) padded
    with zeros, and how many of the N blocks are filled (B,).
    """

    vectors: np.ndarray
    short: np.ndarray
    blocks: np.ndarray


@dataclass(frozen=True, eq=False)
class Geometry:
    """The frozen map. mean (L, F); basis (L, F, V), columns by falling variance."""

    encoder_sha256: str
    mean: np.ndarray
    basis: np.ndarray
    tau: int = TAU
    short: int = SHORT
    blocks: int = BLOCKS

    @property
    def n_layers(self) -> int:
        return self.mean.shape[0]

    @cached_property
    def sha256(self) -> str:
        """Digest of everything that a stored number depends on, the encoder included."""
        h = hashlib.sha256(f"{self.encoder_sha256} {self.tau} {self.short} {self.blocks}".encode())
        for array in (self.mean, self.basis):
            h.update(str(array.shape).encode())
            h.update(np.ascontiguousarray(array, "<f4").tobytes())
        return h.hexdigest()

    def measure(self, states: np.ndarray) -> Measured:
        """states float (B, L, T, F) -> what is stored and compared of each window. Row by row, whatever the batch."""
        x = np.asarray(states, np.float32)
        rows = [self._row(row) for row in x]
        vectors, short, blocks = (list(part) for part in zip(*rows, strict=True))
        return Measured(np.stack(vectors), np.stack(short), np.array(blocks))

    def _row(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """One window (L, T, F)."""
        averages = block_means(x, self.tau)[:, : self.blocks]  # (L, n, F)
        vector = unit(self.project(x.mean(1)))  # (L, V)
        kept = self.project(averages, self.short)  # (L, n, S)
        short = np.zeros((self.n_layers, self.blocks, kept.shape[-1]), np.float16)
        short[:, : kept.shape[1]] = kept.clip(-6e4, 6e4)
        return vector, short, kept.shape[1]

    def project(self, x: np.ndarray, dimensions: int | None = None) -> np.ndarray:
        """(L, F) or (L, n, F) -> the same with the map's dimensions in place of F."""
        centred = x - (self.mean if x.ndim == 2 else self.mean[:, None])
        basis = self.basis[..., :dimensions]
        return np.stack([rows @ matrix for rows, matrix in zip(centred, basis, strict=True)]).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write geometry.safetensors."""
        from safetensors.numpy import save_file

        note = {
            "encoder_sha256": self.encoder_sha256,
            "tau": str(self.tau),
            "short": str(self.short),
            "blocks": str(self.blocks),
        }
        arrays = {name: np.ascontiguousarray(a, np.float32) for name, a in (("mean", self.mean), ("basis", self.basis))}
        save_file(arrays, str(path), metadata=note)

    @classmethod
    def load(cls, path: Path) -> Geometry:
        """Back from :meth:`save`. Raises LibraryError where the file is missing, damaged or something else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                note = file.metadata() or {}
                mean, basis = file.get_tensor("mean"), file.get_tensor("basis")
            tau, short, blocks = (int(note[name]) for name in ("tau", "short", "blocks"))
            found = cls(note["encoder_sha256"], mean, basis, tau, short, blocks)
            if basis.ndim != 3 or basis.shape[:2] != mean.shape or min(tau, short, blocks) < 1:
                raise ValueError("shapes")
        except (OSError, SafetensorError, KeyError, ValueError) as problem:
            raise LibraryError(f"{path} is missing or damaged; restore it, or build the library anew.") from problem
        return found


def block_means(x: np.ndarray, tau: int) -> np.ndarray:
    """S(y): means of consecutive blocks of ``tau`` frames, (L, T, F) -> (L, n, F).

    A remainder of half a block or more is a block of its own, a shorter one is left out; there is at least one block.
    """
    n = max(1, (x.shape[1] + tau // 2) // tau) if tau > 1 else x.shape[1]
    return np.stack([x[:, i * tau : (i + 1) * tau].mean(1) for i in range(n)], axis=1)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of unit length; a row of zeros stays zero."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def fit_geometry(
    means: np.ndarray,
    encoder_sha256: str,
    *,
    vector: int = VECTOR,
    short: int = SHORT,
    tau: int = TAU,
    blocks: int = BLOCKS,
    nuisance: np.ndarray | None = None,
    removed: int = REMOVED,
) -> Geometry:
    """Whiten time averages of hidden states, means (n, L, F) of n segments, layer by layer.

    nuisance (m, L, F): time averages of degraded copies minus those of their originals; the ``removed`` directions in
    which they are longest after whitening are left out, an eighth of all at most. With fewer segments than dimensions,
    only as many dimensions as the segments span. Raises LibraryError for fewer than two segments.
    """
    if len(means) < 2:
        raise LibraryError("At least two readable clips are needed to begin a library.")
    n, layers, features = means.shape
    kept = min(vector, n - 1, features)
    centre, basis = means.mean(0), np.zeros((layers, features, kept), np.float32)
    for layer in range(layers):
        _, singular, rows = np.linalg.svd((means[:, layer] - centre[layer]).astype(np.float64), full_matrices=False)
        variance = singular[:kept] ** 2 / n
        scale = 1 / np.sqrt(np.maximum(variance, max(FLOOR * variance[0], 1e-12)))
        sign = np.where(rows[np.arange(kept), np.abs(rows[:kept]).argmax(1)] < 0, -1.0, 1.0)  # the same on every machine
        basis[layer] = (rows[:kept] * (scale * sign)[:, None]).T
        if nuisance is not None:
            basis[layer] = without(basis[layer], nuisance[:, layer], min(removed, kept // 8))
    return Geometry(encoder_sha256, centre.astype(np.float32), basis, tau, min(short, kept), blocks)


def without(basis: np.ndarray, nuisance: np.ndarray, removed: int) -> np.ndarray:
    """The basis (F, V) with the directions projected out in which nuisance (m, F) has most energy, after the basis."""
    moved = nuisance.astype(np.float64) @ basis
    directions = np.linalg.eigh(moved.T @ moved)[1][:, moved.shape[1] - removed :]  # (V, removed), orthonormal
    return (basis - (basis @ directions) @ directions.T).astype(np.float32)


def encoder_digest(detector: Detector) -> str:
    """Digest of the frozen encoder alone, its guard included: adapters and heads may be retrained, a library stays."""
    network = detector.network
    h = hashlib.sha256(f"{network.config.family} guard {network.config.guard_bands}".encode())
    for name, value in sorted(network.encoder.state_dict().items()):
        h.update(f"{name} {tuple(value.shape)}".encode())
        h.update(np.ascontiguousarray(value.detach().cpu().float().numpy(), "<f4").tobytes())
    return h.hexdigest()


def tags(geometry: Geometry) -> dict[str, Any]:
    """What a result quotes of the geometry."""
    return {
        "geometry_sha256": geometry.sha256,
        "encoder_sha256": geometry.encoder_sha256,
        "tau_frames": geometry.tau,
        "layers": geometry.n_layers,
        "dimensions": int(geometry.basis.shape[-1]),
    }
