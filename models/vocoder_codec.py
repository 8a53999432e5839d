"""A small neural codec: convolutions over mel frames, residual vector quantisation, and an inverse-STFT decoder.

References
----------
Zeghidour et al. 2021, "SoundStream", arXiv 2107.03312.  Défossez et al. 2022, "EnCodec", arXiv 2210.13438.
van den Oord et al. 2017, "VQ-VAE", arXiv 1711.00937 (straight-through gradients, commitment loss).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from models.vocoder import ConvNeXtBlock, SpectrumHead, Vocoder, VocoderConfig


class ResidualQuantiser(nn.Module):
    """Each stage codes what the stages before left over. (B, D, T) -> (B, D, T), with gradients passed straight through.

    Codewords move by the codebook loss; ones that no frame of a training batch chose for long are restarted at a random
    frame, so that none stays dead.
    """

    def __init__(self, stages: int, codewords: int, dimensions: int) -> None:
        super().__init__()
        self.books = nn.Parameter(torch.randn(stages, codewords, dimensions) * 0.5)
        self.register_buffer("used", torch.ones(stages, codewords), persistent=False)

    def codes(self, x: torch.Tensor, stages: int | None = None) -> torch.Tensor:
        """Indices (B, stages, T) of (B, D, T)."""
        rest, found = x.transpose(1, 2), []  # (B, T, D)
        for book in self.books[:stages]:
            index = torch.cdist(rest.float(), book.float()[None].expand(len(rest), -1, -1)).argmin(-1)  # (B, T)
            found.append(index)
            rest = rest - F.embedding(index, book)
        return torch.stack(found, dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """(B, stages, T) -> (B, D, T)."""
        picked = [F.embedding(codes[:, i], self.books[i]) for i in range(codes.shape[1])]
        return torch.stack(picked).sum(0).transpose(1, 2)

    def forward(self, x: torch.Tensor, stages: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The quantised input and the codebook and commitment loss."""
        codes = self.codes(x, stages)
        rest, loss, total = x, x.new_zeros(()), torch.zeros_like(x)
        for stage in range(codes.shape[1]):
            picked = F.embedding(codes[:, stage], self.books[stage]).transpose(1, 2)
            loss = loss + F.mse_loss(picked, rest.detach()) + 0.25 * F.mse_loss(rest, picked.detach())
            total, rest = total + picked, rest - picked.detach()
            if self.training:
                self._revive(stage, codes[:, stage], rest.detach())
        return x + (total - x).detach(), loss

    @torch.no_grad()
    def _revive(self, stage: int, codes: torch.Tensor, rest: torch.Tensor) -> None:
        hits = torch.bincount(codes.flatten(), minlength=self.used.shape[1])
        self.used[stage] = 0.98 * self.used[stage] + 0.02 * hits
        dead = torch.nonzero(self.used[stage] < 0.01).flatten()
        if len(dead):
            frames = rest.transpose(1, 2).flatten(0, 1)  # (B * T, D)
            self.books[stage, dead] = frames[torch.randint(len(frames), (len(dead),))].to(self.books.dtype)
            self.used[stage, dead] = 1.0


class VQCodec(Vocoder):
    """Encoder of the log-mel spectrogram, residual quantiser, decoder. ``stages`` may be lowered after training: fewer
    bits, another system. (An encoder of the waveform itself learned far more slowly at this size.)
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__(config)
        c = config.channels
        self.encoder = nn.Sequential(nn.Conv1d(config.n_mels, c, 7, padding=3), ConvNeXtBlock(c, 2), ConvNeXtBlock(c, 2),
                                     nn.Conv1d(c, config.code, 3, padding=1))
        self.quantiser = ResidualQuantiser(config.quantisers, config.codewords, config.code)
        self.entry = nn.Conv1d(config.code, c, 7, padding=3)
        self.blocks = nn.ModuleList(ConvNeXtBlock(c, config.blocks) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(c)
        self.head = SpectrumHead(c, config.n_fft, config.hop)
        self.stages: int | None = None  # None: all

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """The quantised code, (B, D, T)."""
        coded, self.extra = self.quantiser(self.encoder(self.mel(wav)), self.stages)
        return coded

    def bits_per_second(self) -> float:
        """What the code costs."""
        stages = self.stages or self.config.quantisers
        return stages * (self.config.codewords - 1).bit_length() * 16_000 / self.config.hop

    def generate(self, features: torch.Tensor, n: int) -> torch.Tensor:
        x = self.entry(features)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.transpose(1, 2)).transpose(1, 2), n)
