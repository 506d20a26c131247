"""Characters to numbers and back; the vocabulary is made from the training texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from faultline.errors import BundleError, DataError

BLANK, UNKNOWN, START, END = "<blank>", "<unk>", "<sos>", "<eos>"
SPECIAL = (BLANK, UNKNOWN, START, END)
BLANK_ID, UNKNOWN_ID, START_ID, END_ID = range(len(SPECIAL))
_SHOWN_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def normalise_text(text: str) -> str:
    """Lower case, composed accents (NFC), single spaces, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


@dataclass(frozen=True)
class CharacterTokenizer:
    """One token per character, behind four special ones.

    Token 0 is the CTC blank and the padding; 1 stands for a character that the vocabulary does
    not hold; 2 and 3 start and end a sentence.

    Attributes:
        tokens: Special tokens, then characters in a fixed order.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL)] != SPECIAL or len(set(self.tokens)) != len(self.tokens):
            raise BundleError(
                f"a vocabulary starts with {', '.join(SPECIAL)} and repeats nothing, "
                f"this one is {list(self.tokens[:6])}..."
            )

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> CharacterTokenizer:
        """The vocabulary of all characters in `texts`, by code point.

        Raises:
            DataError: There is no character at all.
        """
        found = sorted({character for text in texts for character in normalise_text(text)})
        if not found:
            raise DataError("no text to make a vocabulary from: every transcript is empty")
        return cls((*SPECIAL, *found))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def encode(self, text: str) -> list[int]:
        """Token numbers of the normalised `text`; characters without one give `<unk>`."""
        return [self._numbers.get(character, UNKNOWN_ID) for character in normalise_text(text)]

    def unknown(self, text: str) -> list[str]:
        """Characters of `text` that the vocabulary does not hold, each once, in order."""
        characters = dict.fromkeys(normalise_text(text))
        return [character for character in characters if character not in self._numbers]

    def decode(self, numbers: Sequence[int]) -> str:
        """Text up to the first `<eos>`; blanks and starts leave no trace.

        Raises:
            DataError: A number is outside the vocabulary.
        """
        return "".join(self.pieces(numbers))

    def pieces(self, numbers: Sequence[int]) -> list[str]:
        """One string per token up to the first `<eos>`, empty for blank and start.

        Raises:
            DataError: A number is outside the vocabulary.
        """
        found = []
        for number in numbers:
            if not 0 <= number < len(self.tokens):
                raise DataError(f"token {number} is outside the vocabulary of {len(self.tokens)}")
            if number == END_ID:
                break
            found.append(self._piece(number))
        return found

    def _piece(self, number: int) -> str:
        if number in (BLANK_ID, START_ID):
            return ""
        return _SHOWN_UNKNOWN if number == UNKNOWN_ID else self.tokens[number]
