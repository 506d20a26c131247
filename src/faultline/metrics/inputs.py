"""What every metric accepts: NumPy arrays or torch tensors on the CPU, checked once, here.

The decision rule of the whole package lives here too: a pixel is foreground when
`probability >= threshold`, compared in the floating type of the probabilities. NumPy and torch
agree on it bit for bit in float32 and float64; half precision is widened to float32 first.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from faultline.errors import ConfigError, ContractError, MaskError
from faultline.types import IGNORE_INDEX

ArrayLike: TypeAlias = npt.NDArray[Any] | torch.Tensor
Numbers: TypeAlias = npt.NDArray[Any]
Bools: TypeAlias = npt.NDArray[np.bool_]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Probabilities: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def decide(probability: ArrayLike, threshold: float) -> Bools:
    """Foreground of a probability map, of any shape: `probability >= threshold`.

    NaN is never foreground.
    """
    values = as_float(probability, "probability")
    found: Bools = values >= values.dtype.type(threshold)
    return found


def as_numpy(value: ArrayLike, name: str) -> npt.NDArray[Any]:
    """`value` as a NumPy array, without a copy where its type allows it.

    Raises:
        ContractError: A tensor lies on another device than the CPU.
    """
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    if value.device.type != "cpu":
        raise ContractError(
            f"{name} lies on {value.device}, metrics work on the CPU",
            where=name,
            remedy="pass tensor.cpu()",
        )
    value = value.detach()
    return value.float().numpy() if value.dtype is torch.bfloat16 else value.numpy()


def as_float(value: ArrayLike, name: str) -> Probabilities:
    """`value` as float32, or as float64 where it is float64 already.

    Raises:
        ContractError: The values are not floating-point numbers.
    """
    array = as_numpy(value, name)
    if array.dtype.kind != "f":
        raise ContractError(
            f"{name} has type {array.dtype}, not a floating type",
            where=name,
            remedy="pass probabilities, not a mask",
        )
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def as_probability(value: ArrayLike, name: str = "probability") -> tuple[Probabilities, bool]:
    """`value` as float32 or float64, and whether it holds NaN.

    Raises:
        ContractError: Not floating point, or a value outside [0, 1] (NaN is let through: a
            metric counts it, it does not hide it).
    """
    array = as_float(value, name)
    if array.size == 0:
        return array, False
    low, high = array.min(), array.max()
    has_nan = bool(np.isnan(low))
    if has_nan:
        # fmin and fmax pass over NaN, and give it back, silently, where there is nothing else.
        low, high = np.fmin.reduce(array, axis=None), np.fmax.reduce(array, axis=None)
    if low < 0 or high > 1:
        raise ContractError(
            f"values from {low:.4g} to {high:.4g}, probabilities lie in [0, 1]",
            where=name,
            remedy="pass sigmoid(logits)",
        )
    return array, has_nan


def as_labels(value: ArrayLike, name: str = "truth") -> Bytes:
    """`value`, whole numbers or booleans, as uint8.

    Raises:
        MaskError: Not whole numbers, or a value outside 0..255.
    """
    array = as_numpy(value, name)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        raise MaskError(
            f"has type {array.dtype}, not whole numbers", where=name, remedy="pass a uint8 mask"
        )
    if array.size and (array.min() < 0 or array.max() > 255):
        raise MaskError(
            f"values from {array.min()} to {array.max()}, masks hold 0..255", where=name
        )
    return array.astype(np.uint8)


def as_mask(value: ArrayLike, name: str = "prediction") -> Bools:
    """`value`, booleans or whole numbers 0 and 1, as booleans.

    Raises:
        ContractError: Other values, such as probabilities or a 0/255 mask.
    """
    array = as_numpy(value, name)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() > 1)):
        raise ContractError(
            f"has type {array.dtype} and values {value_summary(array)}, not 0 and 1",
            where=name,
            remedy="decide first (probability >= threshold); divide a 0/255 mask by 255",
        )
    return array.astype(np.bool_)


def check_same_shape(first: npt.NDArray[Any], second: npt.NDArray[Any], names: str) -> None:
    """Refuse two arrays of different shapes.

    Raises:
        ContractError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ContractError(f"shapes {first.shape} and {second.shape} differ", where=names)


def split_truth(truth: ArrayLike, ignore: int = IGNORE_INDEX) -> tuple[Bools, Bools | None]:
    """Foreground (truth == 1) and ignored pixels (None where there are none) of a binary mask.

    Raises:
        MaskError: A value other than 0, 1 and `ignore`; the message lists the values found.
    """
    check_ignore(ignore)
    labels = as_labels(truth)
    foreground = labels == 1
    odd = labels > 1
    if not odd.any():
        return foreground, None
    if not np.array_equal(odd, labels == ignore):
        raise_bad_truth(labels, ignore)
    return foreground, odd


def check_ignore(ignore: int) -> None:
    """Refuse an ignore value that a binary mask or uint8 cannot keep apart.

    Raises:
        ConfigError: Outside 2..255.
    """
    if not 2 <= ignore <= 255:
        raise ConfigError(f"ignore={ignore} is not in 2..255")


def raise_bad_truth(labels: Bytes, ignore: int) -> None:
    """Refuse a binary truth with values beside 0, 1 and `ignore`."""
    raise MaskError(
        f"values {value_summary(labels)} in a binary mask, which holds 0, 1 and {ignore} (ignore)",
        where="truth",
        remedy="load masks through a value rule (0/1, 0/255, index, palette, RGB)",
    )


def value_summary(array: npt.NDArray[Any], limit: int = 8) -> str:
    """The distinct values of `array`, at most `limit` of them spelled out."""
    values = np.unique(array)
    shown = ", ".join(f"{value:g}" for value in values[:limit])
    return shown if len(values) <= limit else f"{shown}, ... ({len(values)} distinct)"
