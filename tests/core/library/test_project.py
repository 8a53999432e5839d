"""The map: frozen, deterministic, honest about its trust; PCA exact."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from core import project
from core.library import Library, LibraryError
from core.project import MAP_FILE, Map, load_map, membership, place, principal_axes, save_map, shared_neighbours


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)


def _map(library) -> Map:
    """A map without UMAP (importing it takes a minute): the first two axes play its part."""
    x = library.segments.vectors
    parts = [(v[:, :2].copy(), *principal_axes(v)[:2]) for v in x.transpose(1, 0, 2)]
    umap, centre, axes = (np.stack([p[i] for p in parts]) for i in range(3))
    pca = np.stack([(x[:, i] - centre[i]) @ axes[i] for i in range(x.shape[1])])
    return Map(umap, pca, axes, centre, np.full(x.shape[:2], 0.5, np.float32).T, {"snapshot": library.snapshot.id})


def test_trustworthiness_is_the_published_one(points):
    flat = points[:, :2]
    assert project.trustworthiness(points, flat, 5) == pytest.approx(sklearn_trustworthiness(points, flat, n_neighbors=5))
    assert project.trustworthiness(points, points, 5) == 1.0


def test_a_picture_that_keeps_everything_keeps_all_neighbours(points):
    np.testing.assert_array_equal(shared_neighbours(points, 3 * points + 1, 10), np.ones(len(points)))
    shuffled = np.random.default_rng(1).permutation(points)
    assert shared_neighbours(points, shuffled, 10).mean() < 0.2


def test_umaps_weights_sum_to_log2_k():
    d = np.sort(np.random.default_rng(0).uniform(0.5, 2.0, 15))
    weights = membership(d)
    assert weights[0] == 1.0 and (np.diff(weights) <= 0).all() and weights.sum() == pytest.approx(np.log2(15), rel=1e-3)


def test_pca_is_linear_and_exact(points):
    centre, axes, share = principal_axes(points)
    flat = (points - centre) @ axes
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-5)
    variance = np.linalg.eigvalsh(np.cov(points.T, bias=True))[::-1]
    np.testing.assert_allclose(np.var(flat, axis=0), variance[:2], rtol=1e-4)
    assert share == pytest.approx(variance[:2].sum() / variance.sum(), rel=1e-4)
    inside = np.linalg.norm(flat[:, None] - flat, axis=-1) <= np.linalg.norm(points[:, None] - points, axis=-1) + 1e-4
    assert inside.all(), "distances shrink and never grow"


@pytest.mark.parametrize("kind", ["umap", "pca"])
def test_a_library_segment_lands_on_itself_and_company_changes_nothing(library, kind):
    found, x = _map(library), library.segments.vectors[:, 0]
    placed = place(found, library, x[:4], 0, kind)
    np.testing.assert_allclose(placed.xy, found.places(kind)[0][:4], atol=1e-4)
    alone = place(found, library, x[2:3], 0, kind)
    np.testing.assert_array_equal(alone.xy[0], placed.xy[2])
    assert ((placed.trust >= 0) & (placed.trust <= 1)).all()


def test_a_map_is_saved_frozen_and_belongs_to_one_snapshot(copy):
    library = Library(copy)
    with pytest.raises(LibraryError, match="no map yet"):
        load_map(library)
    found = _map(library)
    save_map(found, copy / MAP_FILE)
    again = load_map(library)
    np.testing.assert_allclose(again.umap, found.umap)
    np.testing.assert_allclose(again.pca, found.pca, atol=1e-5)
    from core.library.upkeep import remove

    remove(copy, [library.clips[0].sha256])
    with pytest.raises(LibraryError, match="another state"):
        load_map(Library(copy))
    (copy / MAP_FILE).write_bytes(b"x")
    with pytest.raises(LibraryError, match="damaged"):
        load_map(Library(copy))


def test_the_shipped_map_fits_the_shipped_library():
    from core.library import open_library

    library = open_library()
    found = load_map(library)
    assert found.umap.shape == (library.geometry.n_layers, len(library.segments), 2)
    assert all(layer["trustworthiness"] > 0.8 for layer in found.about["layers"])
    x = library.segments.vectors[:30, 1]
    np.testing.assert_allclose(place(found, library, x, 1).xy, found.umap[1, :30], atol=1e-3)
