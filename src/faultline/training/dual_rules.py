"""Settings that belong to the dual-head network alone, and those that it has in another place."""

from __future__ import annotations

from faultline.config.schema import Config, OptimizerConfig, TrainerConfig
from faultline.errors import ConfigError
from faultline.losses import LOSSES
from faultline.tasks import AUTO, DUAL_HEAD

AUTO_LOSS = "auto"


def dual_faults(config: Config, made_for: list[str]) -> list[str]:
    """What is wrong with these settings, one sentence each.

    Args:
        config: Settings.
        made_for: Tasks that the model is made for.
    """
    asked = made_for[:1] if config.task == AUTO else [config.task]
    return _own_faults(config) if asked == [DUAL_HEAD] else _foreign_faults(config)


def _foreign_faults(config: Config) -> list[str]:
    used = {
        "data.batch_size=0": not config.data.batch_size,
        "trainer.accumulate=0": not config.trainer.accumulate,
        f"data.masks={config.data.masks}": config.data.masks is not None,
        f"init.weights={config.init.weights}": config.init.weights is not None,
    }
    return [f"{word}: only model=dual_head has it" for word, given in used.items() if given]


def _own_faults(config: Config) -> list[str]:
    trainer, phases = config.trainer, config.phases
    problems = []
    elsewhere = {
        "trainer.max_epochs": (trainer.max_epochs, TrainerConfig.max_epochs, "phases.a.epochs"),
        "trainer.max_steps": (trainer.max_steps, TrainerConfig.max_steps, "phases.a.epochs"),
        "trainer.early_stopping_patience": (
            trainer.early_stopping_patience, TrainerConfig.early_stopping_patience,
            "phases.a.patience",
        ),
        "optimizer.lr": (config.optimizer.lr, OptimizerConfig.lr, "phases.a.lr_masks"),
    }  # fmt: skip
    for key, (value, default, own) in elsewhere.items():
        if value != default:
            problems.append(
                f"{key}={value}: a dual-head training sets it for each phase: {own} and the like"
            )
    if trainer.devices > 1:
        problems.append("trainer.devices: a dual-head training runs its phases on one device")
    if phases.class_loss != AUTO_LOSS:
        try:
            LOSSES.get(phases.class_loss)
        except ConfigError as error:
            problems.append(f"phases.class_loss: {error}")
    for name in ("a", "b", "c"):
        problems += _phase_faults(config, name)
    if not any(getattr(phases, name).epochs for name in ("a", "b", "c")):
        problems.append("phases.a.epochs: no phase has an epoch")
    return problems


def _phase_faults(config: Config, name: str) -> list[str]:
    phase = getattr(config.phases, name)
    if not phase.epochs:
        return []
    problems = []
    if not phase.loss_masks and not phase.loss_classes:
        problems.append(f"phases.{name}.loss_masks and loss_classes are both 0")
    taught = {
        "masks": phase.loss_masks and (phase.lr_masks or phase.lr_backbone),
        "classes": phase.loss_classes and (phase.lr_classes or phase.lr_backbone),
    }
    if not any(taught.values()):
        problems.append(f"phases.{name}: nothing that its losses teach has a learning rate")
    return problems
