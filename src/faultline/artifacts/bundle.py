"""The bundle: one safetensors file with the weights and everything needed to use them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from faultline.artifacts.contents import InputSpec, Normalisation, Threshold
from faultline.artifacts.filetype import FileType, file_type
from faultline.artifacts.run import resolve_weights
from faultline.errors import BundleError, ConfigError
from faultline.files import write_bytes
from faultline.models import MODELS, create_model
from faultline.tasks import SEGMENTATION
from faultline.types import LabelSpace

FORMAT = "faultline-bundle"
FORMAT_VERSION = 1
_SHOWN = 3


@dataclass(frozen=True)
class Bundle:
    """A trained model with all that its use needs. It is never changed, only replaced.

    Attributes:
        model_name: Name in the model registry.
        model_settings: Settings that `create_model` is given (plain JSON values).
        label_space: Classes; their number is the number of logit channels K.
        state: Tensor name -> tensor, as in `nn.Module.state_dict`.
        normalisation: How pixels are scaled before the model sees them.
        input: Sizes that the model was made for.
        threshold: Where its probabilities are cut, and where that was chosen.
        metrics: Scores, by name, as known when the bundle was written.
        provenance: What `faultline.artifacts.provenance.collect` returned.
        seen: Part that was fitted ("weights", "threshold", ...) -> SHA-256 of the content of
            every picture that it was fitted or chosen on.
        groups: The same, as source groups of the data set it was fitted on.
        task: What it answers; a name of `faultline.tasks`. Older files have none: segmentation.
        extra: What only this task needs to answer, as plain JSON values; part of the fingerprint.
        format_version: Version of the file format.
        source: The file this was read from, if any; not stored.
    """

    model_name: str
    model_settings: dict[str, Any]
    label_space: LabelSpace
    state: dict[str, Tensor]
    normalisation: Normalisation = field(default_factory=Normalisation)
    input: InputSpec = field(default_factory=InputSpec)
    threshold: Threshold = field(default_factory=Threshold)
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    task: str = SEGMENTATION
    extra: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    source: Path | None = field(default=None, compare=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over tensors and everything else that shapes a probability.

        The threshold is left out: moving it changes which pixels are taken, not who made them.
        """
        config = {
            "model": {"name": self.model_name, "settings": self.model_settings},
            "label_space": self.label_space.to_dict(),
            "normalisation": self.normalisation.to_dict(),
            # Defaults are left out: a field that a later version adds changes no answer.
            "input": self.input.changed(),
            **({} if self.task == SEGMENTATION else {"task": self.task}),
            **({"extra": self.extra} if self.extra else {}),
        }
        digest = hashlib.sha256(_json(config).encode())
        for name in sorted(self.state):
            tensor = self.state[name].detach().cpu().contiguous()
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def build_model(self) -> nn.Module:
        """The model with its weights, in eval mode, on the CPU.

        Raises:
            BundleError: The model is unknown here, refuses its settings, or has other tensors.
        """
        try:
            # Initial weights are overwritten at once: drawing them must not move the caller's
            # random state, or a resumed run would differ from an uninterrupted one.
            with torch.random.fork_rng(devices=[]):
                model = create_model(self.model_name, **_without_fetching(self.model_settings))
        except ConfigError as error:
            raise BundleError(
                f"its model cannot be built: {error}",
                where=self.source,
                remedy="use the version of Faultline and the plugins that it was trained with",
            ) from error
        self._check_fit(model)
        model.load_state_dict(self.state)
        return model.eval()

    def _check_fit(self, model: nn.Module) -> None:
        wanted = model.state_dict()
        faults = [
            *_listed("missing", [name for name in wanted if name not in self.state]),
            *_listed("unexpected", [name for name in self.state if name not in wanted]),
            *_listed("of another shape", _other_shapes(wanted, self.state)),
        ]
        if faults:
            raise BundleError(
                f"weights do not fit the model {self.model_name!r}: {'; '.join(faults)}",
                where=self.source,
                remedy="the file holds weights of another model or other settings: "
                "give the bundle that this model was saved in",
            )


