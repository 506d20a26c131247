"""From a file and `key=value` words to a checked `Config`, with all mistakes in one message."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from faultline.config.faults import (
    GROUPS,
    defaults,
    group_names,
    is_open,
    leaves,
    sections,
    type_fault,
    word_fault,
)
from faultline.config.flat import from_flat, is_flat
from faultline.config.schema import OPEN_SECTIONS, Config
from faultline.config.validate import broken_rules, validate
from faultline.errors import ConfigError
from faultline.registry import did_you_mean

_NAMED = ("model", "loss", "optimizer", "scheduler")
_SEE = "see `faultline config` for every setting"
_ONE_TEXT = (
    "data.root", "data.test", "data.masks", "data.positive", "data.split_file", "output_dir",
    "prompts.table", "init.weights",
)  # fmt: skip
"""Settings whose value is text as it stands, whatever characters it holds."""
_HOME = re.compile(r"(^|[\[,:{]\s*)(~[^,:\[\]{}]*)")
"""A bare `~` at the start of a value or of one in a list, which Hydra's grammar does not know."""
_Placed = tuple[str, Path | None]
"""A word, or what is wrong with one, and the file that it is in."""
_ALIASES = {
    "loss.type": "loss.name",
    "optimizer.type": "optimizer.name",
    "training.num_epochs": "trainer.max_epochs",
    "training.early_stopping_patience": "trainer.early_stopping_patience",
    "training.batch_size": "data.batch_size",
    "training.lr": "optimizer.lr",
    "training.seed": "seed",
    "model.type": "model.name",
    "epochs": "trainer.max_epochs",
    "lr": "optimizer.lr",
    "batch_size": "data.batch_size",
}


def load_config(
    overrides: Sequence[str] = (),
    *,
    file: str | Path | Sequence[str | Path] | None = None,
    model: str | None = None,
    task_of: Callable[[str], str] | None = None,
    faults_of: Callable[[Config], list[str]] | None = None,
) -> Config:
    """Compose a run's configuration.

    Package defaults < those of the task < file < `key=value` words < `model`.

    Args:
        overrides: Words of Hydra's override grammar. `data=` also takes a folder, and `model=`,
            `loss=`, `optimizer=`, `scheduler=` a registered name.
        file: YAML with this package's nested keys or the document's flat upper-case ones; of
            several, later ones win.
        model: Model name, as given by `--model`.
        task_of: Tells the task that a model is made for, where no task is given.
        faults_of: Finds what else is wrong, such as names that no registry holds.

    Raises:
        ConfigError: Every unknown key, wrong type and value out of range, in one message that
            names the file where the mistake is in one.
    """
    own, problems = _rewritten([(word, None) for word in overrides])
    if model is not None:
        own.append((f"model.name={_quote(model)}", None))
    name = _last_value([word for word, _ in own], "model.name")
    files = [] if file is None else [file] if isinstance(file, (str, Path)) else list(file)
    from_files: list[_Placed] = []
    for path in map(Path, files):
        words, wrong = _file_words(path, name)
        from_files += words
        problems += wrong
    placed = [*from_files, *own]
    task = [(word, None) for word in _task_words([word for word, _ in placed], task_of)]
    config, problems = _filled([*task, *placed], problems)
    unclear = bool(problems)
    broken = [*broken_rules(config), *(faults_of(config) if faults_of is not None else ())]
    problems += [(text, _place(text, placed)) for text in broken]
    if problems:
        raise _together(problems, remedy=_SEE if unclear else None)
    return config


def _filled(placed: Sequence[_Placed], problems: Sequence[_Placed]) -> tuple[Config, list[_Placed]]:
    """The configuration, defaults in place of what does not fit; and `problems` with these."""
    known = defaults()
    problems, good = list(problems), []
    for word, place in placed:
        fault = word_fault(word, known)
        if fault is None:
            good.append(_open(word))
        else:
            problems.append((fault, place))
    try:
        composed = _compose(good)
    except ConfigError as error:
        raise _together([*problems, (error.what, None)], remedy=_SEE) from error
    config, mistyped = _typed(composed)
    return config, [*problems, *((text, _place(text, placed)) for text in mistyped)]


def _place(problem: str, placed: Sequence[_Placed]) -> Path | None:
    """The file that set what a problem is about; problems begin with their key."""
    match = re.match(r"[\w.]+", problem)
    key = "" if match is None else match.group()
    setters = [place for word, place in placed
               if re.match(rf"[+~]*{re.escape(key)}(\.[^=]*)?(=|$)", word)]  # fmt: skip
    return setters[-1] if setters else None


def _together(problems: Sequence[_Placed], remedy: str | None = None) -> ConfigError:
    """One error of all problems, which says of each the file that it is in."""
    texts = list(dict.fromkeys(problems))
    places = {place for _, place in texts}
    if len(places) == 1:
        return ConfigError("; ".join(text for text, _ in texts), where=places.pop(), remedy=remedy)
    told = [text if place is None else f"{place}: {text}" for text, place in texts]
    return ConfigError("; ".join(told), remedy=remedy)


def asked_threshold(
    overrides: Sequence[str] = (), *, file: str | Path | None = None
) -> float | None:
    """The threshold that words or a file set by hand; None where they leave it to the bundle.

    Raises:
        ConfigError: See `load_config`.
    """
    asked = load_config(overrides, file=file).threshold
    return None if asked == "auto" else float(asked)


def to_dataclass(composed: DictConfig | dict[str, Any]) -> Config:
    """Typed copy of a composed configuration.

    Raises:
        ConfigError: Values of the wrong type and unknown keys, all at once.
    """
    config, problems = _typed(composed)
    if problems:
        raise ConfigError("; ".join(problems), remedy=_SEE)
    return config


