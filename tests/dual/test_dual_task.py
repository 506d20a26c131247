"""What a phase moves and what it leaves: parameters, running averages, learning rates."""

import numpy as np
import pytest
import torch
from tiny_dual import TINY

from faultline.artifacts.bundle import Bundle, load_bundle, save_bundle
from faultline.config import load_config
from faultline.config.schema import OptimizerConfig, PhaseConfig, SchedulerConfig
from faultline.data.dual_dataset import DualBatch
from faultline.errors import BundleError, ConfigError
from faultline.models import create_model
from faultline.models.dual_head import DualLogits
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.dual_head import classes_of, masks_of
from faultline.predict.predictor import Predictor
from faultline.training.dual_rollback import decide
from faultline.training.dual_rules import dual_faults
from faultline.training.dual_task import DualHeadTask
from faultline.training.kinds import setting_faults, training_config
from faultline.training.memory import Tier
from faultline.training.tiers import DOCUMENT_TIERS, apply_tier, choose_tier
from faultline.types import LabelKind, LabelSpace

MASKS = LabelSpace(LabelKind.MULTILABEL, ("background", "bar", "spot"))
CLASSES = LabelSpace(LabelKind.MULTICLASS, ("bar", "clean", "spot"))
A, B, C = (getattr(load_config().phases, name) for name in "abc")


def make_task():
    torch.manual_seed(0)
    return DualHeadTask(
        {"name": "tiny_dual"}, {"name": "bce_dice"}, "cross_entropy", MASKS, CLASSES,
        np.eye(3, dtype=np.uint8), OptimizerConfig(), SchedulerConfig("none"),
    )  # fmt: skip


def batch():
    generator = torch.Generator().manual_seed(1)
    return DualBatch(
        list("abcd"),
        torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8),
        torch.tensor([0, 1, 2, 0]),
        torch.randint(0, 2, (4, 3, 32, 32), generator=generator, dtype=torch.uint8),
        torch.tensor([1.0, 0.5, 0.0, 1.0]),
    )


def step(task, monkeypatch, times=2):
    """Optimizer steps as Lightning would make them, without its trainer."""
    monkeypatch.setattr(task, "log", lambda *args, **named: None)
    optimizer = task.configure_optimizers()
    for _ in range(times):
        optimizer.zero_grad()
        task.training_step(batch(), 0).backward()
        optimizer.step()


def moved(before, after):
    """Parts of the network of which any tensor, running averages included, has changed."""
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("phase", "parts"),
    [(A, {"decoder"}), (B, {"backbone", "decoder", "head"}), (C, {"backbone", "head"})],
)
def test_what_a_phase_freezes_does_not_move(phase, parts, monkeypatch):
    task = make_task()
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    task.enter("x", phase, SchedulerConfig("none"))
    # Lightning puts the module into training mode again after each validation.
    task.eval()
    task.train()
    step(task, monkeypatch)
    after = task.network.state_dict()
    assert moved(before, after) == parts
    averages = [name for name in before if "running_mean" in name]
    own = {name: before[name] for name in averages}
    assert moved(own, after) == parts - {"head"}


def test_each_part_has_its_learning_rate():
    task = make_task()
    rates = {}
    for name, phase in {"a": A, "b": B, "c": C}.items():
        task.enter(name, phase, SchedulerConfig("none"))
        optimizer = task.configure_optimizers()
        rates[name] = {group["name"]: group["lr"] for group in optimizer.param_groups}
        held = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        assert held == sum(p.numel() for p in task.network.parameters() if p.requires_grad)
    assert rates == {
        "a": {"masks": 1e-3},
        "b": {"backbone": 1e-5, "masks": 1e-4, "classes": 1e-4},
        "c": {"backbone": 1e-6, "classes": 1e-4},
    }