def _without_fetching(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that build the same tensors from nothing: pretrained ones would be overwritten."""
    return {**settings, "pretrained": False} if "pretrained" in settings else settings


def check_model(bundle: Bundle, expected: str | None) -> None:
    """Make sure that the bundle holds the model that the user named; None names none.

    Raises:
        UnknownNameError: There is no such model.
        BundleError: It holds another one.
    """
    if expected is None:
        return
    name = MODELS.get(expected).name
    if bundle.model_name != name:
        raise BundleError(
            f"holds weights of {bundle.model_name!r}, not of {name!r}",
            where=bundle.source,
            remedy=f"leave out --model, or give weights of {name}",
        )


def save_bundle(path: str | Path, bundle: Bundle) -> Path:
    """Write `bundle` to `path` in one step, and flush it to disk; return the path.

    Raises:
        OutputError: The file cannot be written; what was there before is unchanged.
        BundleError: `path` does not end in `.safetensors`.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise BundleError(
            f"a bundle is a .safetensors file, not {path.suffix or 'a file without suffix'!r}",
            where=path,
            remedy=f"name it {path.with_suffix('.safetensors').name}",
        )
    # Cloned, because tensors may share storage (tied weights), which the format refuses.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in bundle.state.items()
    }
    write_bytes(path, safetensors.torch.save(state, _to_metadata(bundle)))
    return path


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle from a file, or from a run folder (its best weights; `latest` works too).

    Raises:
        BundleError: Nothing is there, or it is not a bundle that can be used; the message says
            which, names the file and what to do. Pickles are refused without being opened.
    """
    path = resolve_weights(path)
    try:
        _check_type(path)
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
    except OSError as error:
        raise BundleError(
            f"cannot be read: {error.strerror or error}", where=path, remedy="check permissions"
        ) from error
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    return _from_metadata(path, _metadata(data), tensors)


def _check_type(path: Path) -> None:
    kind = file_type(path)
    if kind is FileType.PICKLE:
        raise BundleError(
            "is a pickle, which is refused: pickles can run code when they are opened",
            where=path,
            remedy="give the run's best.safetensors; a .ckpt only serves to resume training",
        )
    if kind is FileType.TRUNCATED:
        raise _damaged(path, "the file is shorter than its header says")
    if kind is FileType.EMPTY:
        raise _damaged(path, "the file is empty")
    if kind is FileType.OTHER:
        raise _no_bundle(path, "is not a safetensors file")


def _damaged(path: Path, why: str) -> BundleError:
    return BundleError(
        f"is truncated or damaged ({why})", where=path, remedy="copy or download it again"
    )


def _no_bundle(path: Path, why: str) -> BundleError:
    return BundleError(
        f"{why}, so it is no Faultline bundle",
        where=path,
        remedy="give a best.safetensors that `faultline train` wrote, or the run's folder",
    )


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    return metadata


def _to_metadata(bundle: Bundle) -> dict[str, str]:
    sections: dict[str, Any] = {
        "model": {"name": bundle.model_name, "settings": bundle.model_settings},
        "label_space": bundle.label_space.to_dict(),
        "normalisation": bundle.normalisation.to_dict(),
        "input": bundle.input.to_dict(),
        "threshold": bundle.threshold.to_dict(),
        "metrics": bundle.metrics,
        "provenance": bundle.provenance,
        "seen": bundle.seen,
        "groups": bundle.groups,
        "task": bundle.task,
        "extra": bundle.extra,
    }
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "fingerprint": bundle.fingerprint,
        **{name: _json(value) for name, value in sections.items()},
    }


def _from_metadata(path: Path, metadata: Mapping[str, str], state: dict[str, Tensor]) -> Bundle:
    if metadata.get("format") != FORMAT:
        raise _no_bundle(path, "is a safetensors file without Faultline's metadata")
    _check_version(path, metadata.get("format_version", ""))
    try:
        model = json.loads(metadata["model"])
        bundle = Bundle(
            model_name=model["name"],
            model_settings=dict(model["settings"]),
            label_space=LabelSpace.from_dict(json.loads(metadata["label_space"])),
            state=state,
            normalisation=Normalisation.from_dict(json.loads(metadata["normalisation"])),
            input=InputSpec.from_dict(json.loads(metadata["input"])),
            threshold=Threshold.from_dict(json.loads(metadata["threshold"])),
            metrics=json.loads(metadata["metrics"]),
            provenance=json.loads(metadata["provenance"]),
            seen=json.loads(metadata["seen"]),
            groups=json.loads(metadata["groups"]),
            task=json.loads(metadata.get("task", f'"{SEGMENTATION}"')),
            extra=json.loads(metadata.get("extra", "{}")),
            source=path,
        )
    except (LookupError, TypeError, ValueError, ConfigError) as error:
        raise _damaged(path, f"metadata: {type(error).__name__} {error}") from error
    if bundle.fingerprint != metadata.get("fingerprint"):
        raise _damaged(path, "its content does not match the fingerprint stored with it")
    return bundle


def _check_version(path: Path, text: str) -> None:
    if not text.isdecimal():
        raise _damaged(path, f"format version {text!r}")
    if int(text) > FORMAT_VERSION:
        raise BundleError(
            f"was written in bundle format {text}; this Faultline reads up to {FORMAT_VERSION}",
            where=path,
            remedy="install a newer version of Faultline",
        )


def _other_shapes(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} {tuple(given[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})"]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """JSON value of what `json` does not know: arrays and scalars of NumPy or torch, paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
