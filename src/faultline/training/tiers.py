"""What a backbone's class of memory decides: batch, accumulation and width of the decoder."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.config.schema import Config, TierConfig
from faultline.training.memory import Tier

DOCUMENT_TIERS: dict[str, Tier] = {
    "vit_hybrid": Tier.HEAVY,
    "co_at_net": Tier.HEAVY,
    "max_vit": Tier.HEAVY,
    "deit": Tier.HEAVY,
    "swin": Tier.HEAVY,
    "dynamic_conv_net": Tier.HIGH,
    "csp_darknet": Tier.HIGH,
    "conv_next": Tier.MEDIUM,
    "resnet_mish": Tier.MEDIUM,
    "reg_net": Tier.MEDIUM,
    "ghostnet_v2": Tier.LIGHT,
    "mobile_one": Tier.LIGHT,
    "inception_v4": Tier.LIGHT,
    "dense_net_hybrid": Tier.LIGHT,
    "efficient_net": Tier.LIGHT,
}
"""As the dual-head document gives them, sections 3.1 and 14."""

_UNKNOWN = Tier.MEDIUM
_MEASURE = "`faultline profile backbones` measures it: set tiers.tier"


@dataclass(frozen=True, slots=True)
class TierChoice:
    """The class of memory of a backbone, and how that was found.

    Attributes:
        tier: The class.
        why: In words.
        settings: What follows from it.
        narrow: Whether the network's own decoder is kept, as for backbones of nano size.
    """

    tier: Tier
    why: str
    settings: TierConfig
    narrow: bool = False


def choose_tier(config: Config) -> TierChoice:
    """The class of memory of the backbone that `config` names."""
    name = str(config.model.get("backbone", "conv_next"))
    nano = not name.startswith("timm:") and config.model.get("size", "nano") == "nano"
    if config.tiers.tier != "auto":
        tier, why = Tier(config.tiers.tier), "tiers.tier"
    elif nano:
        tier, why = Tier.LIGHT, "a backbone of nano size"
    elif name in DOCUMENT_TIERS:
        tier, why = DOCUMENT_TIERS[name], f"the document's for {name}"
    else:
        tier, why = _UNKNOWN, f"nothing is known of {name}; {_MEASURE}"
    narrow = nano and config.tiers.tier == "auto"
    return TierChoice(tier, why, getattr(config.tiers, tier.value.lower()), narrow)


def apply_tier(config: Config) -> str:
    """Fill in what settings leave to the class of memory; gives one line on it."""
    choice = choose_tier(config)
    if not config.data.batch_size:
        config.data.batch_size = min(choice.settings.batch, config.tiers.effective_batch)
    if not config.trainer.accumulate:
        batches = -(-config.tiers.effective_batch // config.data.batch_size)
        config.trainer.accumulate = batches
    if not choice.narrow:
        config.model.setdefault("decoder_channels", choice.settings.decoder_channels)
        config.model.setdefault("skip_channels", choice.settings.skip_channels)
    batch, batches = config.data.batch_size, config.trainer.accumulate
    return (
        f"memory {choice.tier.value} ({choice.why}): {batch} pictures at a time x {batches} "
        f"= {batch * batches} a step"
    )
