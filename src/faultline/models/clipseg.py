"""CLIPSeg: CLIP's vision and text encoders, frozen, with a decoder that answers prompts.

    picture     (B, 3, H, W)          resized to size x size
    vision      (B, 1 + h w, 768)     hidden states of some layers, h = w = size / 16
    text        (P, 512)              embedding of each prompt, and (P, L, 512) of its words
    decoder     (B Q, 1, h', w')      see clipseg_decoders
    logits      (B, Q, H, W)          bilinear, back to the picture's size

A frozen base is no part of the weights: it is kept outside the module tree, so that a bundle
holds what was trained, and the base is known by its hash.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from faultline.errors import ConfigError
from faultline.models.blocks import require
from faultline.models.clipseg_base import (
    DEFAULT_WEIGHTS,
    FeatureMemo,
    Features,
    base_identity,
    load_base,
)
from faultline.models.clipseg_decoders import (
    MultiScaleDecoder,
    OriginalDecoder,
    ProductDecoder,
    Texts,
)
from faultline.models.prompted import PromptedNetwork
from faultline.models.registry import MODELS

_MOST_TEXTS = 4096


@MODELS.register("clipseg", tags=["prompted", "fetched"])
class ClipSeg(PromptedNetwork):
    """CLIPSeg with a decoder to be trained; needs the extra `prompt`.

    Args:
        num_classes: Only 1: what is asked for, against the rest.
        weights: Name on the hub, or a local folder in the hub's layout.
        decoder: `product` (the source document's), `original` (pretrained) or `multiscale`.
        attention: Cross-attention from picture to words (`product` and `multiscale`).
        freeze: Keep the encoders as they are.
        backbone_rate: Learning rate of the encoders over that of the decoder, where not frozen.
        size: Side in pixels that pictures are resized to.
        dim: Width in which vision and text meet.
        base_hash: Hash of the base that a bundle was trained on; checked where it is given.
    """

    def __init__(
        self,
        num_classes: int = 1,
        weights: str = DEFAULT_WEIGHTS,
        decoder: str = "product",
        attention: bool = False,
        freeze: bool = True,
        backbone_rate: float = 0.1,
        size: int = 352,
        dim: int = 64,
        base_hash: str | None = None,
    ) -> None:
        super().__init__()
        require(num_classes == 1, "num_classes", num_classes, "1: a prompt is one question")
        known = ("product", "original", "multiscale")
        require(decoder in known, "decoder", decoder, f"one of {', '.join(known)}")
        require(size >= 32, "size", size, "at least 32")
        require(backbone_rate > 0, "backbone_rate", backbone_rate, "above 0")
        require(dim >= 4 and dim % 4 == 0, "dim", dim, "a multiple of 4")
        model, self.tokenizer = load_base(weights)
        self.size, self.freeze, self.backbone_rate = size, freeze, backbone_rate
        self.patch = int(model.config.vision_config.patch_size)
        require(size % self.patch == 0, "size", size, f"a multiple of the patch {self.patch}")
        self._layers = _layers(model.config)
        self._weights = weights
        # What is loaded is shared; only a frozen part may be.
        clip: nn.Module = model.clip if freeze else copy.deepcopy(model.clip)
        if freeze:
            clip.requires_grad_(False)
            self._outside = [clip]  # in a list: not a submodule
        else:
            self.clip = clip.requires_grad_(True)
            self._outside = []
        if base_hash is not None and freeze and base_identity(weights) != base_hash:
            raise ConfigError(
                f"the CLIPSeg at {weights!r} is not the CLIPSeg that these weights were trained on",
                remedy="give the one with the hash that the bundle names: --base FOLDER",
            )
        vision = int(model.config.vision_config.hidden_size)
        text, states = int(model.config.projection_dim), int(model.config.text_config.hidden_size)
        self.decoder: nn.Module
        if decoder == "original":
            count = len(model.config.extract_layers)
            self.decoder = OriginalDecoder(copy.deepcopy(model.decoder), range(count))
        elif decoder == "multiscale":
            count = len(self._layers)
            self.decoder = MultiScaleDecoder(count, vision, text, states, dim, attention)
        else:
            self.decoder = ProductDecoder(vision, text, states, dim, attention)
        self._texts: dict[str, tuple[Tensor, Tensor]] = {}
        self.memo: FeatureMemo | None = None

    @property
    def base(self) -> Any:
        """CLIP's encoders."""
        return self._outside[0] if self._outside else self.clip

    def identity(self) -> dict[str, Any]:
        """Hash of the frozen base, for the bundle."""
        return {"base_hash": base_identity(self._weights)} if self.freeze else {}

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """The decoder at `rate`; encoders that are not frozen at `backbone_rate` of it."""
        groups = [{"params": list(self.decoder.parameters()), "lr": rate}]
        if not self.freeze:
            groups.append({"params": list(self.clip.parameters()), "lr": rate * self.backbone_rate})
        return groups

    def remember(self, budget: int) -> None:
        """Keep up to `budget` bytes of what the frozen encoder sees; 0 forgets."""
        self.memo = FeatureMemo(budget) if self.freeze and budget > 0 else None

    def train(self, mode: bool = True) -> ClipSeg:
        """A frozen base stays in eval mode."""
        super().train(mode)
        if self.freeze:
            self.base.eval()
        return self

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> ClipSeg:
        # What moves the module (device, type) has to move the base, too.
        for module in self._outside:
            module._apply(fn)  # type: ignore[no-untyped-call]
        self._texts.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def look(self, x: Tensor) -> Features:
        """(B, 3, H, W) -> hidden states of the layers in use."""
        small = F.interpolate(
            x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
        )
        if self.memo is not None:
            return self.memo.look(small, self._see)
        return self._see(small)

    def read(self, prompts: Sequence[str]) -> Texts:
        """Embeddings, token states and masks of P prompts."""
        if self.freeze:
            self._remember_texts(prompts)
            rows = [self._texts[prompt] for prompt in prompts]
        else:
            rows = self._encode(prompts)
        states = pad_sequence([row[1] for row in rows], batch_first=True)
        lengths = torch.tensor([len(row[1]) for row in rows], device=states.device)
        mask = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
        return torch.stack([row[0] for row in rows]), states, mask

    def answer(self, features: Features, texts: Texts, x: Tensor, prompts: int) -> Tensor:
        """Logits (B, Q, H, W)."""
        batch = len(x)
        if len(texts[0]) == prompts and batch != 1:  # the same prompts for every picture
            texts = (
                texts[0].repeat(batch, 1),
                texts[1].repeat(batch, 1, 1),
                texts[2].repeat(batch, 1),
            )
        paired = tuple(layer.repeat_interleave(prompts, 0) for layer in features)
        logits: Tensor = self.decoder(paired, texts)
        full = F.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=False)
        return full.view(batch, prompts, *x.shape[2:])

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """Unit vectors (P, 512)."""
        return F.normalize(self.read(prompts)[0], dim=-1)

    def _see(self, pictures: Tensor) -> Features:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            found = self.base.vision_model(
                pixel_values=pictures, output_hidden_states=True, interpolate_pos_encoding=True
            )
        # The first hidden state is the embedding, before any layer.
        return tuple(found.hidden_states[number + 1] for number in self._layers)

    def _remember_texts(self, prompts: Sequence[str]) -> None:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._texts]
        if len(self._texts) + len(new) > _MOST_TEXTS:
            self._texts.clear()
            new = list(dict.fromkeys(prompts))
        if new:
            # Outside inference mode, or autograd would refuse to use them later.
            with torch.inference_mode(False), torch.no_grad():
                self._texts.update(zip(new, self._encode(new), strict=True))

    def _encode(self, prompts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """Embedding (512,) and states (L, 512) of each prompt."""
        longest = int(self.base.text_model.config.max_position_embeddings)
        device = next(self.base.parameters()).device
        coded = self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(device)
        found = self.base.text_model(
            input_ids=coded["input_ids"], attention_mask=coded["attention_mask"]
        )
        embedded = self.base.text_projection(found.pooler_output)
        lengths = coded["attention_mask"].sum(1).tolist()
        return [
            (embedded[row], found.last_hidden_state[row, :length])
            for row, length in enumerate(lengths)
        ]


def _layers(config: Any) -> tuple[int, ...]:
    """Layers whose hidden states are used: CLIPSeg's, then the last one."""
    last = int(config.vision_config.num_hidden_layers) - 1
    chosen = [int(number) for number in config.extract_layers]
    return (*chosen, last) if last not in chosen else tuple(chosen)
