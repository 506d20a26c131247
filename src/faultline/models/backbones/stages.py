"""Attention after the stages of a network, put in without renaming what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from faultline.errors import ConfigError
from faultline.models.backbones.backbone import Backbone
from faultline.models.backbones.staged import StagedBackbone
from faultline.models.blocks import require
from faultline.models.cbam import ATTENTIONS, CBAM, Attention


class AttendedStage(nn.Sequential):
    """A stage, then attention. What its network sets or calls on a stage reaches the stage.

    Args:
        stage: Module whose output is attended to.
        attention: (B, C, H, W) -> (B, C, H, W), or its channels-last form.
    """

    def __init__(self, stage: nn.Module, attention: nn.Module) -> None:
        super().__init__(stage, attention)

    @property
    def grad_checkpointing(self) -> bool:
        """Whether the stage recomputes its activations."""
        return bool(getattr(self[0], "grad_checkpointing", False))

    @grad_checkpointing.setter
    def grad_checkpointing(self, enable: bool) -> None:
        setattr(self[0], "grad_checkpointing", enable)  # noqa: B010  (a Module's own attribute)

    def set_input_size(self, **sizes: Any) -> None:
        """Pass sizes of windows on to the stage."""
        stage: Any = self[0]
        stage.set_input_size(**sizes)


class ChannelsLast(nn.Module):
    """Run a module of (B, C, H, W) on (B, H, W, C)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        return self.module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


def insert_cbam(backbone: Backbone, attention: Attention, stages: Sequence[int]) -> Backbone:
    """Put CBAM after stages of `backbone`, in place; `attention="none"` changes nothing.

    Args:
        backbone: A network that has stages.
        attention: `none`, `channel`, `spatial` or `both`.
        stages: Numbers 1 to 4: the stages that end at strides 4, 8, 16 and 32.

    Raises:
        ConfigError: There is no such attention or stage, or the network has no stages.
    """
    require(attention in ATTENTIONS, "cbam", attention, f"one of {', '.join(ATTENTIONS)}")
    several = isinstance(stages, Sequence) and len(stages) > 0
    valid = several and all(stage in (1, 2, 3, 4) for stage in stages)
    require(valid, "cbam_stages", stages, "numbers from 1 to 4, as in [3, 4]")
    if attention == "none":
        return backbone
    if not isinstance(backbone, StagedBackbone) or not backbone.taps:
        raise ConfigError(
            f"cbam={attention!r} needs a backbone with stages; this one has none",
            remedy="cbam=none, or another backbone, such as conv_next",
        )
    for stage in sorted(set(stages)):
        _attend(backbone, backbone.taps[stage - 1], attention)
    return backbone


def _attend(backbone: StagedBackbone, tap: int, attention: Attention) -> None:
    info = backbone.model.feature_info[tap]
    path, _, leaf = str(info["module"]).rpartition(".")
    parent = backbone.model.get_submodule(path)
    module: nn.Module = CBAM(int(info["num_chs"]), attention)
    if backbone.channels_last_layout:
        module = ChannelsLast(module)
    setattr(parent, leaf, AttendedStage(getattr(parent, leaf), module))
