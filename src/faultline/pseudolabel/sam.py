"""Source 3: Segment Anything (Kirillov et al. 2023), asked at points that green gives.

Nothing is fetched: the weights are a folder on this machine, as `save_pretrained` writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from faultline.artifacts.device import resolve_device
from faultline.errors import BundleError
from faultline.extras import import_extra
from faultline.pseudolabel.fusion import Belief
from faultline.pseudolabel.grabcut import seeds

Pixels = NDArray[np.uint8]
EXTRA = "prompt"
_POINTS = 3


class SamSource:
    """A SAM model that outlines what lies at the seeds of the green.

    Args:
        folder: Weights and settings of a `transformers` SamModel and its processor.
        device: See `resolve_device`.

    Raises:
        MissingExtraError: transformers is not installed.
        BundleError: The folder holds no SAM model.
    """

    def __init__(self, folder: str | Path, device: str = "auto") -> None:
        transformers: Any = import_extra("transformers", EXTRA)
        self.folder = Path(folder)
        try:
            options = {"local_files_only": True}
            # By name: a path that is no folder would be taken for a name to be fetched.
            if not self.folder.is_dir():
                raise OSError("there is no such folder")
            model = transformers.SamModel.from_pretrained(
                str(self.folder), use_safetensors=True, **options
            )
            self._processor = transformers.SamProcessor.from_pretrained(str(self.folder), **options)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise BundleError(
                f"holds no SAM model that can be used: {error}",
                where=folder,
                remedy="give a folder with config.json, model.safetensors and "
                "preprocessor_config.json of a SamModel, or leave out --sam",
            ) from error
        self.device = resolve_device(device)
        self._model = model.eval().requires_grad_(False).to(self.device)

    @torch.inference_mode()
    def plant_belief(self, picture: Pixels) -> Belief:
        """How surely each pixel is plant, (H, W) of 0 to 1; 0.5 everywhere without a green seed."""
        plant, background = points_of(picture)
        if not plant:
            return np.full(picture.shape[:2], 0.5, np.float32)
        inputs = self._processor(
            picture,
            input_points=[[[*plant, *background]]],
            input_labels=[[[1] * len(plant) + [0] * len(background)]],
            return_tensors="pt",
        )
        sizes = [inputs["original_sizes"].tolist(), inputs["reshaped_input_sizes"].tolist()]
        answer = self._model(
            pixel_values=inputs["pixel_values"].to(self.device),
            input_points=inputs["input_points"].to(self.device, torch.float32),
            input_labels=inputs["input_labels"].to(self.device),
            multimask_output=True,
        )
        best = int(answer.iou_scores[0, 0].argmax())
        logits = answer.pred_masks[:, :, best : best + 1].float().cpu()
        full = self._processor.post_process_masks([logits[0]], *sizes, binarize=False)[0]
        return np.asarray(full[0, 0].sigmoid().numpy(), np.float32)


def points_of(picture: Pixels) -> tuple[list[list[float]], list[list[float]]]:
    """Points (x, y) in pixels deep in the green, and deep in the sure background."""
    green, dull = seeds(picture)
    return _deepest(green, _POINTS), _deepest(dull, _POINTS)


def _deepest(found: NDArray[np.bool_], count: int) -> list[list[float]]:
    """Up to `count` points that lie farthest inside, each away from those before it."""
    left = np.pad(found, 1).astype(np.uint8)
    points: list[list[float]] = []
    while len(points) < count and left.any():
        depth = cv2.distanceTransform(left, cv2.DIST_L2, 3)
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        points.append([float(column - 1), float(row - 1)])
        radius = int(max(2 * depth[row, column], 0.1 * max(found.shape)))
        cv2.circle(left, (int(column), int(row)), radius, 0, -1)
    return points
