"""The whole recogniser as one ONNX file: features in; tokens, times and confidence out."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faultline.errors import BundleError, ConfigError
from faultline.extras import import_extra
from faultline.files import write_bytes
from faultline.models.attention import MultiHeadAttention
from faultline.speech.export_check import (
    OUTPUTS,
    Agreement,
    batches_of,
    check_alike,
    check_same,
    compare,
    drawn_batches,
    speeds,
)
from faultline.speech.frontend import Features
from faultline.speech.paraformer import Paraformer, Recognised
from faultline.speech.paraformer.blocks import SanmAttention
from faultline.speech.recogniser import Recogniser

INPUTS = ("features", "lengths")


class ExportedRecogniser(nn.Module):
    """A network whose times are seconds: (B, T, M) and (B,) -> what `OUTPUTS` names.

    Args:
        network: The recogniser.
        frame_seconds: From one frame of the encoder to the next.
        at_once: Decode again without a branch, as a graph has to.
    """

    def __init__(self, network: Paraformer, frame_seconds: float, at_once: bool = False) -> None:
        super().__init__()
        self.network = network
        self.frame_seconds = frame_seconds
        self.at_once = at_once

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Tokens (B, L), their number (B,), starts, ends (B, L) in seconds, confidence (B, L)."""
        recognise = self.network.recognise_at_once if self.at_once else self.network.recognise
        found: Recognised = recognise(features, lengths)
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
        agreement: How its answers compare with those of the network.
        eager_ms: Median processor time of a batch in torch, on one thread.
        onnx_ms: The same in ONNX Runtime.
    """

    path: Path
    agreement: Agreement
    eager_ms: float
    onnx_ms: float


def export_onnx(
    recogniser: Recogniser,
    path: str | Path,
    clips: Sequence[Features] = (),
    int8: bool = False,
) -> Exported:
    """Write an ONNX file and make sure that it answers as the network does, decoding again too.

    Vocabulary and front end travel in the file's metadata. CMVN is part of the graph: the input is
    the log-mel features of `FrontEnd.features`, filled up with zeros.

    Args:
        recogniser: A Paraformer.
        path: The file to write.
        clips: Features (T, M) of speech to compare on; noise where none are given.
        int8: Round the weights of matrices to eight bits, and inputs to them as they come.

    Raises:
        BundleError: The network cannot be exported: only a Paraformer answers in one pass.
        ConfigError: `int8` without `clips`.
        OutputError: The file answers otherwise than the network, or cannot be written.
        MissingExtraError: The extra `export` is not installed.
    """
    for name in ("onnx", "onnxruntime"):
        import_extra(name, "export")
    if not isinstance(recogniser.network, Paraformer):
        raise BundleError(
            f"{recogniser.bundle.model_name} cannot be exported: it writes one character after "
            "another, or gives no times",
            remedy="export a paraformer",
        )
    if int8 and not clips:
        raise ConfigError(
            "8-bit weights can change the recognised text",
            remedy="name recordings to compare on with --clips",
        )
    network, seconds = recogniser.network.cpu().float().eval(), recogniser.frame_seconds
    model = _graph(ExportedRecogniser(_plain(network), seconds, at_once=True), recogniser)
    data = _with_metadata(_rounded(model) if int8 else model, recogniser)
    batches = batches_of(clips) if clips else drawn_batches(recogniser.frontend.mels)
    session, module = open_session(data), ExportedRecogniser(network, seconds)
    agreement = compare(module, session, batches)
    (check_alike if int8 else check_same)(agreement)
    write_bytes(path, data)
    return Exported(Path(path), agreement, *speeds(module, session, batches[0]))


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


def _plain(network: Paraformer) -> Paraformer:
    """A copy that spells attention out: the fused kernel's export guards against NaN row by row."""
    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, (MultiHeadAttention, SanmAttention)):
            layer.fast = False
    return network.eval()


def _graph(module: nn.Module, recogniser: Recogniser) -> Any:
    """The ONNX model of the network for any number of clips and windows."""
    features = torch.zeros(2, 40, recogniser.frontend.mels)
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


def _rounded(model: Any) -> Any:
    """The model with eight-bit matrices, one scale a column, and inputs rounded as they come."""
    onnx = import_extra("onnx", "export")
    quantization = import_extra("onnxruntime.quantization", "export")
    with tempfile.TemporaryDirectory() as folder:
        whole, folded, rounded = (str(Path(folder) / f"{n}.onnx") for n in range(3))
        onnx.save(model, whole)
        # Only constants are rounded: matrices that are transposed on the way are folded first.
        quantization.quant_pre_process(whole, folded, skip_symbolic_shape=True)
        quantization.quantize_dynamic(
            folded,
            rounded,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul"],
        )
        return onnx.load(rounded)


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
