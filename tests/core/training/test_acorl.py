"""ACoRL: gradient reversal, the planted-cue experiment that decides, eta = 0 as plain training, and the measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.audit import complementarity as measured
from core.training.acorl import AcorlOptions, beyond_label, represent_all, train_alliance, train_fusion
from models.acorl import (
    Adversary,
    Alliance,
    AllianceConfig,
    LateFusion,
    load_alliance,
    reversal_strength,
    reverse_gradient,
    save_alliance,
)

ROWS, FRAMES = 16, 24
FIRST, SECOND = slice(2, 6), slice(10, 14)  # disjoint bands
SMALL = AllianceConfig(rows=ROWS, channels=8, dim=16, kernel=3, dropout=0.0)
BRIEF = AcorlOptions(batch=32, weight_decay=1e-4, crop=0, average=0.9)


def planted(n: int, seed: int, *, first: bool = True, second: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise in which spoofed items carry one or two artefacts of random strength, the first one the stronger."""
    generator = torch.Generator().manual_seed(seed)
    y = (torch.arange(n) % 2).float()
    x = 0.7 * torch.randn(n, ROWS, FRAMES, generator=generator)
    spoof = (1 - y)[:, None, None]
    strengths = [gain * (0.25 + 1.5 * torch.rand(n, 1, 1, generator=generator)) for gain in (1.2, 0.9)]
    for there, band, strength in ((first, FIRST, strengths[0]), (second, SECOND, strengths[1])):
        if there:
            x[:, band] += spoof * strength
    return x, y


def accuracy(model: Alliance, data: tuple[torch.Tensor, torch.Tensor]) -> float:
    with torch.no_grad():
        return float(((model(data[0]) > 0).float() == data[1]).float().mean())


def evidence(model: Alliance, x: torch.Tensor, steps: int = 8) -> np.ndarray:
    """Mean size of Integrated Gradients from zero, (R, T)."""
    total = torch.zeros_like(x)
    for k in range(steps):
        point = (x * ((k + 0.5) / steps)).requires_grad_(True)
        total += torch.autograd.grad(model(point).sum(), point)[0]
    return (x * total / steps).abs().mean(0).numpy()


def share(found: np.ndarray, band: slice) -> float:
    return float(found[band].sum() / found.sum())


def test_the_adversary_moves_the_alliance_to_the_cue_that_the_member_leaves():
    """The decisive experiment: two artefacts in disjoint bands; the member uses the first; the alliance, which sees
    both, moves to the second with its accuracy kept; too strong an adversary costs the task."""
    train, test = planted(400, 1), planted(400, 2)
    only_first, only_second = planted(400, 3, second=False), planted(400, 4, first=False)
    member = train_alliance(*planted(400, 5, second=False), SMALL, (), replace(BRIEF, eta=0, seed=9, steps=100))
    assert accuracy(member, only_first) > 0.95 and accuracy(member, only_second) < 0.6, "the member uses the first cue"
    known = (represent_all(member, train[0])[0],)
    plain, allied, crushed = (train_alliance(*train, SMALL, known, replace(BRIEF, eta=eta, seed=1, steps=190,
                                                                           adversary_steps=5)) for eta in (0, 6, 100))
    maps = {name: evidence(m, test[0]) for name, m in (("member", member), ("plain", plain), ("allied", allied))}
    assert share(maps["plain"], FIRST) > share(maps["plain"], SECOND), "left alone, it takes the stronger cue"
    assert share(maps["allied"], SECOND) > 1.4 * share(maps["allied"], FIRST), "the evidence moved"
    assert share(maps["allied"], FIRST) < share(maps["plain"], FIRST) - 0.1
    overlaps = [np.minimum(maps["member"] / maps["member"].sum(), maps[m] / maps[m].sum()).sum()
                for m in ("plain", "allied")]
    assert overlaps[1] < overlaps[0] - 0.05, "less evidence in common with the member"
    assert accuracy(allied, test) >= accuracy(member, test) - 0.01, "and the task is kept"
    assert accuracy(allied, only_second) > accuracy(allied, only_first) + 0.1
    assert accuracy(crushed, test) < accuracy(allied, test) - 0.05, "too large an eta hurts the task"


def test_eta_zero_is_plain_training_to_the_bit():
    x, y = planted(64, 1)
    known = (torch.randn(64, 5),)
    options = replace(BRIEF, eta=0.0, seed=3, steps=4)
    one, other = train_alliance(x, y, SMALL, known, options), train_alliance(x, y, SMALL, (), options)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    with_adversary = train_alliance(x, y, SMALL, known, replace(options, eta=1.0))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), with_adversary.parameters(), strict=True))


