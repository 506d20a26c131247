"""Memory runs out: the step is repeated in parts, as if nothing had been; then a clear stop."""

import csv
import json
import random

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn
from training_settings import settings, silent

from faultline.artifacts.device import is_out_of_memory
from faultline.config import load_config
from faultline.data.collate import Batch
from faultline.errors import TrainingError
from faultline.training.fit import train
from faultline.training.recovery import OutOfMemoryRecovery, cut, parts
from faultline.training.step_state import StepState


class Limit(nn.Module):
    """An allocator that has room for `most` samples while training."""

    def __init__(self, most, when="forward", error=torch.OutOfMemoryError):
        super().__init__()
        self.most, self.when, self.error = most, when, error
        self.failures = 0

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            if self.when == "forward":
                self.check(x)
            else:
                x.register_hook(self.check)
        return x

    def check(self, x):
        if len(x) > self.most:
            self.failures += 1
            raise self.error("CUDA out of memory. Tried to allocate 20.00 MiB")


class Network(nn.Module):
    """Convolution, normalisation, dropout: everything whose state a failed attempt moves."""

    def __init__(self, limit):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.limit = limit
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.last(self.limit(self.drop(self.first(x))))


class Task(pl.LightningModule):
    """The least that the callback asks of a task."""

    def __init__(self, limit, draw=True):
        super().__init__()
        self.network = Network(limit)
        self.draw = draw
        self.logged = []

    def training_step(self, batch, batch_idx):
        if self.draw:  # from every source that a step may draw from
            random.random(), np.random.rand()
        logits = self.network(batch.image)
        loss = (logits - batch.mask[:, None]).square().mean()
        self.log("loss", loss, batch_size=len(batch.ids), on_epoch=True, on_step=False)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def batches(count=1, size=8):
    generator = torch.Generator().manual_seed(3)
    return [
        Batch(
            [f"{n}-{i}" for i in range(size)],
            torch.randn(size, 3, 8, 8, generator=generator),
            torch.randn(size, 8, 8, generator=generator),
        )
        for n in range(count)
    ]


class Watch(pl.Callback):
    """Notes gradients and random states as the optimizer finds them."""

    def __init__(self):
        self.gradients, self.random = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append([p.grad.clone() for p in pl_module.parameters()])
        self.random.append((torch.get_rng_state(), random.getstate(), np.random.get_state()[1]))


def fitted(task, data, log, accumulate=1, recover=True, seed=5, **trainer):
    watch, recovery = Watch(), OutOfMemoryRecovery(log, silent)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    runner = pl.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", accumulate_grad_batches=accumulate,
        callbacks=[watch, *([recovery] if recover else [])], **trainer,
    )  # fmt: skip
    runner.fit(task, torch.utils.data.DataLoader(data, batch_size=None))
    return watch, recovery, runner


@pytest.fixture(autouse=True)
def _quiet():
    import logging
    import warnings

    before = logging.getLogger("lightning.pytorch").level
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        yield
    logging.getLogger("lightning.pytorch").setLevel(before)


def copy_of(limit, draw=True):
    torch.manual_seed(11)
    return Task(limit, draw)


