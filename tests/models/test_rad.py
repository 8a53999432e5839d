"""RAD's known answers: the specification's shapes, self-retrieval, order of neighbours, equal capacity."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.rad import EPS, RAD, AttentiveStatistics, RADConfig, load_rad, save_rad

F, L, T, K = 24, 4, 20, 5


def _inputs(b: int = 1, k: int = K, f: int = F, layers: int = L, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(b, layers, T, f, generator=g),
        torch.full((b, layers), T),
        torch.randn(b, k, layers, T, f, generator=g),
        torch.full((b, k, layers), T),
    )


@pytest.fixture(scope="module")
def model() -> RAD:
    return RAD.tiny(layers=L, features=F)


def test_the_shapes_are_those_of_the_paper(model):
    query, blocks, near, near_blocks = _inputs()
    assert model.represent(query, blocks).shape == (1, 96)
    assert model.represent(near[0], near_blocks[0]).shape == (5, 96)
    out = model(query, blocks, near, near_blocks)
    assert out.difference.shape == (1, 5, 96) and out.logits.shape == (1, 2)
    assert model.over_neighbours(out.difference)[0].shape == (1, 192)
    assert model.classifier.in_features == 12 * F


def test_the_order_of_neighbours_does_not_matter(model):
    query, blocks, near, near_blocks = _inputs()
    order = torch.tensor([3, 0, 4, 2, 1])
    a, b = model(query, blocks, near, near_blocks), model(query, blocks, near[:, order], near_blocks[:, order])
    torch.testing.assert_close(a.logits, b.logits)
    torch.testing.assert_close(a.weights[:, order], b.weights)


def test_neighbours_that_are_the_query_differ_by_nothing(model):
    query, blocks, *_ = _inputs()
    out = model(query, blocks, query[:, None].expand(-1, K, -1, -1, -1), blocks[:, None].expand(-1, K, -1))
    r_e = model.over_neighbours(out.difference)[0][0]
    assert r_e[: 4 * F].abs().max() < 1e-5
    torch.testing.assert_close(r_e[4 * F :], torch.full((4 * F,), EPS**0.5), rtol=1e-4, atol=1e-6)


def test_statistics_are_weighted_moments():
    pool = AttentiveStatistics(3, 2)
    x = torch.randn(2, 7, 3)
    out, a = pool(x)
    torch.testing.assert_close(a.sum(1), torch.ones(2, 3))
    mean = (a * x).sum(1)
    torch.testing.assert_close(out[:, :3], mean)
    torch.testing.assert_close(out[:, 3:], (a * (x - mean[:, None]) ** 2).sum(1).clamp_min(EPS).sqrt())


@given(st.integers(1, T), st.integers(0, 5))
def test_padding_is_never_heard(filled, seed):
    model = RAD.tiny(layers=L, features=F)
    query, _, near, near_blocks = _inputs(seed=seed)
    blocks = torch.full((1, L), filled)
    changed = query.clone()
    changed[:, :, filled:] = 99.0
    a, b = model(query, blocks, near, near_blocks), model(changed, blocks, near, near_blocks)
    torch.testing.assert_close(a.logits, b.logits)


def test_missing_neighbours_are_left_out_and_none_at_all_is_no_difference(model):
    query, blocks, near, near_blocks = _inputs()
    valid = torch.tensor([[True, True, False, True, False]])
    a = model(query, blocks, near, near_blocks, valid)
    kept = near[:, valid[0]], near_blocks[:, valid[0]]
    torch.testing.assert_close(a.logits, model(query, blocks, *kept).logits)
    none = model(query, blocks, near, near_blocks, torch.zeros(1, K, dtype=torch.bool))
    same = model(query, blocks, query[:, None].expand(-1, K, -1, -1, -1), blocks[:, None].expand(-1, K, -1))
    torch.testing.assert_close(none.logits, same.logits)


def test_the_batch_does_not_change_an_answer(model):
    query, blocks, near, near_blocks = _inputs(b=6)
    together = model(query, blocks, near, near_blocks).score
    alone = torch.cat(
        [model(query[i : i + 1], blocks[i : i + 1], near[i : i + 1], near_blocks[i : i + 1]).score for i in range(6)]
    )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_the_ablations_have_the_same_size_and_see_only_their_part():
    models = {sees: RAD(RADConfig(L, F, bottleneck=4, sees=sees)).eval() for sees in ("both", "difference", "query")}
    assert len({sum(p.numel() for p in m.parameters()) for m in models.values()}) == 1
    query, blocks, near, near_blocks = _inputs()
    other = _inputs(seed=9)[2]
    blind = models["query"]
    torch.testing.assert_close(
        blind(query, blocks, near, near_blocks).logits, blind(query, blocks, other, near_blocks).logits
    )
    with pytest.raises(ValueError):
        RAD(RADConfig(sees="nothing"))


def test_gradients_reach_every_part():
    model = RAD.tiny(layers=2, features=4).train()
    query, blocks, near, near_blocks = _inputs(b=3, f=4, layers=2)
    model(query, blocks, near, near_blocks).score.sum().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()}
    assert all(name.endswith("attention.bias") for name in silent), silent  # a softmax ignores what all places share


def test_weights_come_back_and_foreign_files_are_refused(model, tmp_path):
    save_rad(model, tmp_path / "rad.safetensors")
    again = load_rad(tmp_path / "rad.safetensors")
    torch.testing.assert_close(again(*_inputs()).score, model(*_inputs()).score, rtol=2e-2, atol=2e-2)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not a RAD file"):
        load_rad(tmp_path / "other.safetensors")
