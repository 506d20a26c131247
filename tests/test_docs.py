"""What the documentation says can be typed, followed and relied on."""

import dataclasses
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path

import pytest
import torch
import typer
from omegaconf import OmegaConf

from faultline.cli import app
from faultline.config import Config, load_config
from faultline.config.flat import FLAT_KEYS
from faultline.data.importers import IMPORTERS
from faultline.data.transforms import AUGMENTATIONS
from faultline.losses import LOSSES
from faultline.models import MODELS, count_parameters, create_model
from faultline.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DATA_CONFIGS = {path.stem for path in ROOT.glob("src/faultline/config/conf/data/*.yaml")}
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language):
    return [text for kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


def prose(page):
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text("utf-8")))


def command_lines(page):
    """Words of every `faultline ...` line, continuation lines joined, comments left out."""
    lines = [
        line
        for text in blocks(page, "bash")
        for line in text.replace("\\\n", " ").splitlines()
        if line.strip().startswith("faultline ")
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines]


COMMANDS = [(name_of(page), words) for page in PAGES for words in command_lines(page)]
PLUGIN = tomllib.loads(blocks(DOCS / "extending.md", "toml")[0])["project"]["entry-points"]


def parsed(words):
    """Parameters of a command line, as the command would get them; nothing is run."""
    command = typer.main.get_command(app)
    name = "faultline"
    while getattr(command, "commands", None) and words:
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    return command.make_context(name, list(words)).params


def test_there_is_something_to_check():
    assert len(PAGES) >= 17
    assert len(COMMANDS) >= 50


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page):
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


def anchors(page):
    """Heading anchors, as they are made on the web: lower case, no punctuation, hyphens."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[f"{page}: {' '.join(words)}" for page, words in COMMANDS]
)
def test_commands_and_their_settings_are_accepted(page, words):
    given = parsed(words)
    overrides = tuple(with_folder(word) for word in given.get("overrides") or ())
    if not overrides and not given.get("model"):
        return
    config = composed(overrides, given.get("model"))
    names = {"faultline.models": [config.model["name"]], "faultline.losses": [config.loss["name"]],
             "faultline.augmentations": list(config.augment),
             "faultline.importers": [config.data.format, config.data.test_format]}  # fmt: skip
    for registry, group in REGISTRIES:
        for name in names[group]:
            assert name == "auto" or name in PLUGIN[group] or name in registry, name
    for section, registry, group in (
        (config.model, MODELS, "faultline.models"), (config.loss, LOSSES, "faultline.losses")
    ):  # fmt: skip
        if section["name"] not in PLUGIN[group]:
            assert set(section) - {"name"} <= set(registry.get(section["name"]).settings())


@pytest.mark.parametrize("words", [["train", "--modle", "x"], ["infer", "--weights", "x"]])
def test_a_wrong_command_line_is_found(words):
    with pytest.raises(Exception, match=r"No such option|Missing"):
        parsed(words)


REGISTRIES = (
    (MODELS, "faultline.models"),
    (LOSSES, "faultline.losses"),
    (AUGMENTATIONS, "faultline.augmentations"),
    (IMPORTERS, "faultline.importers"),
)


@cache
def composed(overrides, model):
    return load_config(overrides, model=model)


def with_folder(word):
    """Folders in examples do not exist: put one that does in their place."""
    key, _, value = word.partition("=")
    if key not in ("data", "data.root", "data.test") or value in {"null", *DATA_CONFIGS}:
        return word
    return f"{key}={DOCS}"


YAML = [(name_of(page), text) for page in PAGES for text in blocks(page, "yaml")]


@pytest.mark.parametrize(("page", "text"), YAML, ids=[page for page, _ in YAML])
def test_yaml_examples_load(page, text, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    assert load_config(file=file).model["name"] in MODELS


def test_the_table_of_settings_is_complete_and_right():
    rows = re.findall(r"^\| `([a-z][\w.]*)` \| `(.+?)` \|", page_text("training.md"), re.MULTILINE)
    written = {key: OmegaConf.create(f"value: {value}").value for key, value in rows}
    assert written == dict(settings_with_defaults(Config()))


def settings_with_defaults(values, prefix=""):
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if dataclasses.is_dataclass(value):
            yield from settings_with_defaults(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def test_the_table_of_flat_keys_is_complete_and_right():
    rows = re.findall(r"^\| `([A-Z_]+)` \| `([\w.]+)` \|", page_text("training.md"), re.MULTILINE)
    assert dict(rows) == {flat: key for flat, (key, _) in FLAT_KEYS.items()}


@pytest.mark.parametrize("name", ["scratch_ed", "scratch_ed_plus", "unet_mini"])
def test_the_tables_of_stages_are_right(name):
    section = page_text("contracts.md").partition(f"### {name}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (\(.+?\)) \| (\(.+?\)) \| ([\d,]+) \|", section, re.M)
    assert len(rows) >= 8
    with torch.device("meta"):
        model, picture = create_model(name).eval(), torch.zeros(1, 3, 320, 480)
    found = {}
    for stage, *_ in rows:
        model.get_submodule(stage).register_forward_hook(
            lambda module, given, out, stage=stage: found.update(
                {stage: (given[0].shape, out.shape, count_parameters(module))}
            )
        )
    model(picture)
    for stage, before, after, parameters in rows:
        shown = (str(tuple(size[1:])) for size in found[stage][:2])
        assert (*shown, f"{found[stage][2]:,}") == (before, after, parameters), stage
    assert f"{count_parameters(model):,} parameters" in section


def test_the_plugin_example_is_found_and_works(tmp_path, monkeypatch):
    folder = tmp_path / "faultline_edges-0.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: faultline-edges\nVersion: 0.1\n")
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in PLUGIN.items()
    )
    (folder / "entry_points.txt").write_text(points)
    (tmp_path / "faultline_edges.py").write_text(blocks(DOCS / "extending.md", "python")[0])
    monkeypatch.syspath_prepend(tmp_path)

    def entry(group):
        (name,) = PLUGIN[group]
        return Registry(group, group).get(name)

    model = entry("faultline.models").builder(num_classes=2, base_channels=4)
    logits = model(torch.zeros(1, 3, 9, 7))
    assert logits.shape == (1, 2, 9, 7)
    loss = entry("faultline.losses").builder(factor=2.0)
    value = loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8))
    assert value.item() == pytest.approx(0.5)
    assert entry("faultline.augmentations").builder(bits=4)
    assert entry("faultline.importers").settings().keys() == {"root", "options"}


def page_text(name):
    return (DOCS / name).read_text("utf-8")
