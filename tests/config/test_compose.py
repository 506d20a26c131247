import contextlib
import dataclasses
from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.config import Config, document_config, from_yaml, load_config, to_yaml
from faultline.config.flat import FLAT_KEYS
from faultline.config.validate import _USUAL_FORMATS, duration
from faultline.errors import ConfigError, FaultlineError

CONF = Path(str(resources.files("faultline.config")))
YAMLS = sorted(CONF.rglob("*.yaml"))


def test_all_yaml_files_are_found():
    assert len(YAMLS) == 12


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(CONF)))
def test_every_yaml_composes(path):
    group = path.parent.name
    if group in ("data", "augment"):
        config = load_config([f"{group}={path.stem}"])
    elif group == "tasks":
        config = load_config([f"task={path.stem}"])
        assert config.task == path.stem
    elif path == document_config():
        config = load_config(file=path)
    else:
        config = load_config()
    assert isinstance(config, Config)


def test_defaults_in_yaml_and_in_the_dataclass_agree():
    composed, plain = load_config(), Config()
    assert composed.augment
    assert dataclasses.replace(composed, augment={}) == plain


def test_every_setting_is_documented():
    for field in dataclasses.fields(Config):
        section = field.default_factory
        kinds = [Config] if section is dataclasses.MISSING else [Config, section]
        for kind in kinds:
            if dataclasses.is_dataclass(kind):
                for inner in dataclasses.fields(kind):
                    assert f"{inner.name}:" in (kind.__doc__ or ""), inner.name


def test_round_trip_through_yaml(tmp_path):
    words = ["model=scratch_ed", "model.base_channels=16", "augment=strong", "loss=focal"]
    config = load_config([*words, "loss.gamma=1.5", "trainer.max_time=15m", "threshold=0.4"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert from_yaml(path) == config
    assert load_config(file=path) == config


def test_the_documents_thirteen_keys(tmp_path):
    values = yaml.safe_load(document_config().read_text())
    assert list(values) == list(FLAT_KEYS)[:13]
    config = load_config(file=document_config())
    assert config.model == {"name": "scratch_ed", "base_channels": 32}
    assert config.threshold == 0.4
    assert config.data.batch_size == 8
    assert config.trainer.max_epochs == 80
    assert config.optimizer.lr == 1e-3
    assert config.optimizer.weight_decay == 1e-4
    assert config.scheduler.name == "plateau"
    assert config.trainer.early_stopping_patience == 10
    assert config.trainer.accumulate == 1
    assert config.trainer.precision == "auto"
    assert config.loss == {"name": "bce_dice"}


def test_model_option_wins_and_takes_the_aspp_rates():
    config = load_config(file=document_config(), model="scratch_ed_plus")
    assert config.model["name"] == "scratch_ed_plus"
    assert config.model["aspp_rates"] == [1, 6, 12, 18]


def test_unknown_flat_keys_are_all_named(tmp_path):
    path = tmp_path / "flat.yaml"
    path.write_text("MODEL_NAM: x\nEPOCHS: many\n")
    with pytest.raises(ConfigError, match=r"MODEL_NAM.*did you mean 'MODEL_NAME'.*EPOCHS='many'"):
        load_config(file=path)


def test_flat_values_are_never_changed_in_silence(tmp_path):
    path = tmp_path / "flat.yaml"
    path.write_text(
        "EPOCHS: 1.9\nSEED: 2.5\nEARLY_STOPPING_PATIENCE: true\nAMP: nope\nASPP_RATES: '1,6'\n"
        "BATCH_SIZE: 8.7\nMODEL_NAME:\nLR: fast\nLOSS: 5\nIMG_SIZE: 64.0\nACCUM_STEPS: '2'\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(file=path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    for part in (
        "EPOCHS=1.9 must be a whole number", "SEED=2.5 must be a whole number",
        "EARLY_STOPPING_PATIENCE=True must be a whole number", "AMP='nope' must be true or false",
        "ASPP_RATES='1,6' must be a list of whole numbers", "BATCH_SIZE=8.7 must be",
        "MODEL_NAME is empty", "LR='fast' must be a number", "LOSS=5 must be text",
    ):  # fmt: skip
        assert part in text
    assert "IMG_SIZE" not in text
    assert "ACCUM_STEPS" not in text


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("EPOCHS: 2\nThreshold: 0.3\n", ["unknown key 'Threshold', did you mean 'THRESHOLD'"]),
        (
            "MODEL_NAME: unet\ndata: {crop: 128}\n",
            [
                "'data' is a nested key beside flat ones",
                "one kind only, flat (EPOCHS: 80) or nested",
            ],
        ),
        ("Threshold: 0.3\n", ["unknown setting 'Threshold', did you mean 'threshold'"]),
        ("data: /nowhere/at/all\n", ["data=/nowhere/at/all: neither a folder nor a data config"]),
        (
            "data: {positive: }\nseed: 1.5\n",
            ["data.positive=null must be text", "seed=1.5 must be"],
        ),
        ("data: {root: ''}\n", ["data.root is empty"]),
        ("trainer: 5\n", ["'trainer' is a section"]),
        ("augment: stron\n", ["augment=stron is not one of", "did you mean 'strong'"]),
        ("trainer: {precision: fp8}\n", ["trainer.precision='fp8' is not one of"]),
        ("THRESHOLD: 2\n", ["threshold=2 must be"]),
    ],
)
def test_mistakes_in_a_file_name_the_file(tmp_path, text, messages):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file=path)
    assert str(caught.value).startswith(f"{path}: ")
    for message in messages:
        assert message in str(caught.value)