def test_training_leaves_the_random_state_alone_and_repeats_itself():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    x, y = planted(64, 1)
    options = replace(BRIEF, eta=1.0, steps=3, crop=12)
    a, b = (train_alliance(x, y, SMALL, (torch.ones(64, 3),), options) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_rows_without_weight_are_never_drawn():
    x, y = planted(64, 1)
    x[32:] = float("nan")
    weights = (torch.arange(64) < 32).float()
    model = train_alliance(x, y, SMALL, (), replace(BRIEF, steps=3), weights)
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_member_looks_at_its_own_rows_only():
    member = Alliance.tiny(first=20, rows=10)
    x = torch.randn(2, 79, 30)
    other = x.clone()
    other[:, :20], other[:, 30:] = 0.0, 9.0
    assert torch.equal(member(x), member(other))
    other[:, 20:30] += 1.0
    assert not torch.equal(member(x), member(other))
    assert torch.allclose(member.represent(x).norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("strength", [0.0, 0.5, 3.0])
def test_gradient_reversal_is_the_identity_forward_and_turns_back(strength):
    x = torch.randn(3, 4, requires_grad=True)
    weights = torch.randn(3, 4)
    y = reverse_gradient(x, strength)
    assert torch.equal(y, x)
    (y * weights).sum().backward()
    assert torch.allclose(x.grad, -strength * weights)
    assert torch.autograd.gradcheck(lambda v: -reverse_gradient(reverse_gradient(v, 1.0), 1.0),
                                    torch.randn(2, dtype=torch.float64, requires_grad=True))


def test_the_reversal_grows_from_nothing_to_full():
    values = [reversal_strength(p) for p in (0.0, 0.1, 0.5, 1.0)]
    assert values[0] == 0 and values == sorted(values) and 0.999 < values[-1] < 1


def test_the_adversarys_loss_is_bounded():
    adversary = Adversary(4, [3, 5])
    z, known = 100 * torch.randn(8, 4), [1e3 * torch.randn(8, 3), 1e-3 * torch.randn(8, 5)]
    assert 0 <= adversary(z, known).item() <= 2


def test_beyond_the_label_nothing_is_left_of_a_class_mean():
    y = torch.tensor([0.0, 1, 0, 1])
    v = torch.stack([y, 2 * y], 1)
    assert beyond_label(v, y).abs().max() == 0
    noise = torch.randn(4, 2)
    left = beyond_label(v + noise, y)
    assert left[y == 1].mean(0).abs().max() < 1e-6 and torch.allclose(left, beyond_label(noise, y), atol=1e-6)


def test_fusion_uses_every_part_and_refuses_others():
    y = (torch.arange(200) % 2).float()
    parts = [torch.randn(200, 4), torch.randn(200, 6)]
    parts[0][:, 0] += 1.5 * y
    parts[1][:, 2] += 1.5 * y
    fusion = train_fusion(parts, y, replace(BRIEF, steps=190, rate=2e-2))
    both = float(((fusion(parts) > 0).float() == y).float().mean())
    without = float(((fusion([parts[0], torch.randn(200, 6)]) > 0).float() == y).float().mean())
    assert both > 0.75 and both > without
    with pytest.raises(ValueError, match="was given"):
        LateFusion([4, 6])([parts[1], parts[0]])


def test_a_saved_alliance_comes_back(tmp_path):
    model = Alliance(SMALL).eval()
    save_alliance(model, tmp_path / "a.safetensors")
    x = torch.randn(2, ROWS, FRAMES)
    assert torch.allclose(load_alliance(tmp_path / "a.safetensors")(x), model(x), atol=1e-2), "weights are kept in fp16"
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="no configuration"):
        load_alliance(tmp_path / "b.safetensors")


# ---- measures ----------------------------------------------------------------------------------------------


def test_linear_cka_of_rotations_and_of_strangers():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2_000, 6))
    q, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    assert measured.linear_cka(x, 3 * x @ q + 1) == pytest.approx(1.0)
    assert measured.linear_cka(x, rng.standard_normal((2_000, 8))) < 0.02
    assert measured.linear_cka(x, np.ones((2_000, 2))) == 0.0


def test_ridge_r2_knows_linear_knowledge_from_none():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5))
    assert measured.ridge_r2(x, x @ rng.standard_normal((5, 3)) + 2) > 0.99
    assert measured.ridge_r2(x, rng.standard_normal((300, 3))) < 0.05
    assert measured.ridge_r2(x[:, :1], x) < 0.4, "knowing a part isn't knowing the whole"


def test_measures_of_errors():
    same, other = np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 1], bool)
    assert measured.q_statistic(same, same) == 1 and measured.q_statistic(same, other) == -1
    independent = np.array([1, 0, 1, 0], bool)
    assert measured.q_statistic(same, independent) == 0 == measured.error_correlation(same, independent)
    assert measured.double_fault(same, same) == 0.5 and measured.double_fault(same, other) == 0
    assert measured.error_correlation(same, same) == pytest.approx(1)
    bona = np.array([1, 1, 0, 0], bool)
    oracle = measured.oracle_scores([np.array([1.0, -1, -1, 1]), np.array([-1.0, 1, 1, -1])], bona)
    assert ((oracle > 0) == bona).all(), "each is right where the other is wrong"


def test_attribution_overlap_and_what_only_one_model_uses():
    a, b = np.zeros((80, 100)), np.zeros((80, 100))
    a[:20], b[40:60] = 1.0, -2.0
    assert measured.attribution_overlap(a, a) == pytest.approx(1) and measured.attribution_overlap(a, b) == 0
    alone = measured.only_this([a, b], 1)
    assert alone[40:60].sum() == pytest.approx(1) and alone[:20].max() == 0