class TestTheRepeatedStep:
    @pytest.mark.parametrize("when", ["forward", "backward"])
    def test_is_the_step_that_was_never_too_large(self, tmp_path, when):
        """A failure and then two halves is the same, bit for bit, as two halves from the start."""
        limit = Limit(4, when)
        failed = copy_of(limit)
        first, recovery, _ = fitted(failed, batches(), tmp_path / "a.json")
        assert limit.failures == 1
        assert recovery.micro_batch == 4
        smooth = copy_of(Limit(99))
        watch, other = Watch(), OutOfMemoryRecovery(tmp_path / "b.json", silent)
        other.micro_batch = 4
        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)
        pl.Trainer(
            max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu", callbacks=[watch, other],
        ).fit(smooth, torch.utils.data.DataLoader(batches(), batch_size=None))  # fmt: skip
        for a, b in zip(first.gradients[0], watch.gradients[0], strict=True):
            assert torch.equal(a, b)
        for a, b in zip(failed.state_dict().values(), smooth.state_dict().values(), strict=True):
            assert torch.equal(a, b)  # running averages and their counter too
        assert torch.equal(first.random[0][0], watch.random[0][0])
        assert first.random[0][1] == watch.random[0][1]
        assert np.array_equal(first.random[0][2], watch.random[0][2])

    def test_adds_up_as_accumulation_does(self, tmp_path):
        """Halves of one batch equal Lightning's accumulation over two batches of that size."""
        whole = batches()[0]
        split = copy_of(Limit(4), draw=False)
        watch, _, runner = fitted(split, [whole], tmp_path / "a.json", seed=5)
        halves = [cut(whole, 0, 4), cut(whole, 4, 8)]
        usual = copy_of(Limit(99), draw=False)
        other, _, reference = fitted(usual, halves, tmp_path / "b.json", accumulate=2,
                                     recover=False, seed=5)  # fmt: skip
        for a, b in zip(watch.gradients[0], other.gradients[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
        for a, b in zip(split.state_dict().values(), usual.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        one, two = (r.callback_metrics["loss"] for r in (runner, reference))
        assert one.item() == pytest.approx(two.item(), rel=1e-5)

    def test_without_a_failure_nothing_changes_bit_for_bit(self, tmp_path):
        plain, guarded = copy_of(Limit(99)), copy_of(Limit(99))
        fitted(plain, batches(3), tmp_path / "a.json", recover=False)
        fitted(guarded, batches(3), tmp_path / "b.json")
        for a, b in zip(plain.state_dict().values(), guarded.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        assert not (tmp_path / "b.json").exists()

    @pytest.mark.parametrize("accumulate", [2, 3])
    def test_gradients_of_batches_before_it_are_kept(self, tmp_path, accumulate):
        """The failure comes in the last of the accumulated batches."""
        data = batches(accumulate)
        small = [cut(batch, 0, 4) for batch in data[:-1]]
        a, b = copy_of(Limit(4), draw=False), copy_of(Limit(99), draw=False)
        first, *_ = fitted(a, [*small, data[-1]], tmp_path / "a.json", accumulate=accumulate)
        recovery = OutOfMemoryRecovery(tmp_path / "b.json", silent)
        recovery.micro_batch = 4
        watch = Watch()
        torch.manual_seed(5)
        pl.Trainer(
            max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu", accumulate_grad_batches=accumulate,
            callbacks=[watch, recovery],
        ).fit(b, torch.utils.data.DataLoader([*small, data[-1]], batch_size=None))  # fmt: skip
        for x, y in zip(first.gradients[0], watch.gradients[0], strict=True):
            assert torch.equal(x, y)

    def test_loss_is_logged_once_however_often_it_was_tried(self, tmp_path):
        task = copy_of(Limit(1), draw=False)
        calls = []
        own = task.log
        task.log = lambda *a, **k: calls.append(a) or own(*a, **k)
        fitted(task, batches(), tmp_path / "a.json")
        # 8 -> 4 -> 2 -> 1: the three failures log nothing, the eight parts one value each.
        assert len(calls) == 8

    def test_later_steps_start_with_the_size_that_fitted(self, tmp_path):
        limit = Limit(3)
        _, recovery, _ = fitted(copy_of(limit), batches(4), tmp_path / "a.json")
        assert recovery.micro_batch == 2
        assert limit.failures == 2  # both in the first step

    @pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
    def test_under_autocast_too(self, tmp_path, precision):
        limit = Limit(4, "backward")
        task = copy_of(limit)
        watch, *_ = fitted(task, batches(2), tmp_path / "a.json", precision=precision)
        assert limit.failures == 1
        assert all(g.dtype == torch.float32 and g.isfinite().all() for g in watch.gradients[-1])

    def test_the_words_of_a_cpu_allocator_count_too(self, tmp_path):
        def refuse(message):
            return RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried")

        limit = Limit(4, error=refuse)
        fitted(copy_of(limit), batches(), tmp_path / "a.json")
        assert limit.failures == 1


class TestTheEnd:
    def test_gradient_checkpointing_comes_before_the_stop(self, tmp_path):
        lines = []
        task = copy_of(Limit(0))
        recovery = OutOfMemoryRecovery(tmp_path / "oom_log.json", lines.append)
        runner = pl.Trainer(
            max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu", callbacks=[recovery],
        )  # fmt: skip
        with pytest.raises(TrainingError, match="not enough for one sample") as caught:
            runner.fit(task, torch.utils.data.DataLoader(batches(), batch_size=None))
        assert "use a smaller data.crop" in str(caught.value)
        events = json.loads((tmp_path / "oom_log.json").read_text())["events"]
        assert [event["micro_batch"] for event in events] == [4, 2, 1, 1, 1]
        assert [event["accumulation"] for event in events] == [2, 4, 8, 8, 8]
        assert [event["gradient_checkpointing"] for event in events] == [*[False] * 3, True, True]
        assert [event["stopped"] for event in events] == [*[False] * 4, True]
        assert {"time", "epoch", "step", "device", "memory", "message"} <= set(events[0])
        assert "out of memory at 8 samples" in lines[0]
        assert len(lines) == 4

    def test_other_errors_are_not_taken_for_it(self, tmp_path):
        def mistake(message):
            return RuntimeError("shapes cannot be multiplied")

        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            fitted(copy_of(Limit(4, error=mistake)), batches(), tmp_path / "a.json")
        assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


class TestParts:
    @pytest.mark.parametrize(("size", "at_once"), [(8, 3), (8, 8), (5, 2), (1, 1), (4, 100)])
    def test_every_sample_is_in_one_part_and_shares_add_up(self, size, at_once):
        batch = batches(1, size)[0]
        found = list(parts(batch, at_once))
        assert [name for part, _ in found for name in part.ids] == batch.ids
        assert torch.equal(torch.cat([part.image for part, _ in found]), batch.image)
        assert sum(share for _, share in found) == pytest.approx(1.0)
        assert max(len(part.ids) for part, _ in found) == min(size, at_once)

    def test_fields_that_are_not_a_sample_each_stay_whole(self):
        from dataclasses import dataclass

        @dataclass
        class Mixed:
            ids: list
            frames: torch.Tensor
            scale: torch.Tensor
            extra: dict
            name: str
            nothing: None = None

        mixed = Mixed(["a", "b"], torch.arange(4).view(2, 2), torch.tensor(3.0),
                      {"n": torch.tensor([5, 6]), "k": 1}, "ab")  # fmt: skip
        part = cut(mixed, 1, 2)
        assert part.ids == ["b"]
        assert part.frames.tolist() == [[2, 3]]
        assert part.extra["n"].tolist() == [6]
        assert (part.scale.item(), part.extra["k"], part.name) == (3.0, 1, "ab")


def test_step_state_puts_everything_back():
    layer = nn.BatchNorm2d(3).train()
    state = StepState(layer, torch.device("cpu"))
    state.take()
    expected = (torch.rand(3), np.random.rand(3), random.random())
    layer(torch.randn(4, 3, 5, 5))
    assert layer.num_batches_tracked == 1
    state.restore()
    assert layer.num_batches_tracked == 0
    assert torch.equal(layer.running_mean, torch.zeros(3))
    again = (torch.rand(3), np.random.rand(3), random.random())
    assert torch.equal(expected[0], again[0])
    assert np.array_equal(expected[1], again[1])
    assert expected[2] == again[2]


class TestInATraining:
    def test_goes_on_and_says_so(self, line_data, tmp_path, monkeypatch):
        limit_batches(monkeypatch, 2)
        lines = []
        result = train(settings(line_data, tmp_path, "trainer.max_epochs=2"), say=lines.append)
        assert result.results["status"] == "finished"
        events = json.loads((result.run.path / "oom_log.json").read_text())["events"]
        assert [event["micro_batch"] for event in events] == [2]
        assert any("repeated with 2 at a time x 2" in line for line in lines)
        with result.run.metrics_csv.open() as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == 2
        assert all(np.isfinite(float(row["train/loss"])) for row in rows)

    def test_a_resumed_training_keeps_the_size(self, line_data, tmp_path, monkeypatch):
        limit_batches(monkeypatch, 2)
        first = train(settings(line_data, tmp_path, "trainer.max_epochs=1"), say=silent)
        text = first.run.config.read_text().replace("max_epochs: 1", "max_epochs: 2")
        first.run.config.write_text(text)
        again = train(load_config(), say=silent, resume=first.run.path)
        assert again.results["epochs"] == 2
        events = json.loads((again.run.path / "oom_log.json").read_text())["events"]
        assert len(events) == 1

    def test_too_little_for_anything_stops_in_one_line(self, line_data, tmp_path, monkeypatch):
        limit_batches(monkeypatch, 0)
        with pytest.raises(TrainingError, match="not enough for one sample at a time"):
            train(settings(line_data, tmp_path, "trainer.max_epochs=1"), say=silent)

    def test_running_out_in_validation_is_said_too(self, line_data, tmp_path, monkeypatch):
        from faultline.predict.predictor import Predictor

        def refuse(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(Predictor, "predict_batch", refuse)
        with pytest.raises(TrainingError, match="outside of a training step"):
            train(settings(line_data, tmp_path, "trainer.max_epochs=1"), say=silent)


def limit_batches(monkeypatch, most):
    """Let the network run out of memory above `most` samples while training."""
    from faultline.training.segmentation_task import SegmentationTask

    forward = SegmentationTask.forward

    def limited(self, pixels):
        if self.training and len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, pixels)

    monkeypatch.setattr(SegmentationTask, "forward", limited)
