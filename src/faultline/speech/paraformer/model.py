"""Paraformer (Gao et al. 2022): all characters of a clip in one pass.

Shapes: B batch, T windows, M mel channels, T' frames, D width, L tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from faultline.models.blocks import require
from faultline.speech.other_voices import throats
from faultline.speech.paraformer.cif import (
    TAIL,
    WeightPredictor,
    fired,
    integrate,
    scale_to_count,
    token_spans,
)
from faultline.speech.paraformer.count_search import (
    FEWEST,
    is_unsure,
    keep_surest,
    search_counts,
    search_counts_at_once,
    some_unsure,
)
from faultline.speech.paraformer.decoder import ParallelDecoder
from faultline.speech.paraformer.encoder import Encoder, real_frames
from faultline.speech.paraformer.network import (
    RECOGNISERS,
    Recognised,
    RecogniserNetwork,
    TrainingOutputs,
    without_specials,
)
from faultline.speech.paraformer.phrase_choice import Spelling, prefer_phrases
from faultline.speech.paraformer.sampler import glance
from faultline.speech.paraformer.spare_places import (
    filled_with_ends,
    up_to_first_end,
    with_spare_places,
)


class Encoded(NamedTuple):
    """Clips that the encoder and the predictor have seen.

    Attributes:
        hidden: (B, T', D), zero at padding.
        mask: (B, T'), True for real frames.
        frames: Real frames, (B,).
        alpha: (B, T').
    """

    hidden: Tensor
    mask: Tensor
    frames: Tensor
    alpha: Tensor

    def of(self, rows: Tensor) -> Encoded:
        """Only the clips at positions `rows` (R,)."""
        return Encoded(*(part[rows] for part in self))


@RECOGNISERS.register("paraformer")
@final
class Paraformer(RecogniserNetwork):
    """Encoder -> CIF predictor -> one vector a token -> parallel decoder.

    Args:
        vocabulary: V.
        mels: M.
        dim: D.
        heads: Attention heads.
        encoder_depth: Encoder blocks.
        decoder_depth: Decoder blocks.
        blocks: Kind of encoder blocks: `sanm`, `conformer` or `transformer`.
        expansion: Hidden width of feed-forwards / D.
        kernel: Frames and tokens that depthwise filters see; odd.
        dropout: Share dropped while training.
        stack: Windows a frame.
        skip: Windows from one frame to the next.
        sampling: Share of the wrong tokens whose number is shown in the second pass (lambda).
        tail: What is added to the sum of weights before it is cut to a number of tokens.
        tokens_per_frame: Mean of the training set, by which the predictor starts.
        spare: Places beyond those of the text that training adds at most; see `with_spare_places`.
            Half as many are added to the number that is counted. 0 as in the paper.
        search: How far from that number others are tried, for clips that the decoder is unsure
            of; 0 for never.
        warps: Factors by which the frequencies of such clips are moved as well, as if from throats
            of another length; see `warp_matrix`.
        sample_rate: Hertz of the recordings; 0 for features that are not of sound, whose channels
            are never moved.
    """

    throats: Tensor

    def __init__(
        self,
        vocabulary: int,
        mels: int = 80,
        dim: int = 128,
        heads: int = 4,
        encoder_depth: int = 4,
        decoder_depth: int = 2,
        blocks: str = "sanm",
        expansion: int = 4,
        kernel: int = 11,
        dropout: float = 0.1,
        stack: int = 4,
        skip: int = 2,
        sampling: float = 0.3,
        tail: float = TAIL,
        tokens_per_frame: float = 0.25,
        spare: int = 0,
        search: int = 2,
        warps: Sequence[float] = (),
        sample_rate: int = 0,
    ) -> None:
        require(all(0.5 <= factor <= 2 for factor in warps), "warps", warps, "factors of 0.5 to 2")
        require(0 <= spare <= 16, "spare", spare, "0 to 16")
        require(0 <= search <= 8, "search", search, "0 to 8")
        require(0 <= sampling <= 1, "sampling", sampling, "0 to 1")
        require(0 <= tail < 1, "tail", tail, "0 to less than 1")
        super().__init__(
            vocabulary,
            Encoder(
                mels, dim, heads, encoder_depth, blocks, expansion, kernel, dropout, stack, skip
            ),
        )
        self.sampling = sampling
        self.tail = tail
        self.spare = spare
        self.search = search
        # Not part of the weights: it follows from the settings.
        self.register_buffer("throats", throats(warps, sample_rate, mels), persistent=False)
        self.predictor = WeightPredictor(dim, tokens_per_frame)
        self.embedding = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        self.decoder = ParallelDecoder(
            vocabulary, dim, heads, decoder_depth, expansion, kernel, dropout
        )

    def outputs(
        self, features: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor
    ) -> TrainingOutputs:
        """Two passes of the decoder; as many vectors as the transcript has tokens, or some more."""
        hidden, mask, frames = self.encoder(features, lengths)  # (B, T', D), (B, T'), (B,)
        alpha = self.predictor(hidden, mask)  # (B, T')
        # An end of sentence behind every text: if the last vector is lost, it is only this one.
        wanted = token_lengths + (token_lengths > 0)
        places = wanted
        if self.training and self.spare:
            places = with_spare_places(wanted, frames, self.spare)
        targets = filled_with_ends(tokens, token_lengths, places)
        token_mask = real_frames(places, targets.shape[1])  # (B, L)
        vectors = integrate(scale_to_count(alpha, places), hidden, targets.shape[1])  # (B, L, D)
        with torch.no_grad():
            first = without_specials(self.decoder(vectors, token_mask, hidden, mask)).argmax(-1)
        if self.training and self.sampling:
            shown = self.embedding(targets)
            vectors = glance(vectors, shown, first, targets, token_mask, self.sampling)
        return TrainingOutputs(
            ctc_logits=self.ctc(hidden),
            frames=frames,
            logits=self.decoder(vectors, token_mask, hidden, mask),
            targets=targets,
            target_lengths=places,
            first_pass=first,
            counts=alpha.sum(1),
            counted=wanted,
        )

    def weights(self, features: Tensor, lengths: Tensor) -> Tensor:
        """alpha (B, T') of clips (B, T, M), for pictures of how tokens fire."""
        hidden, mask, _ = self.encoder(features, lengths)
        return self.predictor(hidden, mask)  # type: ignore[no-any-return]

    def forward(self, features: Tensor, lengths: Tensor) -> Recognised:
        """Answers to (B, T, M), decoded once."""
        return self.answer(*self.encoder(features, lengths))

    def answer(self, hidden: Tensor, mask: Tensor, frames: Tensor) -> Recognised:
        """Answers to encoded clips, decoded once: L is the largest number of places, at least 1.

        Args:
            hidden: (B, T', D) of the encoder, zero at padding.
            mask: (B, T'), True for real frames.
            frames: Real frames, (B,).
        """
        clips = Encoded(hidden, mask, frames, self.predictor(hidden, mask))
        return self._decoded(clips, self._places(clips))

    def recognise(
        self, features: Tensor, lengths: Tensor, phrases: Sequence[Sequence[int]] = ()
    ) -> Recognised:
        """`forward`; where the decoder is unsure, other numbers of places and throats as well.

        Args:
            features: (B, T, M).
            lengths: (B,).
            phrases: Tokens of texts that are expected; see `prefer_phrases`.
        """
        clips = self._encoded(features, lengths)
        places = self._places(clips)
        first = found = self._decoded(clips, places)

        def decode(rows: Tensor, number: Tensor) -> Recognised:
            return self._decoded(clips.of(rows), number)

        def spell(rows: Tensor, tokens: int) -> Spelling:
            some, number = clips.of(rows), torch.full_like(rows, tokens)
            scaled = scale_to_count(some.alpha, number)
            logits = self._logits(some, scaled, real_frames(number, tokens))
            return logits.log_softmax(-1), *token_spans(scaled, tokens, some.frames)

        if self.search:
            found = search_counts(found, places, clips.frames, decode, self.search)
        if len(self.throats):
            rows = is_unsure(first, places).nonzero()[:, 0]
            if len(rows):
                heard = features[rows], lengths[rows]
                found = self._with_other_throats(found, rows, heard, places[rows])
        return prefer_phrases(found, clips.frames, phrases, spell) if phrases else found

    def recognise_at_once(self, features: Tensor, lengths: Tensor) -> Recognised:
        """`recognise` without a branch, for export; see `search_counts_at_once`."""
        clips = self._encoded(features, lengths)
        places = self._places(clips)
        first = found = self._decoded(clips, places)
        times, size = 2 * self.search, found.tokens.shape[1] + self.search

        def decode(rows: Tensor, number: Tensor) -> Recognised:
            rows = rows.repeat(times)
            number = number.clamp_min(1).flatten().minimum(clips.frames[rows])
            return self._decoded(clips.of(rows), number, size)

        if self.search:
            found = search_counts_at_once(found, places, clips.frames, decode, self.search)
        if not len(self.throats):
            return found
        rows, unsure = some_unsure(first, places)
        heard = features[rows], lengths[rows]
        return self._with_other_throats(found, rows, heard, places[rows], unsure)

    def _with_other_throats(
        self,
        found: Recognised,
        rows: Tensor,
        heard: tuple[Tensor, Tensor],
        places: Tensor,
        allowed: Tensor | None = None,
    ) -> Recognised:
        """`found` with what is surer of its `rows` (R,) when their frequencies are moved.

        Vocal tract length normalisation by likelihood (Lee & Rose 1996), clip by clip. No more
        places are filled than `search` beyond those that were counted first: a graph has to know
        beforehand how many there are.

        Args:
            found: Answers to B clips.
            rows: Which of them are heard again, (R,).
            heard: Features (R, T, M) and lengths (R,) of these.
            places: With how many places each was decoded, (R,).
            allowed: See `keep_surest`. With it the size of answers is kept, as a graph has to.
        """
        features, lengths = heard
        for throat in self.throats:
            clips = self._encoded(features @ throat, lengths)
            number = self._places(clips).minimum(places + self.search)
            size = None if allowed is None else found.tokens.shape[1]
            other = self._decoded(clips, number, size)
            spoken = number >= FEWEST
            found = keep_surest(found, rows, other, spoken if allowed is None else spoken & allowed)
        return found

    def _encoded(self, features: Tensor, lengths: Tensor) -> Encoded:
        hidden, mask, frames = self.encoder(features, lengths)
        return Encoded(hidden, mask, frames, self.predictor(hidden, mask))

    def _places(self, clips: Encoded) -> Tensor:
        """Number of tokens that fire, and half the spare places where any does: (B,)."""
        number = fired(clips.alpha, self.tail)
        return (number + (number > 0) * (self.spare // 2)).minimum(clips.frames)

    def _decoded(self, clips: Encoded, places: Tensor, size: Any = None) -> Recognised:
        """Answers of so many places (B,), cut at the first end; L is `size`, or the most."""
        if size is None:
            # `item`, not `int`: an export keeps it as a size that is known at run time only.
            size = places.max().clamp_min(1).item()
            torch._check(size >= 1)
        token_mask = real_frames(places, size)
        logits = self._logits(clips, scale_to_count(clips.alpha, places), token_mask)
        confidence, tokens = logits.softmax(-1).max(-1)
        tokens = tokens.masked_fill(~token_mask, 0)
        number = up_to_first_end(tokens, places) if self.spare else places
        kept = real_frames(number, size)
        # The text alone fills the clip: spare places take no time.
        starts, ends = token_spans(scale_to_count(clips.alpha, number), size, clips.frames)
        return Recognised(
            tokens=tokens.masked_fill(~kept, 0),
            lengths=number,
            starts=starts.masked_fill(~kept, -1),
            ends=ends.masked_fill(~kept, -1),
            confidence=confidence * kept,
            counts=clips.alpha.sum(1),
        )

    def _logits(self, clips: Encoded, alpha: Tensor, token_mask: Tensor) -> Tensor:
        """Logits (B, L, V) of characters and ends, for a mask (B, L) and scaled weights (B, T')."""
        vectors = integrate(alpha, clips.hidden, token_mask.shape[1])
        return without_specials(self.decoder(vectors, token_mask, clips.hidden, clips.mask))
