"""The pretrained CLIPSeg that the promptable network rests on: loaded, identified, remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faultline.errors import ConfigError, MissingExtraError

DEFAULT_WEIGHTS = "CIDAS/clipseg-rd64-refined"

Features = tuple[Tensor, ...]
"""Hidden states (B, 1 + h w, D) of some layers, the class token first."""


@lru_cache(maxsize=2)
def load_base(weights: str) -> tuple[Any, Any]:
    """CLIPSegForImageSegmentation and its tokenizer, from a local folder or from the hub.

    Loaded once a process: what is to be trained has to be copied.

    Raises:
        MissingExtraError: transformers is not installed.
        ConfigError: The folder holds no CLIPSeg, or the hub cannot be reached.
    """
    transformers = _transformers()
    local = Path(weights).expanduser()
    is_folder = local.is_dir()
    place = str(local) if is_folder else weights
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model = transformers.CLIPSegForImageSegmentation.from_pretrained(place)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    except Exception as error:  # the hub's client and the readers raise a whole family here
        raise _not_loaded(weights, is_folder, error) from error
    finally:
        transformers.utils.logging.set_verbosity(before)
        transformers.utils.logging.enable_progress_bar()
    return model.eval(), tokenizer


def is_at_hand(weights: str) -> bool:
    """Whether a base can be loaded without a network: a local folder, or fetched before.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    if Path(weights).expanduser().is_dir():
        return True
    _transformers()
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(weights, "config.json"), str)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "CLIPSeg needs the package transformers",
            remedy="run pip install '.[prompt]' in Faultline's folder",
        ) from error
    return transformers


def _not_loaded(weights: str, is_folder: bool, error: Exception) -> ConfigError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    if is_folder:
        return ConfigError(
            f"holds no CLIPSeg that can be loaded ({reason})",
            where=weights,
            remedy="give a folder in the hub's layout: config.json, model.safetensors and the "
            "tokenizer's files",
        )
    return ConfigError(
        f"CLIPSeg {weights!r} is not on this machine and cannot be fetched from the hub ({reason})",
        remedy="fetch it where there is a network (hf download CIDAS/clipseg-rd64-refined "
        "--local-dir clipseg) and point to the copy: model.weights=FOLDER, or --base FOLDER with "
        "weights that were trained on it",
    )


@lru_cache(maxsize=2)
def base_identity(weights: str) -> str:
    """Hex SHA-256 over names, types and values of every tensor of the encoders at `weights`.

    Raises:
        ConfigError: See `load_base`.
    """
    return identity_of(load_base(weights)[0].clip)


def identity_of(clip: nn.Module) -> str:
    """Hex SHA-256 over names, types and values of every tensor of a module."""
    digest = hashlib.sha256()
    for name, tensor in sorted(clip.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class FeatureMemo:
    """Keeps what a frozen backbone gave for a picture, by the picture's content.

    Args:
        budget: Bytes that may be kept; what comes later is computed each time.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.hits = 0
        self._kept: dict[bytes, Features] = {}

    def look(self, pictures: Tensor, compute: Callable[[Tensor], Features]) -> Features:
        """Features of (B, 3, H, W); `compute` is called for those that are not kept."""
        keys = [_key(picture) for picture in pictures]
        new = [number for number, key in enumerate(keys) if key not in self._kept]
        self.hits += len(keys) - len(new)
        fresh: dict[bytes, Features] = {}
        if new:
            # Not as inference tensors, which a later training step could not use.
            with torch.inference_mode(False), torch.no_grad():
                computed = compute(pictures[new].clone())
            for row, number in enumerate(new):
                one = tuple(layer[row].detach().cpu() for layer in computed)
                fresh[keys[number]] = one
                self._keep(keys[number], one)
        rows = [self._kept.get(key) or fresh[key] for key in keys]
        return tuple(torch.stack(layer).to(pictures.device) for layer in zip(*rows, strict=True))

    def _keep(self, key: bytes, features: Features) -> None:
        # Cloned by `cpu()` or not: a row of a batch must not keep the whole batch alive.
        own = tuple(layer.clone() for layer in features)
        size = sum(layer.numel() * layer.element_size() for layer in own)
        if size <= self.budget:
            self.budget -= size
            self._kept[key] = own


def _key(picture: Tensor) -> bytes:
    plain = picture.detach().cpu().contiguous().view(torch.uint8)
    return hashlib.sha1(plain.numpy().data, usedforsecurity=False).digest()
