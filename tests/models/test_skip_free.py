"""Proof, on the traced graph, that skip-free models have no path around the bottleneck.

Every activation is named after the part that made it: encoder, bottleneck, decoder or head. An
operation of the decoder or head (or one outside any part that feeds on them) may take
activations of the decoder and of the bottleneck, and the input picture's *shape* (to crop the
padding away), but nothing that the encoder made.
"""

import operator

import pytest
import torch
from torch import fx, nn

from faultline.models import MODELS, create_model
from faultline.models.registry import MODELS as REGISTRY

SKIP_FREE = [entry.name for entry in MODELS if "skip_free" in entry.tags]


class _EveryModuleIsOpen(fx.Tracer):
    """Traces down to single convolutions, so that no module hides a connection."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return not list(module.children()) and type(module).__module__.startswith("torch.nn")


def part_of(node: fx.Node) -> str | None:
    stack = node.meta.get("nn_module_stack") or {}
    for path, _ in stack.values():
        if path:
            return str(path).split(".")[0]
    return str(node.target).split(".")[0] if node.op == "call_module" else None


def is_shape(node: fx.Node) -> bool:
    """Whether a node carries sizes, not activations."""
    return node.op == "call_function" and (
        (node.target is getattr and node.args[1] == "shape")
        or (node.target in _ARITHMETIC and all(is_shape(n) for n in node.all_input_nodes))
        or (node.target is operator.getitem and is_shape(node.all_input_nodes[0]))
    )


_ARITHMETIC = {operator.neg, operator.mod, operator.add, operator.mul, operator.floordiv}


def violations(model: nn.Module) -> list[str]:
    graph = _EveryModuleIsOpen().trace(model)
    found, after = [], {"bottleneck", "decoder", "head"}
    origin: dict[fx.Node, str] = {}
    for node in graph.nodes:
        sources = [n for n in node.all_input_nodes if not is_shape(n)]
        origin[node] = part_of(node) or next(
            (origin[n] for n in reversed(sources) if origin.get(n) in after), "outside"
        )
        if is_shape(node) or node.op in ("placeholder", "get_attr"):
            origin[node] = "input" if node.op == "placeholder" else "outside"
        if origin[node] in ("decoder", "head"):
            found += [f"{node} takes {n} of the encoder" for n in sources if origin[n] == "encoder"]
            pixels = [n for n in sources if origin[n] in ("input", "outside")]
            found += [f"{node} takes {n} of the input" for n in pixels]
    parts = set(origin.values())
    assert {"encoder", "bottleneck", "decoder", "head"} <= parts, parts
    return found


@pytest.mark.parametrize("name", SKIP_FREE)
def test_nothing_of_the_encoder_reaches_the_decoder_but_through_the_bottleneck(name):
    assert violations(create_model(name)) == []


@pytest.mark.parametrize("name", SKIP_FREE)
def test_removing_the_bottleneck_cuts_the_output_off_from_the_picture(name):
    model = create_model(name, base_channels=8).eval()
    model.bottleneck.register_forward_hook(lambda module, inputs, output: output * 0)
    with torch.no_grad():
        first, second = model(torch.randn(1, 3, 64, 64)), model(torch.randn(1, 3, 64, 64))
    assert torch.equal(first, second)


def test_the_check_finds_a_concatenation_and_an_addition():
    for join in (lambda up, skip: torch.cat([up, skip], 1), lambda up, skip: up + skip):
        assert violations(_WithSkip(join))


def test_the_compliance_list_holds_all_scratch_models():
    assert {"scratch_ed", "scratch_ed_plus", "scratch_ed_plus_dropout"} <= set(SKIP_FREE)
    assert "skip_free" not in REGISTRY.get("unet_mini").tags


class _WithSkip(nn.Module):
    def __init__(self, join):
        super().__init__()
        self.join = join
        self.encoder = nn.Conv2d(3, 4, 3, padding=1)
        self.bottleneck = nn.Conv2d(4, 4, 3, 2, 1)
        self.decoder = nn.Upsample(scale_factor=2)
        self.head = nn.LazyConv2d(1, 1)

    def forward(self, x):
        skip = self.encoder(x)
        return self.head(self.join(self.decoder(self.bottleneck(skip)), skip))
