"""AdaLAM: trainable low-rank adapters on every Transformer sub-layer of a frozen encoder.

An adapter sits on the output of the attention and of the feed-forward sub-layer, before the residual addition
(pre-LN encoders) and so before the normalisation that follows it (post-LN encoders). It is zero-initialised:
an untrained adapter leaves the encoder bit-identical.

References
----------
Zhao et al. 2025, "f-InfoED and AdaLAM", arXiv 2504.10819.  Closest published form: E-adapter, arXiv 2407.21066.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F


class AdapterLAM(nn.Module):
    """x + s * W_up GELU(W_down LN(x)); W_up starts at zero, s at one.

    Parameters
    ----------
    n_features : width F of the sub-layer output
    rank : width r of the bottleneck
    """

    def __init__(self, n_features: int, rank: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_features)
        self.down = nn.Linear(n_features, rank)
        self.up = nn.Linear(rank, n_features)
        self.scale = nn.Parameter(torch.ones(()))
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x : (B, T, F) -> (B, T, F)."""
        return x + self.scale * self.up(F.gelu(self.down(self.norm(x))))


class AdapterStack(nn.Module):
    """Two adapters per Transformer layer, attached to an encoder through forward hooks.

    The encoder is not a child of this module, so its parameters are neither saved nor trained with it. Hooks read
    :attr:`enabled`; whoever switches it holds the model's lock.
    """

    def __init__(self, encoder: nn.Module, n_features: int, rank: int) -> None:
        super().__init__()
        self.enabled = True
        layers = encoder.transformer_layers()
        self.attention = nn.ModuleList(AdapterLAM(n_features, rank) for _ in layers)
        self.feed_forward = nn.ModuleList(AdapterLAM(n_features, rank) for _ in layers)
        for layer, attention, feed_forward in zip(layers, self.attention, self.feed_forward, strict=True):
            attention_output, feed_forward_output = encoder.sublayer_outputs(layer)
            attention_output.register_forward_hook(self._hook(attention))
            feed_forward_output.register_forward_hook(self._hook(feed_forward))

    def _hook(self, adapter: AdapterLAM):
        def apply(_module: nn.Module, _inputs: tuple, output):
            if not self.enabled:
                return None
            if isinstance(output, tuple):  # attention modules return (hidden, weights, ...)
                return (adapter(output[0]), *output[1:])
            return adapter(output)

        return apply

    @contextmanager
    def switched(self, on: bool) -> Iterator[None]:
        """Run the encoder with the adapters on or off, restoring the switch afterwards."""
        before, self.enabled = self.enabled, on
        try:
            yield
        finally:
            self.enabled = before
