"""The critic that a vocoder is trained against: spectrogram discriminators at three resolutions.

Reference
---------
Jang et al. 2021, "UnivNet", arXiv 2106.07889 (multi-resolution spectrogram discriminators); hinge loss and feature
matching as in Kumar et al. 2019, "MelGAN", arXiv 1910.06711.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

SCALES = ((1024, 256), (512, 128), (256, 64))  # n_fft, hop


class SpectrumCritic(nn.Module):
    """One resolution: (B, N) -> maps of (B, c, F, T), the last of them the verdicts."""

    def __init__(self, n_fft: int, hop: int, channels: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.layers = nn.ModuleList([
            nn.Conv2d(1, channels, (5, 3), (3, 1), padding=(2, 1)),
            nn.Conv2d(channels, channels, (5, 3), (3, 2), padding=(2, 1)),
            nn.Conv2d(channels, channels, (5, 3), (3, 2), padding=(2, 1)),
            nn.Conv2d(channels, 1, 3, padding=1),
        ])

    def forward(self, wav: torch.Tensor) -> list[torch.Tensor]:
        spectrum = torch.stft(wav, self.n_fft, self.hop, window=self.window, return_complex=True)
        x, maps = (spectrum.abs() + 1e-5).log()[:, None], []  # (B, 1, F, T)
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.1)
            maps.append(x)
        return [*maps, self.layers[-1](x)]


class Critic(nn.Module):
    """Three resolutions, a list of maps each."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectrumCritic(n_fft, hop, channels) for n_fft, hop in SCALES)

    def forward(self, wav: torch.Tensor) -> list[list[torch.Tensor]]:
        return [part(wav) for part in self.parts]


def critic_loss(real: list[list[torch.Tensor]], made: list[list[torch.Tensor]]) -> torch.Tensor:
    """Hinge: real above +1, made below -1."""
    return sum(F.relu(1 - r[-1].float()).mean() + F.relu(1 + m[-1].float()).mean()
               for r, m in zip(real, made, strict=True)) / len(real)


def adversarial_loss(real: list[list[torch.Tensor]], made: list[list[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the generator minimises: (minus the critic's verdict, distance of the critic's inner maps)."""
    fool = sum(-m[-1].float().mean() for m in made) / len(made)
    match = sum((a.float().detach() - b.float()).abs().mean() for r, m in zip(real, made, strict=True)
                for a, b in zip(r[:-1], m[:-1], strict=True)) / len(made)
    return fool, match