def test_the_loss_of_phase_b_has_the_proportions_of_the_document(monkeypatch):
    task, logged = make_task(), {}
    task.enter("b", B, SchedulerConfig("none"))
    monkeypatch.setattr(task, "log", lambda name, value, **named: logged.update({name: value}))
    loss = task.training_step(batch(), 0)
    own = 0.4 * logged["train/loss_masks"] + 0.6 * logged["train/loss_classes"]
    assert loss.item() == pytest.approx(own.item())


def test_the_decoder_is_not_run_where_nothing_asks_for_masks():
    task = make_task()
    task.enter("c", PhaseConfig(1, 1, 0.0, 0.0, 1e-4, 0.0, 1.0), SchedulerConfig("none"))
    assert task(batch().image).shape == (4, 3)
    task.enter("c", C, SchedulerConfig("none"))
    assert isinstance(task(batch().image), DualLogits)


def bundle_of(task):
    return Bundle(
        "tiny_dual", task.model_settings, MASKS, task.network.state_dict(), task="dual_head",
        extra={"classes": CLASSES.to_dict()},
    )  # fmt: skip


def test_a_bundle_answers_as_its_network_does(tmp_path):
    task = make_task().eval()
    image = batch().image
    both = task(image)
    save_bundle(tmp_path / "best.safetensors", bundle_of(task))
    bundle = load_bundle(tmp_path / "best.safetensors")
    pictures = list(image.permute(0, 2, 3, 1).numpy())
    masks = Predictor(masks_of(bundle), "cpu", "fp32").predict_batch(pictures)
    found = torch.from_numpy(np.stack([one.probability for one in masks]))
    assert torch.allclose(found, both.masks.sigmoid(), atol=1e-5)
    named = ClassPredictor(classes_of(bundle), "cpu", "fp32").predict_batch(pictures)
    found = torch.from_numpy(np.stack([one.probability for one in named]))
    assert torch.allclose(found, both.classes.softmax(1), atol=1e-5)
    # The background is no foreground.
    assert masks[0].first == 1
    assert np.array_equal(masks[0].foreground, masks[0].mask[1:].any(0))


def test_only_a_bundle_of_two_heads_is_seen_as_two():
    with pytest.raises(BundleError, match="not of two heads"):
        masks_of(Bundle("unet_mini", {}, MASKS, {}))


@pytest.mark.parametrize("answer", ["classes", "masks"])
def test_one_head_answers_as_it_does_beside_the_other(answer):
    both = create_model("dual_head", num_classes=3, num_masks=2, backbone="mobile_one").eval()
    alone = create_model(
        "dual_head", num_classes=3, num_masks=2, backbone="mobile_one", answer=answer
    ).eval()
    alone.load_state_dict(both.state_dict())
    x = torch.rand(1, 3, 50, 64)
    with torch.inference_mode():
        assert torch.equal(alone(x), getattr(both(x), answer))


