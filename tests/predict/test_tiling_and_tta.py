from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from faultline.predict.tiling import axis_weights, predict_tiled, tile_starts
from faultline.predict.tta import mirrored_mean


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 3000), st.integers(1, 600))
def test_starts_cover_the_axis_evenly(length: int, tile: int) -> None:
    starts = tile_starts(length, tile)
    gaps = np.diff(starts)
    assert starts[0] == 0
    if length <= tile:
        assert starts == [0]
        return
    assert starts[-1] + tile == length
    assert gaps.min() > 0
    assert gaps.max() <= max(1, tile // 2)
    assert gaps.max() - gaps.min() <= 1


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 500), st.integers(1, 200))
def test_weights_are_a_partition_of_unity(length: int, tile: int) -> None:
    total = np.zeros(length)
    for start, weights in zip(tile_starts(length, tile), axis_weights(length, tile), strict=True):
        assert len(weights) == min(tile, length)
        assert weights.min() > 0
        total[start : start + len(weights)] += weights
    assert_allclose(total, 1, atol=1e-5)


def test_weights_are_gaussian_with_sigma_of_an_eighth() -> None:
    first, second = axis_weights(96, 64)
    middle = np.arange(64) - 31.5
    bell = np.exp(-0.5 * (middle / 8) ** 2)
    # Columns 32 to 63 belong to both tiles, starting at 0 and 32.
    assert_allclose(first[32:], bell[32:] / (bell[32:] + bell[:32]), rtol=1e-5)
    assert_allclose(second[:32], 1 - first[32:], atol=1e-6)
    assert_allclose(first[:32], 1, rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (65, 200), (10, 300), (300, 31), (1, 1)])
def test_a_function_of_single_pixels_is_reproduced(size: tuple[int, int], picture) -> None:
    image = picture(*size)
    tiled = predict_tiled(lambda t: t.transpose(0, 3, 1, 2) / np.float32(255), image, 3, 64)
    assert tiled.dtype == np.float32
    assert_allclose(tiled, image.transpose(2, 0, 1) / 255, atol=1e-6)


def test_no_more_tiles_than_a_batch_are_held(picture) -> None:
    counts: list[int] = []

    def function(tiles: np.ndarray) -> np.ndarray:
        counts.append(len(tiles))
        return np.ones((len(tiles), 1, *tiles.shape[1:3]), np.float32)

    image = picture(100, 100)
    assert_allclose(predict_tiled(function, image, 1, 32, batch=3), 1, atol=1e-6)
    assert max(counts) == 3
    assert sum(counts) == len(tile_starts(100, 32)) ** 2


def test_seams_vanish_away_from_borders(picture) -> None:
    """A 5x5 mean sees zeros beyond a tile, where its weight is next to nothing."""
    kernel = torch.full((1, 1, 5, 5), 1 / 25)

    def blur(tiles: np.ndarray) -> np.ndarray:
        grey = torch.from_numpy(tiles).float().mean(dim=3)[:, None] / 255
        return torch.nn.functional.conv2d(grey, kernel, padding=2).numpy()

    image = picture(300, 260)
    whole = blur(image[None])[0]
    assert_allclose(predict_tiled(blur, image, 1, 128), whole, atol=2e-3)


def test_tta_is_the_mean_over_flips() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 2, 3, padding=1)
    x = torch.rand(2, 3, 7, 10)

    def answer(pictures: torch.Tensor) -> torch.Tensor:
        return layer(pictures).sigmoid()

    with torch.no_grad():
        expected = (
            answer(x)
            + torch.fliplr(answer(x.flip(3)).permute(2, 3, 0, 1)).permute(2, 3, 0, 1)
            + answer(x.flip(2)).flip(2)
            + answer(x.flip(2).flip(3)).flip(3).flip(2)
        ) / 4
        result = mirrored_mean(answer, x)
    torch.testing.assert_close(result, expected)
    assert not torch.allclose(result, answer(x))


def test_tta_leaves_a_symmetric_function_alone() -> None:
    x = torch.rand(1, 3, 5, 6)
    torch.testing.assert_close(mirrored_mean(torch.sigmoid, x), torch.sigmoid(x))
