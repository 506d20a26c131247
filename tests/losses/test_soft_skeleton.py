"""The soft skeleton against the authors' max-pool loop, and in spirit against scikit-image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation
from skimage.draw import line
from skimage.morphology import skeletonize
from torch import Tensor

from faultline.losses.skeleton import soft_dilate, soft_erode, soft_skeleton


def pooled_erode(image: Tensor) -> Tensor:
    down = -F.max_pool2d(-image, (3, 1), 1, (1, 0))
    across = -F.max_pool2d(-image, (1, 3), 1, (0, 1))
    return torch.minimum(down, across)


def pooled_dilate(image: Tensor) -> Tensor:
    return F.max_pool2d(image, 3, 1, 1)


def pooled_skeleton(image: Tensor, iterations: int) -> Tensor:
    """Listing of Shit et al. 2021, as published."""
    skeleton = F.relu(image - pooled_dilate(pooled_erode(image)))
    for _ in range(iterations):
        image = pooled_erode(image)
        delta = F.relu(image - pooled_dilate(pooled_erode(image)))
        skeleton = skeleton + F.relu(delta - skeleton * delta)
    return skeleton


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("shape", [(2, 3, 17, 12), (1, 1, 1, 9), (1, 2, 6, 1)])
def test_erosion_and_dilation_are_pools(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    assert torch.equal(soft_erode(image), pooled_erode(image))
    assert torch.equal(soft_dilate(image), pooled_dilate(image))


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_skeleton_and_gradient_are_those_of_the_published_loop(iterations: int) -> None:
    ours, theirs = (noise(2, 2, 24, 20).requires_grad_() for _ in range(2))
    a, b = soft_skeleton(ours, iterations), pooled_skeleton(theirs, iterations)
    torch.testing.assert_close(a, b)
    cotangent = noise(2, 2, 24, 20)
    a.backward(cotangent)
    b.backward(cotangent)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradcheck() -> None:
    image = noise(1, 2, 6, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_skeleton(x, 2), (image,))


def test_a_line_of_one_pixel_survives() -> None:
    image = torch.zeros(1, 1, 20, 20)
    image[..., 9, 3:17] = 1
    image[..., 3:9, 6] = 1
    assert torch.equal(soft_skeleton(image, 3), image)
    assert torch.equal(soft_skeleton(image * 0.6, 3), image * 0.6)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_a_thick_crack_thins_to_about_the_skeleton_of_scikit_image(radius: int) -> None:
    crack = np.zeros((64, 64), bool)
    for start, end in [((5, 5), (30, 40)), ((30, 40), (58, 50)), ((30, 40), (12, 60))]:
        crack[line(*start, *end)] = True
    thick = binary_dilation(crack, iterations=radius)
    soft = soft_skeleton(torch.from_numpy(thick).float()[None, None], 5)[0, 0].numpy() > 0.5
    hard = skeletonize(thick)
    # Soft skeletons have gaps and spurs: compare within 2 px, as one does with centre lines.
    near_hard, near_soft = (binary_dilation(x, iterations=2) for x in (hard, soft))
    assert (soft & near_hard).sum() > 0.9 * soft.sum()
    assert (hard & near_soft).sum() > 0.9 * hard.sum()
    assert soft.sum() < 0.75 * thick.sum()
