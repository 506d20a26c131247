from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.data.synthetic import SURFACES, generate_crack_image
from faultline.data.synthetic.crack_paint import rasterise
from faultline.data.synthetic.noise import (
    fractal_noise,
    random_cells,
    shade,
    smooth_noise,
    smoothstep,
)
from faultline.data.synthetic.paths import cell_network, fractal_path, walk_path
from faultline.data.synthetic.strokes import Stroke
from faultline.errors import DataError

SIZE = (200, 300)


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    return [generate_crack_image([11, index], SIZE) for index in range(24)]


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Grey levels by which the ring 3-7 px around the mask is brighter than the mask."""
    grey = image.mean(axis=2)
    near = cv2.dilate(mask, np.ones((7, 7), np.uint8))
    ring = cv2.dilate(mask, np.ones((15, 15), np.uint8)) - near
    return float(grey[ring > 0].mean() - grey[mask > 0].mean())


def test_contract_of_types_and_values(pictures):
    for image, mask in pictures:
        assert image.shape == (*SIZE, 3)
        assert mask.shape == SIZE
        assert image.dtype == mask.dtype == np.uint8
        assert image.flags.c_contiguous
        assert set(np.unique(mask)) == {0, 1}


def test_same_seed_gives_the_same_bytes_in_any_order():
    first = [generate_crack_image([3, index], (96, 128)) for index in range(4)]
    again = [generate_crack_image([3, index], (96, 128)) for index in reversed(range(4))][::-1]
    for (image, mask), (other_image, other_mask) in zip(first, again, strict=True):
        assert image.tobytes() == other_image.tobytes()
        assert mask.tobytes() == other_mask.tobytes()


def test_bytes_do_not_depend_on_threads_or_global_random_state():
    threads = cv2.getNumThreads()
    image, mask = generate_crack_image(5, SIZE)
    try:
        cv2.setNumThreads(1)
        np.random.seed(99)
        alone, alone_mask = generate_crack_image(5, SIZE)
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(image, alone)
    assert np.array_equal(mask, alone_mask)


def test_different_seeds_differ():
    pictures = {generate_crack_image(seed, (64, 64))[0].tobytes() for seed in range(8)}
    assert len(pictures) == 8
    assert (
        generate_crack_image([1, 2], (64, 64))[0].tobytes()
        != generate_crack_image([2, 1], (64, 64))[0].tobytes()
    )


def test_share_of_crack_pixels(pictures):
    shares = np.array([mask.mean() for _, mask in pictures])
    assert shares.min() > 0.004
    assert shares.max() < 0.07
    assert 0.01 < np.median(shares) < 0.04
    assert np.mean((shares > 0.009) & (shares < 0.045)) > 0.85


def test_cracks_are_darker_than_their_surroundings(pictures):
    values = np.array([contrast(image, mask) for image, mask in pictures])
    assert (values > 3).all()
    assert values.mean() > 20


def test_mask_and_picture_agree(pictures):
    here = np.array([contrast(image, mask) for image, mask in pictures])
    for shift in ((0, 5), (5, 0), (0, -5), (-5, 0)):
        moved = [contrast(image, np.roll(mask, shift, (0, 1))) for image, mask in pictures]
        assert (np.array(moved) < 0.75 * here).all()
        assert np.mean(moved) < 0.35 * here.mean()


def test_best_alignment_is_at_no_shift(pictures):
    shifts = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    total = np.zeros(len(shifts))
    for image, mask in pictures:
        total += [contrast(image, np.roll(mask, shift, (0, 1))) for shift in shifts]
    best = shifts[int(total.argmax())]
    assert max(abs(best[0]), abs(best[1])) <= 1
    assert total[shifts.index((0, 0))] > 0.97 * total.max()


@pytest.mark.parametrize("surface", SURFACES)
def test_crack_free_pictures_are_the_same_surface_without_cracks(surface):
    for index in range(5):
        image, mask = generate_crack_image([21, index], (320, 480), surface)
        clean, empty = generate_crack_image([21, index], (320, 480), surface, crack_free=True)
        assert not empty.any()
        # Stained sides reach about 25 px, lens and JPEG blocks some more.
        away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) > 48
        difference = np.abs(image.astype(int) - clean).max(axis=2)
        assert difference[mask > 0].mean() > 10
        # Nothing but cracks is in the mask: joints, stains and shadows are there without them.
        assert difference[away].size == 0 or difference[away].max() == 0


def test_distractors_alone_vary():
    levels = [
        generate_crack_image([31, index], (96, 144), crack_free=True)[0].mean()
        for index in range(12)
    ]
    assert np.std(levels) > 5


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (97, 131), (40, 201), (257, 129)])
@pytest.mark.parametrize("surface", SURFACES)
def test_odd_sizes(size, surface):
    for index in range(3):
        image, mask = generate_crack_image([8, index], size, surface)
        assert image.shape == (*size, 3)
        assert mask.shape == size
        assert mask.any()


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**63 - 1),
    st.integers(32, 90),
    st.integers(32, 90),
    st.sampled_from([None, *SURFACES]),
    st.booleans(),
)
def test_any_seed_and_size(seed, height, width, surface, crack_free):
    image, mask = generate_crack_image(seed, (height, width), surface, crack_free)
    assert image.shape == (height, width, 3)
    assert mask.any() != crack_free
    assert mask.mean() < 0.25


@pytest.mark.parametrize("size", [(31, 100), (100, 31), (0, 0), (-5, 50)])
def test_too_small_is_refused(size):
    with pytest.raises(DataError, match="at least 32 pixels"):
        generate_crack_image(0, size)


def test_unknown_surface_is_refused_with_a_suggestion():
    with pytest.raises(DataError, match=r"'asfalt', did you mean 'asphalt'"):
        generate_crack_image(0, surface="asfalt")


@pytest.mark.parametrize("seed", [-1, [3, -1], []])
def test_unusable_seed_is_refused(seed):
    with pytest.raises(DataError, match="seed"):
        generate_crack_image(seed, (64, 64))


def straight(width: float, tone: float = 1.0) -> Stroke:
    """A horizontal stroke along row 20, columns 10-49."""
    x = np.arange(10, 50, 1.5, dtype=np.float32)
    path = np.stack([x, np.full_like(x, 20)], axis=1)
    half = np.full(len(x), width / 2, np.float32)
    return Stroke(path, half, half, np.full(len(x), tone, np.float32))


def test_coverage_of_a_straight_stroke_is_exact():
    layer = rasterise([straight(3.0)], (40, 60))
    profile = layer.coverage[:, 30]
    # Centred on row 20, 3 px wide: rows 19-21 full. Fine pixels on the border count as inside.
    assert np.allclose(profile[19:22], 1)
    assert profile.sum() == pytest.approx(3.0, abs=0.3)
    assert profile[17] == profile[23] == 0
    assert layer.mask[:, 30].nonzero()[0].tolist() == [19, 20, 21]


def test_hair_cracks_stay_connected_in_the_mask():
    rng = np.random.default_rng(0)
    path = fractal_path(rng, (2.0, 8.0), (57.0, 31.0), 0.1)
    half = np.full(len(path), 0.4, np.float32)
    layer = rasterise([Stroke(path, half, half, 2 * half)], (40, 60))
    assert cv2.connectedComponents(layer.mask, connectivity=8)[0] == 2


def test_what_is_too_thin_is_neither_drawn_nor_masked():
    layer = rasterise([straight(0.4)], (40, 60))
    assert not layer.mask.any()
    assert not layer.coverage.any()


def test_tone_is_the_darkness_where_covered():
    layer = rasterise([straight(4.0, tone=0.5)], (40, 60))
    assert layer.tone[20, 30] == pytest.approx(0.5, abs=0.01)


def test_fractal_path_joins_its_ends():
    rng = np.random.default_rng(1)
    path = fractal_path(rng, (3.0, 4.0), (90.0, 60.0), 0.1, bow=12)
    assert np.allclose(path[0], (3, 4), atol=1e-4)
    assert np.allclose(path[-1], (90, 60), atol=1e-4)


def test_walk_path_has_its_length_and_direction():
    path = walk_path(np.random.default_rng(1), (0.0, 0.0), 0.0, 150.0, 0.0)
    assert np.allclose(path[-1], (148.5, 0), atol=1e-3)


def test_cell_network_covers_the_picture():
    edges = np.array(cell_network(np.random.default_rng(0), (100, 150), 25.0))
    inside = ((edges >= 0) & (edges < (150, 100))).all(axis=(1, 2))
    # A Voronoi diagram has about three edges a cell.
    assert inside.sum() == pytest.approx(3 * 100 * 150 / 25**2, rel=0.3)


def test_noise_has_zero_mean_and_unit_spread():
    rng = np.random.default_rng(0)
    for field in (smooth_noise(rng, (301, 403), 5), fractal_noise(rng, (301, 403), 32, 4)):
        assert field.shape == (301, 403)
        assert field.dtype == np.float32
        assert abs(field.mean()) < 0.2
        assert 0.7 < field.std() < 1.3


def test_cells_are_nearest_points():
    cells = random_cells(np.random.default_rng(0), (40, 50), 8)
    middles = np.argwhere(cells.distance == 0)
    assert len(middles) == cells.count
    rows, columns = np.mgrid[:40, :50]
    exact = np.sqrt(
        ((rows[..., None] - middles[:, 0]) ** 2 + (columns[..., None] - middles[:, 1]) ** 2).min(2)
    )
    # OpenCV's 5x5 distance is within 3 % of the Euclidean one.
    assert np.allclose(cells.distance, exact, rtol=0.03, atol=0.02)


def test_shade_of_a_ramp():
    ramp = np.tile(np.arange(20, dtype=np.float32), (20, 1))
    # Rising to the right, it faces a light from the left (angle pi) with slope 1.
    assert np.allclose(shade(ramp, np.pi)[5:15, 5:15], 1, atol=1e-5)
    assert np.allclose(shade(ramp, 0.0)[5:15, 5:15], -1, atol=1e-5)
    assert np.allclose(shade(ramp, np.pi / 2)[5:15, 5:15], 0, atol=1e-5)


def test_smoothstep_values():
    steps = smoothstep(np.array([-1, 0, 0.5, 1, 2], np.float32), 0, 1)
    assert steps.tolist() == [0, 0, 0.5, 1, 1]
