"""PromptED: a skip-free encoder-decoder that is asked by text, trained from nothing.

The picture is looked at once, whatever is asked; each prompt then decodes the same features in
its own way. A prompt enters by FiLM (Perez et al. 2018) at the bottleneck and after each decoder
stage, and by cross-attention over its words if wanted.

Shapes for pictures (B, 3, H, W), Q prompts each, width w = base_channels:

    stem        (B,    12, H/2, W/2)   space to depth
    encoder     (B,    4w, H/8, W/8)   three stages, as in ScratchEDPlus
    bottleneck  (B,    8w, H/8, W/8)   ASPP; the only thing that the decoder sees
    question    (B Q,  8w, H/8, W/8)   FiLM by the prompt in view of the picture's mean
    decoder 3   (B Q,  2w, H/4, W/4)   stage of ScratchEDPlus -> FiLM
    decoder 2   (B Q,   w, H/2, W/2)   stage of ScratchEDPlus -> FiLM
    head        (B, Q, H, W)           Conv 3x3 to 4 channels -> depth to space
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultline.models.aspp import ASPP
from faultline.models.attention import MultiHeadAttention
from faultline.models.blocks import crop_like, pad_to_multiple, require
from faultline.models.prompt_text import Meanings, TextEncoder
from faultline.models.prompt_tokens import PromptTokenizer
from faultline.models.prompted import PromptedNetwork
from faultline.models.registry import MODELS
from faultline.models.scratch_ed_plus import decoder_stage, stage

Texts = tuple[Tensor, Tensor, Tensor]
"""States (P, L, D), summaries (P, D), masks of real words (P, L) of P prompts."""

_TOGETHER = 4
"""Prompts decoded at once for one picture when nothing is learned: bounds the memory."""


def picture_encoder(width: int, blocks: Sequence[int], in_channels: int) -> nn.Sequential:
    """Three stages behind the stem: (B, 4 in_channels, H/2, W/2) -> (B, 4w, H/8, W/8).

    Raises:
        ConfigError: A width below 1, or not three numbers of blocks.
    """
    require(width >= 1, "base_channels", width, "at least 1")
    require(len(blocks) == 3, "blocks", list(blocks), "three integers, one a stage")
    return nn.Sequential(
        stage(4 * in_channels, width, blocks[0]),
        stage(width, 2 * width, blocks[1], stride=2),
        stage(2 * width, 4 * width, blocks[2], stride=2),
    )


def picture_bottleneck(width: int, rates: Sequence[int]) -> ASPP:
    """ASPP: (B, 4w, H/8, W/8) -> (B, 8w, H/8, W/8)."""
    return ASPP(4 * width, 8 * width, rates, branch_channels=2 * width)


def picture_decoder(width: int) -> nn.ModuleList:
    """Two stages: (B, 8w, H/8, W/8) -> (B, 2w, H/4, W/4) -> (B, w, H/2, W/2)."""
    return nn.ModuleList([decoder_stage(8 * width, 2 * width), decoder_stage(2 * width, width)])


class FiLM(nn.Module):
    """x (1 + gamma(t)) + beta(t), channel by channel (Perez et al. 2018, eq. 2).

    Args:
        text_dim: D of the summary t (P, D).
        channels: C of the map x (P, C, H, W).
    """

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(text_dim, 2 * channels)
        # Starts near the identity for every prompt.
        nn.init.normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, summary: Tensor) -> Tensor:
        """(P, C, H, W), (P, D) -> (P, C, H, W)."""
        scale, shift = self.project(summary)[..., None, None].chunk(2, dim=1)
        changed: Tensor = x * (1 + scale) + shift
        return changed


class Encounter(nn.Module):
    """What a prompt means for this picture: t + W2 gelu(W1 [t, mean of the map]).

    Without it a prompt would scale channels alike in every picture, and that there is no tape on
    a magnetic tile would have to be found out again at every position.

    Args:
        text_dim: D of the summary t (P, D).
        channels: C of the map (P, C, H, W).
    """

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Linear(text_dim + channels, 2 * text_dim),
            nn.GELU(),
            nn.Linear(2 * text_dim, text_dim),
        )

    def forward(self, summary: Tensor, x: Tensor) -> Tensor:
        """(P, D), (P, C, H, W) -> (P, D)."""
        met: Tensor = summary + self.mix(torch.cat([summary, x.mean((2, 3))], dim=1))
        return met


class WordAttention(nn.Module):
    """Every position of a map looks at the words of its prompt; added to the map.

    Args:
        text_dim: D of the states (P, L, D).
        channels: C of the map (P, C, H, W).
        heads: Attention heads.
    """

    def __init__(self, text_dim: int, channels: int, heads: int) -> None:
        super().__init__()
        self.context = nn.Linear(text_dim, channels)
        self.norm = nn.LayerNorm(channels)
        self.attention = MultiHeadAttention(channels, heads)

    def forward(self, x: Tensor, states: Tensor, words: Tensor) -> Tensor:
        """(P, C, H, W), (P, L, D), (P, L) -> (P, C, H, W)."""
        height, width = x.shape[2:]
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        mixed = self.attention(tokens, self.context(states), key_mask=words)
        joined: Tensor = x + mixed.transpose(1, 2).reshape(*x.shape[:2], height, width)
        return joined


@MODELS.register("prompt_ed", tags=["prompted"])
class PromptED(PromptedNetwork):
    """Skip-free encoder-decoder that answers prompts, trained from nothing.

    Args:
        num_classes: Only 1: what is asked for, against the rest.
        base_channels: Width w of the first stage.
        blocks: Residual blocks in each of the three stages.
        aspp_rates: Dilations at the bottleneck, in steps of 8 pixels.
        text_dim: Width D of the text encoder.
        text_layers: Its transformer blocks.
        heads: Attention heads of text encoder and cross-attention.
        fusion: How a prompt enters: `film`, `cross` (attention over its words) or `both`.
        parts: Word parts of the tokenizer; training fills them in.
        meanings: Number of classes that the text side tells apart; training fills it in.
        in_channels: Channels of the picture.
    """

    def __init__(
        self,
        num_classes: int = 1,
        base_channels: int = 24,
        blocks: Sequence[int] = (1, 1, 1),
        aspp_rates: Sequence[int] = (1, 2, 4, 8),
        text_dim: int = 64,
        text_layers: int = 2,
        heads: int = 4,
        fusion: str = "film",
        parts: Sequence[str] = (),
        meanings: int = 1,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        require(num_classes == 1, "num_classes", num_classes, "1: a prompt is one question")
        require(fusion in ("film", "cross", "both"), "fusion", fusion, "film, cross or both")
        require(meanings >= 1, "meanings", meanings, "at least 1")
        w = base_channels
        self.tokenizer = PromptTokenizer(parts)
        self.text = TextEncoder(self.tokenizer.size, text_dim, text_layers, heads)
        self.meanings = Meanings(meanings, text_dim)
        self.encoder = picture_encoder(w, blocks, in_channels)
        self.bottleneck = picture_bottleneck(w, aspp_rates)
        self.words = WordAttention(text_dim, 8 * w, heads) if fusion != "film" else None
        films = (8 * w, 2 * w, w) if fusion != "cross" else ()
        self.films = nn.ModuleList(FiLM(text_dim, channels) for channels in films)
        self.encounter = Encounter(text_dim, 8 * w) if fusion != "cross" else None
        self.decoder = picture_decoder(w)
        self.head = nn.Conv2d(w, 4, 3, padding=1)

    def read(self, prompts: Sequence[str]) -> Texts:
        """States, summaries and masks of P prompts."""
        states, summary, words = self.text(self._tokens(prompts))
        return states, summary, words

    def look(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 8w, H/8, W/8)."""
        folded = F.pixel_unshuffle(pad_to_multiple(x, 8), 2)
        features: Tensor = self.bottleneck(self.encoder(folded))
        return features

    def answer(self, features: Tensor, texts: Texts, x: Tensor, prompts: int) -> Tensor:
        """Logits (B, Q, H, W)."""
        batch = len(features)
        shared = len(texts[1]) == prompts and batch != 1
        if shared:  # the same prompts for every picture
            texts = tuple(t.repeat(batch, *[1] * (t.ndim - 1)) for t in texts)  # type: ignore[assignment]
        if torch.is_grad_enabled() or prompts <= _TOGETHER:
            logits = self._decode(features.repeat_interleave(prompts, 0), texts)
        else:
            logits = torch.cat(
                [self._one_picture(features[i : i + 1], texts, i, prompts) for i in range(batch)]
            )
        return crop_like(logits.reshape(batch, prompts, *logits.shape[2:]), x)

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """Unit vectors (P, D)."""
        return F.normalize(self.text(self._tokens(prompts))[1], dim=-1)

    def text_loss(self, prompts: Sequence[str], labels: Tensor) -> Tensor:
        """Cross-entropy of the meanings of P wordings; label M is "none of them"."""
        summary = self.text(self._tokens(prompts))[1]
        return self.meanings.loss(summary, labels.to(summary.device))

    def _tokens(self, prompts: Sequence[str]) -> Tensor:
        return self.tokenizer.encode(prompts).to(self.head.weight.device)

    def _one_picture(self, features: Tensor, texts: Texts, index: int, prompts: int) -> Tensor:
        """(1, 8w, h, w) -> logits (Q, 1, H, W), some prompts at a time."""
        pieces = []
        for first in range(index * prompts, (index + 1) * prompts, _TOGETHER):
            chosen = slice(first, min(first + _TOGETHER, (index + 1) * prompts))
            some = (texts[0][chosen], texts[1][chosen], texts[2][chosen])
            pieces.append(self._decode(features.repeat_interleave(len(some[1]), 0), some))
        return torch.cat(pieces)

    def _decode(self, x: Tensor, texts: Texts) -> Tensor:
        """(P, 8w, h, w) -> logits (P, 1, H, W)."""
        states, summary, words = texts
        films = iter(self.films)
        if self.words is not None:
            x = self.words(x, states, words)
        if self.encounter is not None:
            summary = self.encounter(summary, x)
            x = next(films)(x, summary)
        for up in self.decoder:
            x = up(x)
            if self.encounter is not None:
                x = next(films)(x, summary)
        return F.pixel_shuffle(self.head(x), 2)
