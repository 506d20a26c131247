"""Encoder blocks on the shared attention: Transformer, SANM and Conformer-style.

Every block maps (B, T, D) and a mask (B, T), True for real frames, to (B, T, D). What stands at
padded frames never reaches real ones, so a clip gives the same alone and in a batch.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from faultline.errors import ConfigError
from faultline.models.attention import (
    MultiHeadAttention,
    allowed_pairs,
    attention_fast,
    attention_reference,
)
from faultline.models.blocks import require
from faultline.models.transformer import FeedForward, TransformerBlock
from faultline.registry import did_you_mean


class DepthwiseConvolution(nn.Module):
    """One filter of `kernel` frames a channel, centred, over frames that are not padding.

    Args:
        dim: D.
        kernel: Frames a filter sees; odd.
        bias: Whether each channel has an offset.
    """

    def __init__(self, dim: int, kernel: int, bias: bool = False) -> None:
        super().__init__()
        require(kernel % 2 == 1, "kernel", kernel, "odd")
        self.filters = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D)."""
        masked = x * mask[..., None]
        return self.filters(masked.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]


class Memory(nn.Module):
    """FSMN memory (Zhang et al. 2018): each frame plus a filter over its neighbours.

    Args:
        dim: D.
        kernel: Frames a filter sees; odd.
    """

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.convolution = DepthwiseConvolution(dim, kernel)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D); zeros at padding."""
        return (self.convolution(x, mask) + x) * mask[..., None]  # type: ignore[no-any-return]


class SanmAttention(nn.Module):
    """Self-attention with memory: W_o softmax(Q K^T / sqrt(E)) V + memory(V) (Gao et al. 2020).

    Attention sees the whole clip; the memory adds the order of near frames, which attention has
    only from position codes.

    Args:
        dim: D.
        heads: Attention heads.
        kernel: Frames that the memory sees.
        dropout: Share of the output dropped while training.
        fast: Use torch's fused kernel; the plain form otherwise.
    """

    def __init__(
        self, dim: int, heads: int, kernel: int, dropout: float, fast: bool = True
    ) -> None:
        super().__init__()
        self.fast = fast
        require(heads >= 1 and dim % heads == 0, "heads", heads, f"a divisor of dim={dim}")
        self.heads = heads
        self.projection = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        self.memory = Memory(dim, kernel)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D)."""
        query, key, value = self.projection(x).chunk(3, -1)
        frames = x.shape[1]
        allowed = allowed_pairs(mask, False, frames, frames, x.device)
        mix = attention_fast if self.fast else attention_reference
        mixed = mix(self.split(query), self.split(key), self.split(value), allowed)
        mixed = mixed.transpose(1, 2).flatten(2)
        return self.dropout(self.output(mixed) + self.memory(value, mask))  # type: ignore[no-any-return]

    def split(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, N, T, E)."""
        # Not -1 for E: a graph would have to know that no clip is left out.
        return x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads).transpose(1, 2)


class TransformerEncoderBlock(nn.Module):
    """The shared pre-LN block; order comes from position codes alone."""

    def __init__(self, dim: int, heads: int, expansion: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.block = TransformerBlock(dim, heads, expansion, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D)."""
        return self.block(x, key_mask=mask)  # type: ignore[no-any-return]


class SanmEncoderBlock(nn.Module):
    """x + sanm(norm(x)), then x + feedforward(norm(x)): the encoder of FunASR's Paraformer."""

    def __init__(self, dim: int, heads: int, expansion: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SanmAttention(dim, heads, kernel, dropout)
        self.feedforward_norm = nn.LayerNorm(dim)
        self.feedforward = FeedForward(dim, expansion, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D)."""
        x = x + self.attention(self.attention_norm(x), mask)
        return x + self.feedforward(self.feedforward_norm(x))  # type: ignore[no-any-return]


class ConvolutionModule(nn.Module):
    """Gated pointwise -> depthwise -> norm -> SiLU -> pointwise (Gulati et al. 2020, fig. 2).

    With a layer norm in the place of the batch norm: statistics over a padded batch would make
    a clip depend on its neighbours.
    """

    def __init__(self, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, 2 * dim)
        self.depthwise = DepthwiseConvolution(dim, kernel, bias=True)
        self.inner_norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D)."""
        x = self.depthwise(F.glu(self.gate(self.norm(x)), -1), mask)
        return self.dropout(self.output(F.silu(self.inner_norm(x))))  # type: ignore[no-any-return]


class ConformerEncoderBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm (Gulati et al. 2020)."""

    def __init__(self, dim: int, heads: int, expansion: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(dim)
        self.first = FeedForward(dim, expansion, dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.convolution = ConvolutionModule(dim, kernel, dropout)
        self.second_norm = nn.LayerNorm(dim)
        self.second = FeedForward(dim, expansion, dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, D)."""
        x = x + 0.5 * self.first(self.first_norm(x))
        x = x + self.attention(self.attention_norm(x), key_mask=mask)
        x = x + self.convolution(x, mask)
        x = x + 0.5 * self.second(self.second_norm(x))
        return self.norm(x)  # type: ignore[no-any-return]


BLOCKS: dict[str, Callable[[int, int, int, int, float], nn.Module]] = {
    "transformer": TransformerEncoderBlock,
    "sanm": SanmEncoderBlock,
    "conformer": ConformerEncoderBlock,
}


def encoder_block(
    name: str, dim: int, heads: int, expansion: int, kernel: int, dropout: float
) -> nn.Module:
    """The encoder block `name`.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in BLOCKS:
        raise ConfigError(
            f"blocks={name!r} is not known{did_you_mean(name, BLOCKS)}",
            remedy=f"known: {', '.join(BLOCKS)}",
        )
    return BLOCKS[name](dim, heads, expansion, kernel, dropout)
