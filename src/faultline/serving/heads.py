"""What a bundle answers: each head with the predictor that `infer` uses for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from faultline.artifacts.bundle import Bundle
from faultline.errors import ConfigError
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.dual_head import classes_of, masks_of
from faultline.predict.predictor import Predictor
from faultline.predict.prompt_command import with_base
from faultline.predict.prompted import PromptPredictor
from faultline.serving.options import ServeOptions


@dataclass(frozen=True)
class Heads:
    """The predictors of a bundle; None where it has no such head.

    Attributes:
        masks: Outlines classes.
        classes: Names the classes of whole pictures.
        prompts: Outlines what is asked for.
    """

    masks: Predictor | None = None
    classes: ClassPredictor | None = None
    prompts: PromptPredictor | None = None

    @property
    def paths(self) -> list[str]:
        """Where they are asked."""
        heads = {"/segment": self.masks, "/classify": self.classes, "/prompt": self.prompts}
        return [path for path, head in heads.items() if head is not None]


def mask_head(bundle: Bundle, options: ServeOptions) -> Heads:
    """Of weights that outline.

    Raises:
        BundleError: The weights do not fit their model.
        ConfigError: A setting is out of range or not available on this machine.
    """
    _no_base(bundle, options)
    return Heads(masks=_outlining(bundle, options))


def class_head(bundle: Bundle, options: ServeOptions) -> Heads:
    """Of weights that classify; raises as `mask_head`."""
    _no_base(bundle, options)
    return Heads(classes=_naming(bundle, options))


def both_heads(bundle: Bundle, options: ServeOptions) -> Heads:
    """Of weights with two heads; a threshold is that of masks, as in `infer`. Raises likewise."""
    _no_base(bundle, options)
    without = replace(options, threshold=None)
    return Heads(_outlining(masks_of(bundle), options), _naming(classes_of(bundle), without))


def prompt_head(bundle: Bundle, options: ServeOptions) -> Heads:
    """Of weights that answer prompts; raises as `mask_head`."""
    moved = with_base(bundle, options.base)
    return Heads(prompts=PromptPredictor(
        moved, options.device, options.precision, options.threshold, options.tta
    ))  # fmt: skip


def _outlining(bundle: Bundle, options: ServeOptions) -> Predictor:
    return Predictor(bundle, options.device, options.precision, options.threshold, options.tta)


def _naming(bundle: Bundle, options: ServeOptions) -> ClassPredictor:
    return ClassPredictor(bundle, options.device, options.precision, options.threshold, options.tta)


def _no_base(bundle: Bundle, options: ServeOptions) -> None:
    if options.base is not None:
        raise ConfigError(
            f"--base: weights of {bundle.model_name!r} answer no prompts",
            where=bundle.source,
            remedy="leave it out",
        )