def test_mistakes_in_file_and_words_are_told_together(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("trainer: {max_epochs: y, precision: fp8}\noptimizer: {lr: -1}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(["seed=x", "trainer.precision=fp9"], file=path)
    text = str(caught.value)
    assert f"{path}: trainer.max_epochs='y' must be" in text
    assert f"{path}: optimizer.lr=-1.0 is outside" in text
    assert "; trainer.precision='fp9' is not one of" in text  # the word wins, so it is to blame
    assert text.startswith("seed='x'") or "; seed='x'" in text


def test_a_run_whose_settings_do_not_fit_is_named(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("seed: x\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: seed='x' must be a whole number"):
        from_yaml(path)


def test_a_file_takes_the_short_forms_of_the_command_line(tmp_path):
    folder, path = tmp_path / "photos", tmp_path / "settings.yaml"
    folder.mkdir()
    path.write_text(
        f"model: unet_mini\ndata: {folder}\noptimizer: sgd\nloss: tversky\naugment: flips\n"
        "epochs: 3\ntraining: {lr: 0.5}\nscheduler:\nseed: 0\n"
    )
    config = load_config(file=path)
    words = ["model=unet_mini", f"data={folder}", "optimizer=sgd", "loss=tversky", "augment=flips"]
    assert config == load_config([*words, "epochs=3", "lr=0.5"])


def test_a_folder_stands_for_a_data_set(tmp_path):
    folder = tmp_path / "my photos (1), new"
    folder.mkdir()
    assert load_config([f"data={folder}"]).data.root == str(folder)


def test_a_config_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "any_defect").mkdir()
    config = load_config(["data=any_defect"])
    assert config.data.root is None
    assert config.data.positive == "*"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["modle=unet_mini"], ["unknown setting 'modle'", "did you mean"]),
        (
            ["trainer.max_tim=3", "sed=1"],
            ["did you mean 'trainer.max_time'", "unknown setting 'sed'"],
        ),
        (["seed=x", "optimizer.lr=fast"], ["seed='x'", "optimizer.lr='fast'"]),
        (["optimizer.lr=-1", "data.cache=gpu"], ["optimizer.lr", "data.cache='gpu' is not one of"]),
        (
            ["seed=-1", "data.split_seed=-2"],
            ["seed=-1 is outside 0 to 4294967295", "data.split_seed=-2 is outside 0"],
        ),
        (["seed=4294967296"], ["seed=4294967296 is outside"]),
        (["threshold=1.5"], ["threshold=1.5", "between 0 and 1"]),
        (["trainer.max_time=soon"], ["trainer.max_time='soon'", "15m"]),
        (["data=nowhere"], ["data=nowhere", "neither a folder nor a data config"]),
        (["augment=stron"], ["did you mean 'strong'", "default, flips, medium, none, strong"]),
        (["augment=null"], ["did you mean 'none'"]),
        (["augment={flip: {p: 0.3}}"], ["augment.flip.p=0.3"]),
        (
            ["sed=1", "seed=x", "optimizer.lr=-1", "augment=stron"],
            ["unknown setting 'sed'", "seed='x'", "optimizer.lr=-1", "augment=stron"],
        ),
        (["sed=1", "+augment=strong"], ["unknown setting 'sed'", "Multiple values"]),
        (["seed"], ["'seed' is not of the form key=value, such as data=photos/"]),
        (["=3"], ["'=3' is not of the form key=value"]),
        (["my key=3"], ["unknown setting 'my key'"]),
        (["trainer=5"], ["'trainer' is a section, not a setting", "such as trainer.max_epochs"]),
        (["THRESHOLD=0.4"], ["unknown setting 'THRESHOLD', did you mean 'threshold'?"]),
        (["EPOCHS=4", "Seed=1"], ["did you mean 'trainer.max_epochs'", "did you mean 'seed'"]),
        (
            ["data=", "data.root=", "data.positive=''", "experiment="],
            [
                "data is empty: give a folder, as in data=photos/",
                "data.root is empty: give it",
                "data.positive is empty: give it a value;",
                "experiment is empty: give it a value, or experiment=null for none",
            ],
        ),
        (
            ["seed=null", "data.classes=crack", "trainer.tensorboard=maybe", "data.thin=3"],
            [
                "seed=null must be a whole number",
                "data.classes='crack' must be a list",
                "trainer.tensorboard='maybe' must be true or false",
                "data.thin=3 must be a table",
            ],
        ),
        (["model={name: unet}"], ["model.name={'name': 'unet'} must be one name"]),
        (["data.folds=[1"], ["data.folds=[1 cannot be read: close every bracket"]),
        (
            ["evaluation.plot_format=pgn", "threshold=nan"],
            [
                "evaluation.plot_format='pgn' is not one of",
                "svg",
                "did you mean 'png'",
                "threshold=nan must be `auto` or a number between 0 and 1, both excluded",
            ],
        ),
        (["model.name=null"], ["model.name is missing"]),
    ],
)
def test_mistakes_are_explained_together(words, messages):
    with pytest.raises(ConfigError) as caught:
        load_config(words)
    for message in messages:
        assert message in str(caught.value)


