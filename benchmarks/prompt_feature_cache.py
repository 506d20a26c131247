"""How much faster an epoch of CLIPSeg's decoder is when what the frozen encoder sees is kept.

The real architecture at full size (ViT-B/16, 352 pixels) with random weights, on drawn pictures:

    python benchmarks/prompt_feature_cache.py --pictures 8 --epochs 3

The first epoch with the memory fills it; the figure is about those after it. Seconds of the clock,
and of the processor, which a busy machine leaves alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from faultline.models import create_model

PROMPTS = ["segment crack", "segment taping area"]


def write_random_clipseg(folder: Path) -> None:
    """CLIPSeg as on the hub, with random weights and a tokenizer of single letters."""
    import transformers

    torch.manual_seed(0)
    config = transformers.CLIPSegConfig()
    transformers.CLIPSegForImageSegmentation(config).save_pretrained(folder)
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    vocabulary |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
               "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}  # fmt: skip
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def train(
    folder: Path, pictures: torch.Tensor, epochs: int, cached: bool
) -> tuple[list[tuple[float, float]], float]:
    """Seconds of the clock and of the processor of each epoch; and the loss at the end."""
    torch.manual_seed(1)
    network = create_model("clipseg", weights=str(folder)).train()
    if cached:
        network.remember(8 * 2**30)
    optimizer = torch.optim.AdamW(network.parameter_groups(1e-4))
    truth = torch.zeros(2, len(PROMPTS), *pictures.shape[2:])
    truth[:, 0, 100:140] = 1
    seconds, value = [], 0.0
    for _ in range(epochs):
        start = time.perf_counter(), time.process_time()
        for batch in pictures.split(2):
            logits = network(batch, [PROMPTS] * len(batch))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, truth[: len(batch)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return seconds, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pictures = torch.randn(arguments.pictures, 3, 352, 352)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random_clipseg(folder)
        after: dict[bool, tuple[float, float]] = {}
        for cached in (False, True):
            seconds, loss = train(folder, pictures, arguments.epochs, cached)
            shown = ", ".join(f"{clock:.2f} ({cpu:.2f})" for clock, cpu in seconds)
            print(f"{'kept' if cached else 'computed':>9}: epochs {shown} s; loss {loss:.6f}",
                  flush=True)  # fmt: skip
            later = seconds[1:] or seconds
            after[cached] = min(one[0] for one in later), min(one[1] for one in later)
        clock, cpu = (after[False][i] / after[True][i] for i in (0, 1))
        print(f"an epoch is {clock:.1f} times as fast ({cpu:.1f} in processor time)")


if __name__ == "__main__":
    main()
