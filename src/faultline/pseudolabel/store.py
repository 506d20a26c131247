"""Labels on disk: three files a picture, in the folders of the pictures.

`<class>/<stem>_mask.png` (8-bit grey, bit c set where channel c holds), `<stem>_conf.npy` (float16,
H x W, 0 to 1) and `<stem>_tier.txt` (A, B or C). The tier is written last: a picture that has one
has all. `channels.json` names the channels. This is document 2's storage format (section 5.3), with
bits for the five-channel PNG that the format PNG does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.errors import DataError, MaskError
from faultline.files import atomic_path, write_json, write_text
from faultline.predict.pictures import write_picture
from faultline.pseudolabel.channels import CHANNELS, Bits, check_bits
from faultline.pseudolabel.quality import TIERS

CHANNELS_NAME = "channels.json"
AUDIT = "audit"
MASK_END, CONFIDENCE_END, TIER_END = "_mask.png", "_conf.npy", "_tier.txt"
Confidence = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Label:
    """One label.

    Attributes:
        bits: (H, W) uint8, see `channels`.
        confidence: (H, W) float16, 0 to 1.
        tier: A, B or C.
    """

    bits: Bits
    confidence: Confidence
    tier: str


@dataclass(frozen=True, slots=True)
class LabelFolder:
    """A folder of labels; `root` is the folder that holds `channels.json`."""

    root: Path

    @property
    def audit(self) -> Path:
        """Folder of what is known of the labels."""
        return self.root / AUDIT

    def paths(self, item_id: str) -> tuple[Path, Path, Path]:
        """Mask, confidence and tier of a picture by its path below the data set's root."""
        stem = self.root / PurePosixPath(item_id).with_suffix("")
        mask, confidence, tier = (
            stem.with_name(stem.name + end) for end in (MASK_END, CONFIDENCE_END, TIER_END)
        )
        return mask, confidence, tier

    def has(self, item_id: str) -> bool:
        """Whether the picture has a whole label."""
        return all(path.is_file() for path in self.paths(item_id))

    def write_channels(self) -> None:
        """Write `channels.json`."""
        pairs = zip(CHANNELS.names, CHANNELS.colours, strict=True)
        channels = [{"name": name, "color": list(colour)} for name, colour in pairs]
        write_json(self.root / CHANNELS_NAME, {"channels": channels})

    def write(self, item_id: str, label: Label) -> None:
        """Write a label; a reader sees the old tier until all is there.

        Raises:
            OutputError: It cannot be written.
        """
        mask, confidence, tier = self.paths(item_id)
        tier.unlink(missing_ok=True)
        write_picture(mask, label.bits)
        with atomic_path(confidence) as temporary:
            np.save(temporary, label.confidence.astype(np.float16))
        write_text(tier, label.tier + "\n")

    def write_tier(self, item_id: str, tier: str) -> None:
        """Replace the tier of a label.

        Raises:
            OutputError: It cannot be written.
        """
        write_text(self.paths(item_id)[2], tier + "\n")

    def read(self, item_id: str) -> Label:
        """Read a label.

        Raises:
            DataError: A file of it is absent or is not what it should be.
        """
        mask, confidence, tier = self.paths(item_id)
        bits = read_bits(mask)
        return Label(bits, _read_confidence(confidence, bits), _read_tier(tier))

    def tiers(self) -> dict[str, str]:
        """Stem below the root (with `/`) -> tier, of every label, in order of stems."""
        return {stem: _read_tier(self.root / f"{stem}{TIER_END}") for stem in self._stems(TIER_END)}

    def _stems(self, end: str) -> Iterator[str]:
        for path in sorted(self.root.rglob(f"*{end}")):
            relative = path.relative_to(self.root)
            if relative.parts[0] != AUDIT:
                yield relative.as_posix().removesuffix(end)


def open_labels(root: str | Path) -> LabelFolder:
    """The labels in `root`.

    Raises:
        DataError: It holds none, or labels of other channels.
    """
    path = Path(root) / CHANNELS_NAME
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(str(channel["name"]) for channel in values["channels"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"is no folder of labels: {CHANNELS_NAME} cannot be read ({error})",
            where=root,
            remedy="give the --output of `faultline pseudolabel make`",
        ) from error
    if names != CHANNELS.names:
        raise DataError(
            f"has channels {', '.join(names)}, not {', '.join(CHANNELS.names)}", where=path
        )
    return LabelFolder(Path(root))


def read_bits(path: Path) -> Bits:
    """A mask (H, W) uint8 of bits.

    Raises:
        DataError: It is absent or no picture.
        MaskError: It is not grey, or a pixel is in no channel.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from error
    bits = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if bits is None:
        raise DataError("is no picture that can be decoded", where=path, remedy="make it again")
    if bits.ndim != 2 or bits.dtype != np.uint8:
        raise MaskError(
            f"has shape {bits.shape} of {bits.dtype}, not one grey byte a pixel", where=path
        )
    check_bits(np.asarray(bits, np.uint8), path)
    return np.asarray(bits, np.uint8)


def _read_confidence(path: Path, bits: Bits) -> Confidence:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read: {error}", where=path, remedy="make it again") from error
    if values.shape != bits.shape:
        raise DataError(f"has shape {values.shape}, the mask {bits.shape}", where=path)
    return np.asarray(values, np.float16)


def _read_tier(path: Path) -> str:
    try:
        tier = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path, remedy="make it again") from error
    if tier not in TIERS:
        raise DataError(f"says {tier!r}, not one of {', '.join(TIERS)}", where=path)
    return tier
