"""The panel and its views: what they must not hear, what must not matter to them, and that files round-trip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models import views
from models.aasist import AASIST, SPECTRAL_NODES, TAPS
from models.panel import (
    FRAME,
    LIMIT,
    MAPS_VIEW,
    MIDDLE,
    NETWORK_HOP,
    NETWORK_VIEW,
    NETWORK_VIEWS,
    PIECE,
    Linear,
    Panel,
    computes_bfloat16,
    load_panel,
    network_frames,
    panel_with,
    piece_starts,
    save_panel,
    smoothed,
)

RATE = 16_000


def speechlike(seconds: float = 2.0, seed: int = 0) -> torch.Tensor:
    """Pulses through a resonance, with noise and pauses: (1, N)."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    x = 0.02 * rng.standard_normal(n)
    x[:: RATE // 120] += 1.0
    t = np.arange(200) / RATE
    x = np.convolve(x, np.exp(-t * 600) * np.cos(2 * np.pi * 700 * t))[:n]
    x *= 0.1 * (1.2 + np.sin(2 * np.pi * 3 * np.arange(n) / RATE))
    return torch.from_numpy(x.astype(np.float32)).unsqueeze(0)


def all_views(wav: torch.Tensor) -> dict[str, torch.Tensor]:
    x = views.prepare(wav)
    tracks, power = views.frame_tracks(x)
    return views.clip_views(x, tracks, power)


def tiny_panel(seed: int = 0) -> Panel:
    panel = panel_with(AASIST.tiny(seed).state_dict())
    generator = torch.Generator().manual_seed(seed)
    for linear in [*panel.members.values(), panel.local, panel.near]:
        linear.weight.copy_(0.01 * torch.randn(linear.weight.shape, generator=generator))
    return panel


def test_a_tone_between_7_3_and_8_khz_is_not_heard():
    wav = speechlike()
    tone = 0.05 * torch.sin(2 * torch.pi * 7_600 * torch.arange(wav.shape[1]) / RATE)
    clean, toned = all_views(wav), all_views(wav + tone)
    for name in views.VIEWS:
        assert (clean[name] - toned[name]).abs().mean() < 0.02 * clean[name].abs().mean(), name


def test_a_tone_below_is_heard():
    wav = speechlike()
    tone = 0.05 * torch.sin(2 * torch.pi * 5_000 * torch.arange(wav.shape[1]) / RATE)
    assert (all_views(wav)["lines"] - all_views(wav + tone)["lines"]).abs().max() > 0.3


@pytest.mark.parametrize("gain", [0.05, 0.5, 4.0])
def test_level_does_not_matter(gain):
    wav = speechlike()
    before, after = all_views(wav), all_views(gain * wav)
    for name in views.VIEWS:
        assert torch.allclose(before[name], after[name], atol=5e-3, rtol=5e-3), name


def test_resampling_keeps_a_tone():
    t = torch.arange(RATE) / RATE
    out = views.resample_guarded(torch.sin(2 * torch.pi * 1_000 * t).unsqueeze(0))
    expected = torch.sin(2 * torch.pi * 1_000 * torch.arange(14_400) / 14_400)
    assert out.shape == (1, 14_400)
    assert torch.allclose(out[0], expected, atol=1e-3)


def test_levinson_recovers_an_autoregression():
    """An AR(2) process' own autocorrelation gives its polynomial back, and a further order changes nothing."""
    a1, a2 = -1.2, 0.6
    r = [1.0, -a1 / (1 + a2)]
    for _ in range(2):
        r.append(-a1 * r[-1] - a2 * r[-2])
    a, error = views.levinson(torch.tensor([r], dtype=torch.float64), 3)
    assert torch.allclose(a[0], torch.tensor([1.0, a1, a2, 0.0], dtype=torch.float64), atol=1e-12)
    assert error.item() == pytest.approx(r[0] + a1 * r[1] + a2 * r[2])


def test_levinson_solves_the_normal_equations():
    from scipy.linalg import solve_toeplitz

    x = speechlike()[0, 4_000:4_400].double().numpy()
    r = np.correlate(x, x, "full")[len(x) - 1 : len(x) + 8]
    a, _ = views.levinson(torch.from_numpy(r.copy()), 8)
    assert np.allclose(a[1:].numpy(), -solve_toeplitz(r[:8], r[1:9]), atol=1e-6)


def test_a_window_alone_is_as_in_a_batch():
    both = torch.cat([speechlike(seed=1), speechlike(seed=2)])
    batch, alone = all_views(both), all_views(both[1:])
    for name in views.VIEWS:
        assert torch.allclose(batch[name][1:], alone[name], atol=1e-3, rtol=1e-3), name


@pytest.mark.parametrize("wav", [torch.zeros(1, 32_000), torch.ones(1, 32_000) * 0.3, speechlike(0.25),
                                 torch.eye(1, 20_000)], ids=["silence", "dc", "short", "click"])
def test_odd_sound_gives_finite_numbers_of_the_stated_widths(wav):
    panel = tiny_panel()
    vectors, tracks, bands = panel.vectors(wav)
    for name, linear in panel.members.items():
        assert vectors[name].shape == (1, linear.weight.shape[0])
        assert torch.isfinite(vectors[name]).all()
    assert tracks.shape[1] == views.TRACKS and torch.isfinite(bands).all()
    assert torch.isfinite(panel(wav).frames).all()


@pytest.mark.parametrize("n", [3_200, 9_760, 16_000, 64_000, 63_999])
def test_there_is_a_frame_score_every_20_ms(n):
    assert tiny_panel()(torch.randn(2, n) * 0.1).frames.shape == (2, n // FRAME)


def test_the_sum_is_the_members_by_their_shares_and_the_network_is_silent_without_a_share():
    wav, panel = speechlike(), tiny_panel()
    out = panel(wav)
    assert torch.allclose(out.clip, (out.members * panel.share).sum(-1))
    panel.share[panel.names.index(NETWORK_VIEW)] = 0.0
    assert panel.listens and panel.vectors(wav)[0][NETWORK_VIEW].any()
    panel.share[panel.names.index(MAPS_VIEW)] = 0.0
    assert panel.size == len(panel.names) - 2 and not panel.listens
    assert not any(panel.vectors(wav)[0][name].any() for name in NETWORK_VIEWS)
    panel.network = None  # it isn't even asked
    assert torch.isfinite(panel(wav).clip).all()


def test_what_the_network_hears_does_not_depend_on_level_and_is_repeated_to_a_piece():
    panel, wav = tiny_panel(), speechlike(1.0)
    torch.testing.assert_close(panel.hear(wav), panel.hear(8.0 * wav), atol=3e-2, rtol=3e-2)
    tiled = wav.repeat(1, 4)
    assert tiled.shape[1] == PIECE
    torch.testing.assert_close(panel.hear(wav), panel.hear(tiled))


def test_the_network_hears_every_piece_of_a_longer_window():
    panel = tiny_panel()
    one, other = speechlike(4.0, seed=1), speechlike(4.0, seed=2)
    level = [float(x.square().mean().sqrt()) for x in (one, other)]
    other = other * (level[0] / level[1])  # a window has one level
    both = panel.hear(torch.cat([one, other], 1))[0]
    alone = [panel.hear(wav)[0] for wav in (one, other)]
    mean = {name: (alone[0][name] + alone[1][name]) / 2 for name in NETWORK_VIEWS}
    torch.testing.assert_close(both, mean, atol=3e-2, rtol=3e-2)


def test_the_maps_view_is_the_maximum_over_time_by_channel_and_row():
    panel, wav = tiny_panel(), speechlike(4.0)
    heard = panel.hear(wav)[0][MAPS_VIEW].view(1, -1, SPECTRAL_NODES)
    guarded = views.guarded(wav)
    with torch.autocast("cpu", torch.bfloat16, enabled=computes_bfloat16(wav)):
        level = guarded.square().mean().sqrt() + 1e-6
        maps = panel.network.encoder[:MIDDLE](panel.network.front(guarded * (0.05 / level)))
    torch.testing.assert_close(heard, maps.float().amax(3), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("n", [9_600, PIECE, 90_000, 2 * PIECE, 128_000])
def test_a_frame_of_10_ms_hears_the_network_frame_that_is_nearest(n):
    per_piece = (PIECE - TAPS + 1) // NETWORK_HOP
    piece, frame = network_frames(n, n // 160, per_piece)
    starts = torch.tensor(piece_starts(n))
    assert starts.min() == 0 and starts.max() == max(0, n - PIECE)
    centre = starts[piece] + frame * NETWORK_HOP + (TAPS - 1 + NETWORK_HOP) / 2
    far = (centre - 160 * torch.arange(n // 160)).abs()
    assert far.max() <= NETWORK_HOP + TAPS  # at the ends; half a hop elsewhere
    assert far.float().median() <= NETWORK_HOP / 2
    assert centre.diff().min() > -NETWORK_HOP  # where one piece takes over from another


def test_a_sudden_change_shows_in_the_networks_part_of_the_frame_score_where_it_is():
    panel = panel_with(AASIST.tiny(1).state_dict())
    wav = speechlike(8.0)
    wav[:, 64_000:96_000] = 0.1 * torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0))
    bands = panel.near_statistics(panel.hear(wav)[1], wav.shape[1], 800)[0]  # (W, 800)
    inside = torch.zeros(800, dtype=torch.bool)
    inside[400:600] = True
    assert torch.corrcoef(torch.cat([bands, inside[None].float()])).nan_to_num()[-1, :-1].abs().max() > 0.8


def test_smoothing_keeps_constants_and_stays_within_the_scores():
    assert torch.allclose(smoothed(torch.full((2, 90), 3.0)), torch.full((2, 90), 3.0))
    x = torch.randn(1, 300, generator=torch.Generator().manual_seed(2))
    assert smoothed(x).max() <= x.max() and smoothed(x).min() >= x.min()
    assert torch.allclose(smoothed(x)[0, 150], x[0, 125:176].mean())


def test_an_unfitted_copy_shares_the_network_and_nothing_else():
    panel = tiny_panel()
    other = panel.unfitted()
    assert other.network is panel.network
    assert all(not m.weight.any() for m in other.members.values()) and not other.local.weight.any()


def test_one_odd_number_can_not_decide():
    linear = Linear(3)
    linear.weight.copy_(torch.tensor([1.0, 0.0, 0.0]))
    assert linear(torch.tensor([1e9, 0.0, 0.0])).item() == LIMIT


def test_the_score_can_be_differentiated_with_respect_to_the_sound():
    wav = speechlike(1.5).requires_grad_(True)
    out = tiny_panel()(wav)
    (out.clip.sum() + out.frames.sum()).backward()
    assert torch.isfinite(wav.grad).all() and wav.grad.abs().max() > 0


def test_files_round_trip_and_strangers_are_refused(tmp_path):
    panel, wav = tiny_panel(), speechlike()
    save_panel(panel, tmp_path / "panel.safetensors")
    again = load_panel(tmp_path / "panel.safetensors")
    assert torch.equal(panel(wav).clip, again(wav).clip)
    save_file({"x": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="not a panel"):
        load_panel(tmp_path / "other.safetensors")
    save_file({"x": torch.zeros(2)}, str(tmp_path / "bent.safetensors"), metadata={"panel": '{"encoder_width": 8}'})
    with pytest.raises(ValueError, match="configuration is another's"):
        load_panel(tmp_path / "bent.safetensors")
