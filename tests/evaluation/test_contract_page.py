"""The tables made from the code: what they say, and that the documentation is up to date."""

import re
from dataclasses import dataclass

import pytest
import torch
from contract_pages import RENEW, part_of_page
from torch import nn
from typer.testing import CliRunner

from faultline.cli import app
from faultline.errors import ConfigError, MissingExtraError
from faultline.evaluation import contract_page
from faultline.evaluation.contract_page import fields_of, model_section, renewed, table
from faultline.models import MODELS
from faultline.models.stages import run_stages
from faultline.registry import Registry

OWN = [entry.name for entry in MODELS if entry.builder.__module__.startswith("faultline.")]


@pytest.mark.parametrize("name", ["records", "losses"])
def test_the_tables_of_the_page_are_current(name):
    assert part_of_page(name) == contract_page.PARTS[name](), RENEW


@pytest.mark.parametrize("name", OWN)
def test_the_stages_of_the_page_are_current(name):
    try:
        made = model_section(MODELS.get(name))
    except MissingExtraError as error:
        pytest.skip(str(error))
    sections = re.split(r"\n\n(?=### )", part_of_page("models"))
    written = {section.partition("\n")[0]: section for section in sections}
    assert written.get(f"### {name}") == made, RENEW


def test_the_page_lists_every_model_and_no_other():
    assert re.findall(r"^### (.+)$", part_of_page("models"), re.MULTILINE) == OWN, RENEW


class Twins(nn.Module):
    """Two branches that meet. And more text."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(3, 2, 1), nn.Conv2d(3, 4, 1, 2)])
        self.join = Join()
        self.unused = nn.Linear(1, 1)
        self.tail = nn.Sequential(nn.ReLU(), nn.Conv2d(2, num_classes, 1))

    def forward(self, x):
        fine, coarse = (branch(x) for branch in self.branches)
        return self.tail(self.tail[0](self.join(fine, other={"coarse": coarse})[0]))


class Join(nn.Module):
    def __init__(self):
        super().__init__()
        self.gates = nn.ModuleList([nn.Sigmoid()])

    def forward(self, fine, other):
        return [self.gates[0](fine), other["coarse"], "text"]


def test_stages_are_found_and_measured():
    model = Twins()
    x = torch.zeros(1, 3, 8, 6)
    stages = {stage.name: stage for stage in run_stages(model, x)}
    assert list(stages) == ["branches.0", "branches.1", "join", "join.gates.0", "tail.0", "tail.1"]
    assert stages["join"].inputs == ((1, 2, 8, 6), (1, 4, 4, 3))
    assert stages["join"].outputs == ((1, 2, 8, 6), (1, 4, 4, 3))
    assert stages["branches.1"].parameters == 16
    assert not any(module._forward_hooks for module in model.modules())


def test_a_part_that_is_not_called_itself_stands_for_what_runs_in_it():
    class Trunk(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(3, 4)})
            self.head = nn.Linear(4, 1)

        def forward(self, x):
            return self.head(self.trunk["b"](self.trunk["a"](x)))

    first, second = run_stages(Trunk(), torch.zeros(1, 2))
    assert (first.name, first.inputs, first.outputs) == ("trunk", ((1, 2),), ())
    assert first.parameters == 9 + 16
    assert second.name == "head"


def test_looking_at_stages_changes_no_output():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    x = torch.randn(1, 2)
    seen = []
    model.register_forward_hook(lambda module, given, output: seen.append(output))
    run_stages(model, x)
    assert torch.equal(seen[0], model(x))


class TestASection:
    def entry(self, builder, **settings):
        registry = Registry("model")
        registry.register("twins", **settings)(builder)
        return registry.get("twins")

    def section(self, builder, monkeypatch, **settings):
        entry = self.entry(builder, **settings)
        monkeypatch.setattr(contract_page, "create_model", lambda name, **given: builder(**given))
        return model_section(entry)

    def test_shows_summary_size_and_stages(self, monkeypatch):
        text = self.section(Twins, monkeypatch)
        assert "### twins\n\nTwo branches that meet. And more text." in text
        assert "picture of 320 x 480; 29 parameters." in text
        assert "| `join` | (2, 320, 480) and (4, 160, 240) | (2, 320, 480)" in text

    def test_classifiers_are_shown_at_their_size(self, monkeypatch):
        assert "224 x 224" in self.section(Twins, monkeypatch, tags=["classification"])

    def test_no_weights_are_downloaded(self, monkeypatch):
        def build(pretrained: bool = True):
            assert not pretrained
            return Twins()

        assert "`tail.1`" in self.section(build, monkeypatch)

    def test_a_model_that_needs_a_setting_is_named(self, monkeypatch):
        def build(backbone: str):
            return Twins()

        assert "the network that `backbone` names" in self.section(build, monkeypatch)

    def test_a_model_that_needs_an_extra_is_named(self, monkeypatch):
        def build():
            raise MissingExtraError("needs timm", remedy="pip install '.[timm]'")

        text = self.section(build, monkeypatch)
        assert "cannot be shown here: needs timm -> pip install" in text


@dataclass
class Record:
    """A record.

    Attributes:
        first: One line (B, 3).
        second: Two
            lines | with a bar.

    More text:
        third: none of it.
    """


def test_fields_come_from_the_docstring():
    assert fields_of(Record) == [
        ("first", "One line (B, 3)."), ("second", "Two lines | with a bar.")
    ]  # fmt: skip
    assert table(("a",), [("x | y",)]) == "| a |\n| --- |\n| x \\| y |"
    for record in contract_page.RECORDS:
        assert fields_of(record), record


class TestThePage:
    def test_hand_written_text_is_kept(self, tmp_path):
        page = tmp_path / "page.md"
        page.write_text(
            "# Mine\n\nbefore\n\n<!-- generated: losses -->\nold\n<!-- end of losses -->\n\nafter\n"
        )
        result = CliRunner().invoke(app, ["contracts", "--save", str(page)])
        assert result.exit_code == 0, result.output
        text = page.read_text()
        assert text.startswith("# Mine\n\nbefore\n\n<!-- generated: losses -->\n\n| Loss |")
        assert text.endswith("<!-- end of losses -->\n\nafter\n")
        assert "old" not in text
        assert renewed(text) == text

    def test_a_new_page_holds_every_part(self, tmp_path, monkeypatch):
        few = [entry for entry in MODELS if entry.name in ("unet_mini", "unet")]
        monkeypatch.setattr(contract_page, "MODELS", few)
        page = tmp_path / "new" / "page.md"
        assert CliRunner().invoke(app, ["contracts", "--save", str(page)]).exit_code == 0
        text = page.read_text()
        assert "### unet_mini" in text
        assert "| `dice` |" in text
        assert "`faultline.data.dataset.Sample`" in text
        shown = CliRunner().invoke(app, ["contracts"])
        assert shown.output == text

    @pytest.mark.parametrize(
        ("text", "said"),
        [("# Nothing\n", "no mark"), ("<!-- generated: models -->\n", "has no end")],
    )
    def test_a_page_without_marks_is_left_alone(self, tmp_path, text, said):
        page = tmp_path / "page.md"
        page.write_text(text)
        with pytest.raises(ConfigError, match=said):
            contract_page.save_page(page)
        assert page.read_text() == text
