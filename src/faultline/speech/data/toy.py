"""The toy task: features that spell a text, of any difficulty, without a single recording."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from faultline.speech.data.samples import Sample
from faultline.speech.frontend import Features
from faultline.speech.tokenizer import CharacterTokenizer

MELS = 16
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FRAMES = (4, 8)
_PAUSE = (0, 4)


@dataclass(frozen=True)
class ToyTask:
    """Each character is a direction in M dimensions that swells and fades over a few frames.

    Frames between characters and at both ends hold noise only, and so do items without text. The
    envelope tells a repeated character from a long one.

    Attributes:
        tokens: Different characters, 2 to 26.
        longest: Characters of an item at most; an item has 1 to `longest` of them.
        noise: Standard deviation of the noise; characters have size 1 at their peak.
        empty: Share of items without text.
        seed: Chooses the directions; items are drawn from it as well.
    """

    tokens: int = 12
    longest: int = 10
    noise: float = 0.3
    empty: float = 0.02
    seed: int = 0

    @property
    def letters(self) -> str:
        """The characters in use."""
        return _LETTERS[: self.tokens]

    def tokenizer(self) -> CharacterTokenizer:
        """The vocabulary of the task."""
        return CharacterTokenizer.from_texts([self.letters])

    def sample(self, part: int, number: int) -> Sample:
        """Item `number` of part `part`; the same item every time.

        Args:
            part: 0 trains, 1 validates, 2 tests; parts share the directions and nothing else.
            number: Number of the item.
        """
        rng = np.random.default_rng([self.seed, part + 1, number])
        count = 0 if rng.random() < self.empty else int(rng.integers(1, self.longest + 1))
        text = "".join(rng.choice(list(self.letters), count))
        tokens = tuple(self.tokenizer().encode(text))
        return Sample(f"toy-{part}-{number}", self.features(text, rng), tokens, text)

    def features(self, text: str, rng: np.random.Generator) -> Features:
        """`text` as (T, M) features."""
        directions = self._directions()
        pieces = [np.zeros((int(rng.integers(2, 6)), MELS))]
        for letter in text:
            length = int(rng.integers(_FRAMES[0], _FRAMES[1] + 1))
            swell = np.sin(np.pi * (np.arange(length) + 0.5) / length)
            pieces.append(swell[:, None] * directions[self.letters.index(letter)])
            pieces.append(np.zeros((int(rng.integers(_PAUSE[0], _PAUSE[1])), MELS)))
        pieces.append(np.zeros((int(rng.integers(2, 6)), MELS)))
        clean = np.concatenate(pieces)
        noisy = clean + self.noise * rng.standard_normal(clean.shape) / np.sqrt(MELS)
        return np.asarray(noisy, np.float32)

    def _directions(self) -> np.ndarray:
        drawn = np.random.default_rng([self.seed, 0]).standard_normal((len(_LETTERS), MELS))
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


@dataclass(frozen=True)
class ToyItem:
    """Who a toy item is: its name, which is all that it is made from besides the task."""

    id: str

    @property
    def sha256(self) -> str:
        """Hash of the name."""
        return hashlib.sha256(self.id.encode()).hexdigest()

    @property
    def group(self) -> str:
        """Each item is its own."""
        return self.id


class ToySet:
    """A part of the toy task as a data set of samples, addressed by (epoch, number)."""

    def __init__(self, task: ToyTask, part: int, count: int) -> None:
        self.samples = [task.sample(part, number) for number in range(count)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, address: tuple[int, int] | int) -> Sample:
        return self.samples[address if isinstance(address, int) else address[1]]

    def size(self, address: tuple[int, int]) -> int:
        """Windows (T) of the clip at `address`."""
        return len(self[address].features)

    def items(self) -> list[ToyItem]:
        """Who they are."""
        return [ToyItem(sample.id) for sample in self.samples]