def test_checkpointing_of_the_decoder_changes_no_gradient():
    x = torch.rand(2, 3, 64, 64)
    found = []
    for enable in (False, True):
        torch.manual_seed(0)
        model = create_model("dual_head", num_masks=2, backbone="mobile_one").train()
        model.decoder.set_grad_checkpointing(enable)
        model(x).masks.square().mean().backward()
        found.append([p.grad for p in model.decoder.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("before", "after", "iou", "rolled_back", "reasons"),
    [
        (0.90, 0.896, 0.60, False, 0),
        (0.90, 0.895, 0.50, False, 0),
        (0.90, 0.894, 0.60, True, 1),
        (0.90, 0.95, 0.499, True, 1),
        (0.90, 0.80, 0.10, True, 2),
        (None, 0.10, 0.60, False, 0),
        (0.90, float("nan"), float("nan"), True, 2),
    ],
)
def test_when_a_phase_is_rolled_back(before, after, iou, rolled_back, reasons):
    found = decide(before, after, iou, 0.005, 0.5)
    assert found["rolled_back"] is rolled_back
    assert len(found["reasons"]) == reasons


def tier_config(*words):
    return training_config(["model=dual_head", *words])


@pytest.mark.parametrize(
    ("backbone", "tier", "batch", "batches", "width", "skip"),
    [
        ("efficient_net", Tier.LIGHT, 32, 1, 256, 48),
        ("conv_next", Tier.MEDIUM, 16, 2, 256, 48),
        ("csp_darknet", Tier.HIGH, 8, 4, 192, 32),
        ("swin", Tier.HEAVY, 4, 8, 128, 32),
    ],
)
def test_the_documents_tiers(backbone, tier, batch, batches, width, skip):
    config = tier_config(f"model.backbone={backbone}", "model.size=full")
    choice = choose_tier(config)
    assert choice.tier is tier
    assert choice.settings.checkpointing is (tier is Tier.HEAVY)
    apply_tier(config)
    assert (config.data.batch_size, config.trainer.accumulate) == (batch, batches)
    assert (config.model["decoder_channels"], config.model["skip_channels"]) == (width, skip)


def test_every_tier_makes_the_same_effective_batch():
    for name in DOCUMENT_TIERS:
        config = tier_config(f"model.backbone={name}", "model.size=full")
        apply_tier(config)
        assert config.data.batch_size * config.trainer.accumulate == 32


def test_what_is_set_by_hand_stays():
    config = tier_config(
        "model.backbone=swin", "model.size=full", "data.batch_size=6", "model.decoder_channels=40",
        "tiers.effective_batch=24",
    )  # fmt: skip
    apply_tier(config)
    assert (config.data.batch_size, config.trainer.accumulate) == (6, 4)
    assert (config.model["decoder_channels"], config.model["skip_channels"]) == (40, 32)
    nano = tier_config("model.backbone=swin")
    assert "nano" in apply_tier(nano)
    assert "decoder_channels" not in nano.model
    named = tier_config("model.backbone=swin", "tiers.tier=HIGH")
    apply_tier(named)
    assert (named.data.batch_size, named.model["decoder_channels"]) == (8, 192)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trainer.max_epochs=3"], "phases.a.epochs"),
        (["optimizer.lr=0.1"], "phases.a.lr_masks"),
        (["trainer.early_stopping_patience=3"], "phases.a.patience"),
        (["trainer.devices=2"], "one device"),
        (["phases.class_loss=nonsense"], "phases.class_loss"),
        (["phases.a.epochs=0", "phases.b.epochs=0", "phases.c.epochs=0"], "no phase has an epoch"),
        (["phases.a.loss_masks=0"], "phases.a.loss_masks and loss_classes are both 0"),
        (["phases.a.lr_masks=0"], "nothing that its losses teach has a learning rate"),
        (["phases.b.loss_masks=-1"], "phases.b.loss_masks=-1.0 is outside"),
        (["phases.d.epochs=1"], "unknown setting 'phases.d.epochs'"),
        (["phases.b.epochs=many"], "phases.b.epochs='many' must be a whole number"),
    ],
)
def test_settings_that_are_wrong_say_what_to_use(words, said):
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        training_config(["model=dual_head", *words])


def test_settings_of_two_heads_are_refused_elsewhere():
    words = ["model=unet_mini", "data.batch_size=0", "trainer.accumulate=0", "init.weights=x"]
    with pytest.raises(ConfigError) as caught:
        training_config(words)
    for key in ("data.batch_size=0", "trainer.accumulate=0", "init.weights=x"):
        assert f"{key}: only model=dual_head has it" in str(caught.value)


def test_the_defaults_are_those_of_the_document():
    assert setting_faults(tier_config()) == []
    assert dual_faults(training_config(TINY), ["dual_head"]) == []
    assert [(one.epochs, one.patience) for one in (A, B, C)] == [(30, 5), (25, 5), (15, 3)]
    assert (B.loss_masks, B.loss_classes) == (0.4, 0.6)