def _typed(composed: DictConfig | dict[str, Any]) -> tuple[Config, list[str]]:
    """The configuration, with the default in place of each value that does not fit; and those."""
    is_node = OmegaConf.is_config(composed)
    plain = OmegaConf.to_container(composed, resolve=True) if is_node else composed
    structured = OmegaConf.structured(Config)
    known = defaults()
    problems = []
    for key, value in leaves(plain):
        try:
            OmegaConf.update(structured, key, value, merge=False, force_add=is_open(key))
        except OmegaConfBaseException:
            problems.append(type_fault(key, value, known))
    return OmegaConf.to_object(structured), problems  # type: ignore[return-value]


def to_yaml(config: Config) -> str:
    """Complete, reusable YAML of `config`."""
    return str(OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config))))


def from_yaml(path: str | Path) -> Config:
    """Read back what `to_yaml` wrote (a run's `config.yaml`).

    Raises:
        ConfigError: The file cannot be read or does not fit.
    """
    try:
        return validate(to_dataclass(_read_yaml(Path(path))))
    except ConfigError as error:
        raise ConfigError(error.what, where=path, remedy=error.remedy) from error


def document_config() -> Path:
    """Path of the shipped YAML with the document's flat keys."""
    return Path(str(resources.files("faultline.config") / "document1.yaml"))


def _task_words(words: Sequence[str], task_of: Callable[[str], str] | None) -> list[str]:
    """Defaults of the task that `words` ask for, as words that come before them."""
    task, model = _last_value(words, "task"), _last_value(words, "model.name")
    if task is None and task_of is not None and model not in (None, "null"):
        task = task_of(str(model))
    path = Path(str(resources.files("faultline.config"))) / "tasks" / f"{task}.yaml"
    if not task or not path.is_file():
        return []
    return [word for word, _ in _file_words(path, model)[0]]


def _compose(words: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("faultline.config.conf", version_base="1.3"):
            return compose("config", overrides=words)
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(reason, remedy="check the override's spelling and quotes") from error


def _rewritten(placed: Sequence[_Placed]) -> tuple[list[_Placed], list[_Placed]]:
    """Words in Hydra's grammar; and what is wrong with those that cannot be rewritten."""
    words, problems = [], []
    for word, place in placed:
        try:
            words.append((_rewrite(word), place))
        except ConfigError as error:
            problems.append((str(error), place))
    return words, problems


def _rewrite(word: str) -> str:
    """Turn what people type into Hydra's grammar: folders, names and old spellings."""
    key, separator, value = word.partition("=")
    if not separator:
        return word
    bare = full_key(key.lstrip("+~"))
    if bare == "data" and value and value not in group_names("data"):
        return f"data.root={_quote(_existing_folder(value))}"
    if bare in _ONE_TEXT:
        value = _quote(value.strip("'\"")) if value != "null" else "null"
    if not {'"', "'"} & set(value):
        value = _HOME.sub(lambda found: found[1] + _quote(found[2].rstrip()), value)
    return f"{key[: len(key) - len(key.lstrip('+~'))]}{bare}={value}"


def full_key(key: str) -> str:
    """What a short key stands for: `model` for `model.name`, `lr` for `optimizer.lr`."""
    key = _ALIASES.get(key, key)
    return f"{key}.name" if key in _NAMED else key


def _existing_folder(value: str) -> str:
    folder = Path(value.strip("'\"")).expanduser()
    if not folder.is_dir():
        names = group_names("data")
        raise ConfigError(
            f"data={value}: neither a folder nor a data config{did_you_mean(value, names)}",
            remedy=f"give an existing folder, or one of: {', '.join(names)}",
        )
    return str(folder)


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("${", "\\${")


def _last_value(words: Sequence[str], key: str) -> str | None:
    values = [word.partition("=")[2].strip("'\"") for word in words if word.startswith(f"{key}=")]
    return values[-1] if values else None


def _file_words(path: Path, model: str | None) -> tuple[list[_Placed], list[_Placed]]:
    """The settings of a file as words, short forms rewritten; and what is wrong with the others."""
    values = _read_yaml(path)
    flat = is_flat(values)
    dotted, wrong = from_flat(values, model) if flat else (dict(leaves(values)), [])
    words, unreadable = _rewritten(
        [
            (_file_word(key, value), path)
            for key, value in dotted.items()
            # A section that is named with nothing in it says nothing.
            if not (value in (None, {}) and key in sections())
        ]
    )
    # A file's augmentations replace the default ones, they do not join them.
    if "augment" in values and not isinstance(values["augment"], str):
        words.insert(0, ("augment=none", path))
    return words, [*((text, path) for text in wrong), *unreadable]


def _file_word(key: str, value: Any) -> str:
    """`key: value` of a file as a word: text as people type it, where it has a short form."""
    typed = isinstance(value, str) and (key in GROUPS or key in _ONE_TEXT)
    return f"{full_key(key)}={value if typed else _literal(value)}"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise ConfigError("no such configuration file", where=path) from None
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"cannot be read as YAML: {reason}", where=path) from error
    if not isinstance(loaded, dict):
        raise ConfigError("must be a mapping of keys to values", where=path)
    return {str(key): value for key, value in loaded.items()}


def _literal(value: Any) -> str:
    """`value` in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _open(word: str) -> str:
    """Let keys of open sections be added, which Hydra otherwise refuses."""
    key = word.partition("=")[0]
    whole = key in OPEN_SECTIONS and key not in GROUPS
    return f"++{word}" if whole or is_open(word) else word
