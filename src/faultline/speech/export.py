"""The whole recogniser as one ONNX file: features in; tokens, times and confidence out."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from faultline.errors import BundleError, OutputError
from faultline.extras import import_extra
from faultline.files import write_bytes
from faultline.speech.data.samples import pad_features
from faultline.speech.frontend import Features
from faultline.speech.paraformer import Paraformer, Recognised
from faultline.speech.recogniser import Recogniser

INPUTS = ("features", "lengths")
OUTPUTS = ("tokens", "token_lengths", "starts", "ends", "confidence")
TOLERANCE = 1e-3
_ROUNDS = 20


class ExportedRecogniser(nn.Module):
    """A network whose times are seconds: (B, T, M) and (B,) -> what `OUTPUTS` names.

    Args:
        network: A recogniser that answers in one pass.
        frame_seconds: From one frame of the encoder to the next.
    """

    def __init__(self, network: nn.Module, frame_seconds: float) -> None:
        super().__init__()
        self.network = network
        self.frame_seconds = frame_seconds

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Tokens (B, L), their number (B,), starts, ends (B, L) in seconds, confidence (B, L)."""
        found: Recognised = self.network(features, lengths)
        return (
            found.tokens,
            found.lengths,
            found.starts.float() * self.frame_seconds,
            found.ends.float() * self.frame_seconds,
            found.confidence,
        )


@dataclass(frozen=True)
class Exported:
    """An export that was checked.

    Attributes:
        path: The file.
        clips: Clips on which both agree.
        difference: Largest difference of confidence among them.
        eager_ms: Median processor time of a batch in torch, on one thread.
        onnx_ms: The same in ONNX Runtime.
    """

    path: Path
    clips: int
    difference: float
    eager_ms: float
    onnx_ms: float


def export_onnx(
    recogniser: Recogniser, path: str | Path, clips: Sequence[Features] = ()
) -> Exported:
    """Write an ONNX file and make sure that it answers as the network does.

    Vocabulary and front end travel in the file's metadata. CMVN is part of the graph: the input is
    the log-mel features of `FrontEnd.features`, filled up with zeros.

    Args:
        recogniser: A Paraformer.
        path: The file to write.
        clips: Features to compare on; drawn at random where none are given.

    Raises:
        BundleError: The network cannot be exported: only a Paraformer answers in one pass.
        OutputError: The file answers otherwise than the network, or cannot be written.
        MissingExtraError: The extra `export` is not installed.
    """
    import_extra("onnx", "export")
    import_extra("onnxruntime", "export")
    if not isinstance(recogniser.network, Paraformer):
        raise BundleError(
            f"{recogniser.bundle.model_name} writes one character after another or has no times",
            remedy="export a paraformer",
        )
    network = recogniser.network.cpu().float().eval()
    module = ExportedRecogniser(network, recogniser.frame_seconds).eval()
    data = _with_metadata(_graph(module, recogniser.frontend.mels), recogniser)
    batches = [list(clips)] if clips else _drawn(recogniser.frontend.mels)
    session = open_session(data)
    difference = max(_parity(module, session, batch) for batch in batches)
    write_bytes(path, data)
    eager, onnx = _speed(module, session, batches[0])
    return Exported(Path(path), sum(map(len, batches)), difference, eager, onnx)


def open_session(model: bytes | Path, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU.

    Raises:
        MissingExtraError: The extra `export` is not installed.
    """
    runtime = import_extra("onnxruntime", "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    source = model if isinstance(model, bytes) else str(model)
    return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, features: Sequence[Features]) -> dict[str, np.ndarray]:
    """Outputs by name for clips (T, M)."""
    padded, lengths = pad_features(features)
    values = session.run(list(OUTPUTS), {"features": padded.numpy(), "lengths": lengths.numpy()})
    return dict(zip(OUTPUTS, values, strict=True))


def _graph(module: nn.Module, mels: int) -> Any:
    """The ONNX model of the network for any number of clips and windows."""
    features = torch.zeros(2, 40, mels)
    features[:, 10:30] = 8.0
    lengths = torch.tensor([40, 30])
    free = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (features, lengths),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: free, 1: free}, {0: free}),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _with_metadata(model: Any, recogniser: Recogniser) -> bytes:
    values = {
        "tokens": json.dumps(list(recogniser.tokenizer.tokens), ensure_ascii=False),
        "frontend": json.dumps(recogniser.frontend.to_dict()),
        "fingerprint": recogniser.bundle.fingerprint,
    }
    for key, value in values.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return bytes(model.SerializeToString())


def _drawn(mels: int) -> list[list[Features]]:
    """Noise that rises and falls, of several lengths; a batch, and single clips."""
    rng = np.random.default_rng(0)
    lengths = (120, 37, 64, 5, 1, 200)
    clips = [
        np.asarray(8 + 4 * rng.standard_normal((n, mels)).cumsum(0) / np.sqrt(n), np.float32)
        for n in lengths
    ]
    return [clips, *([clip] for clip in clips)]


def _parity(module: nn.Module, session: Any, clips: Sequence[Features]) -> float:
    """Largest difference of confidence.

    Raises:
        OutputError: A token, a number of tokens or a time differs, or the confidence by too much.
    """
    padded, lengths = pad_features(clips)
    with torch.inference_mode():
        wanted = dict(zip(OUTPUTS, module(padded, lengths), strict=True))
    found = run_session(session, clips)
    difference = 0.0
    for name in OUTPUTS:
        right = wanted[name].numpy()
        if right.shape != found[name].shape:
            raise OutputError(f"the exported {name} have shape {found[name].shape}, "
                              f"those of the network {right.shape}")  # fmt: skip
        off = float(np.abs(right.astype(float) - found[name].astype(float)).max(initial=0.0))
        if off > TOLERANCE:
            raise OutputError(f"the exported {name} differ by {off:.2g} from those of the network")
        difference = max(difference, off if name == "confidence" else 0.0)
    return difference


def _speed(module: nn.Module, session: Any, clips: Sequence[Features]) -> tuple[float, float]:
    """Both on one thread, as `open_session` has it."""
    padded, lengths = pad_features(clips)

    def eager() -> None:
        with torch.inference_mode():
            module(padded, lengths)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _median_ms(eager), _median_ms(lambda: run_session(session, clips))
    finally:
        torch.set_num_threads(threads)


def _median_ms(action: Callable[[], object]) -> float:
    """Of processor time, so that other work on the machine does not count."""
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        action()
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times[2:]))