def test_a_folder_without_its_key_is_told_how_to_be_given(tmp_path):
    with pytest.raises(ConfigError, match=rf"is a folder: write data={tmp_path} to use"):
        load_config([str(tmp_path)])


@pytest.mark.parametrize("name", ["PNG", ".svg", "tiff", "pdf", "rgba"])
def test_every_format_that_matplotlib_writes_is_one(name):
    assert load_config([f"evaluation.plot_format={name}"]).evaluation.plot_format == name


def test_the_formats_known_without_matplotlib_are_formats_of_it():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    assert set(_USUAL_FORMATS) <= set(FigureCanvasAgg.get_supported_filetypes())


def test_automatic_is_automatic_in_any_case(tmp_path):
    assert load_config(["threshold=AUTO"]).threshold == "auto"
    path = tmp_path / "flat.yaml"
    path.write_text('THRESHOLD: "AUTO"\nAMP: "FALSE"\n')
    config = load_config(file=path)
    assert (config.threshold, config.trainer.precision) == ("auto", "fp32")


def test_old_spellings_are_understood():
    words = ["loss.type=focal_loss", "loss.gamma=2.0", "training.num_epochs=100"]
    config = load_config([*words, "training.early_stopping_patience=15"])
    assert config.loss == {"name": "focal_loss", "gamma": 2.0}
    assert config.trainer.max_epochs == 100
    assert config.trainer.early_stopping_patience == 15


def test_a_colour_table_survives_the_round_trip(tmp_path):
    config = load_config(["data.mask_colours={leaf: [0, 176, 0], lesion: [255, 0, 0]}"])
    assert config.data.mask_colours == {"leaf": [0, 176, 0], "lesion": [255, 0, 0]}
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert load_config(file=path) == config


def test_later_files_win(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("seed: 1\noptimizer: {lr: 0.5}\n")
    second.write_text("SEED: 2\n")
    config = load_config(["trainer.ema=0.5"], file=[first, second])
    assert (config.seed, config.optimizer.lr, config.trainer.ema) == (2, 0.5, 0.5)


def test_the_loss_type_of_a_file_is_its_name(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("loss: {type: focal_loss, gamma: 2.0}\n")
    assert load_config(file=path).loss == {"name": "focal_loss", "gamma": 2.0}


def test_several_positive_classes_need_no_quotes():
    assert load_config(["data.positive=crack,hole"]).data.positive == "crack,hole"


def test_augmentations_can_be_changed_one_by_one():
    config = load_config(["~augment.colour", "augment.flip.p=0.2"])
    assert "colour" not in config.augment
    assert config.augment["flip"] == {"p": 0.2}
    assert load_config(["augment=none"]).augment == {}


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"])
def test_a_file_that_is_no_configuration(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_config(file=path)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(file=tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900),
        ("1h30m", 5400),
        ("90s", 90),
        ("45", 45),
        ("1.5m", 90),
        ("00:01:00:30", 3630),
        ("2d", 172800),
    ],
)
def test_durations(text, seconds):
    assert duration(text).total_seconds() == seconds


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=30))
def test_any_word_gives_a_config_or_one_clear_error(word):
    with contextlib.suppress(FaultlineError):  # anything else fails the test
        assert isinstance(load_config([word]), Config)
