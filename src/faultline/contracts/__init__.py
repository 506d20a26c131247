"""Tensor contracts: what a function may assume of its tensors, checked at its door.

    sizes = check_tensor(image, "image", "B 3 H W", dtype="float")
    check_tensor(mask, "mask", "B H W", dtype=torch.uint8, low=0, high=1, ignore=255, **sizes)

On by default; `FAULTLINE_CHECKS=0` or `with checks("off")` switches them off.
"""

from __future__ import annotations

from faultline.contracts.nonfinite import NonFinite, first_nonfinite, first_nonfinite_in
from faultline.contracts.tensors import check_tensor, checks, set_checks

__all__ = [
    "NonFinite",
    "check_tensor",
    "checks",
    "first_nonfinite",
    "first_nonfinite_in",
    "set_checks",
]
