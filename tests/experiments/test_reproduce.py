"""Whether a run repeats: bit for bit where it must, and a clear word where it does not."""

import json
import math
import subprocess
import sys

import pytest
import torch
from experiment_samples import TINY, run, silent, write_run

from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.run import RunFolder
from faultline.config import load_config
from faultline.errors import ConfigError
from faultline.experiments.compare import (
    compare_environments,
    compare_histories,
    compare_weights,
)
from faultline.experiments.reproduce import compare_runs, reproduce
from faultline.training.fit import train

WORDS = [*TINY, "model=unet_mini", "trainer.max_steps=5"]


@pytest.fixture(scope="module")
def trained(line_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    config = load_config([f"data={line_data}", f"output_dir={out}", *WORDS])
    return train(config, say=silent).run


@pytest.fixture(scope="module")
def other(line_data, tmp_path_factory):
    """The same settings with a hand on the weights: a run that did not repeat."""
    out = tmp_path_factory.mktemp("other")
    words = [f"data={line_data}", f"output_dir={out}", *WORDS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faultline.training.fit.seed_everything",
                      lambda seed, **more: torch.manual_seed(99))  # fmt: skip
        return train(load_config(words), say=silent).run


def changed_copy(source, target, change):
    """A copy of a run whose JSON files, by name, went through functions."""
    import shutil

    shutil.copytree(source.path, target)
    for name, edit in change.items():
        values = json.loads((target / name).read_text())
        edit(values)
        (target / name).write_text(json.dumps(values))
    return RunFolder(target)


class TestAgain:
    def test_the_same_bits_come_out(self, trained, tmp_path, capsys):
        assert run("reproduce", trained.path, "--save", tmp_path) == 0
        said = capsys.readouterr().out
        assert "weights      bit-identical" in said
        assert "scores       equal" in said
        assert "history      equal" in said
        assert "environment  equal" in said
        assert "identical: every bit of the weights came out again" in said
        (again,) = (tmp_path / "unet_mini-reproduced").glob("2*")
        report = json.loads((again / "reproduction.json").read_text())
        assert report["verdict"] == "identical"
        assert report["of"] == str(trained.path)

    def test_two_processes_give_the_same_bits(self, trained, line_data, tmp_path):
        words = [f"data={line_data}", f"output_dir={tmp_path}", *WORDS]
        command = [sys.executable, "-m", "faultline", "train", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        other = RunFolder.open(tmp_path / "unet_mini")
        weights = compare_weights(load_bundle(trained.path).state, load_bundle(other.path).state)
        assert weights.identical, weights
        assert compare_histories(trained.metrics_csv, other.metrics_csv) == []

    def test_changed_data_is_told_before_anything_is_trained(self, trained, tmp_path, capsys):
        def other(values):
            values["data_fingerprint"] = "0" * 64

        copy = changed_copy(trained, tmp_path / "runs" / "copy", {"provenance.json": other})
        assert run("reproduce", copy.path) == 1
        assert "other data: the data set has changed since" in capsys.readouterr().out
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["copy"]

    def test_a_run_that_is_not_finished_is_refused(self, tmp_path, capsys):
        folder = write_run(tmp_path, "a", status="interrupted")
        assert run("reproduce", folder) == 2
        assert "is not a finished run (status interrupted)" in capsys.readouterr().err
        with pytest.raises(ConfigError, match="does not exist"):
            reproduce(tmp_path / "none")

    def test_a_tolerance_below_zero(self, trained):
        with pytest.raises(ConfigError, match="--tolerance -1"):
            reproduce(trained.path, tolerance=-1)


class TestTheVerdict:
    def test_different_without_a_reason(self, trained, other, capsys):
        assert run("reproduce", trained.path, "--against", other.path) == 1
        said = capsys.readouterr().out
        assert "tensors differ, by" in said
        assert "from epoch" in said
        assert "different: nothing explains it" in said

    @pytest.mark.parametrize(
        ("deterministic", "reason"),
        [("true", "deterministic=true or not"), ("false", "only with deterministic=true")],
    )
    def test_a_gpu_need_not_repeat(self, trained, other, tmp_path, deterministic, reason):
        def on_gpu(values):
            values["device"]["type"] = "cuda"

        copies = [
            changed_copy(one, tmp_path / name, {"provenance.json": on_gpu})
            for one, name in ((trained, "first"), (other, "second"))
        ]
        for copy in copies:
            text = copy.config.read_text()
            assert "deterministic: false" in text
            copy.config.write_text(
                text.replace("deterministic: false", f"deterministic: {deterministic}")
            )
        found = compare_runs(*copies, tolerance=1.0)
        assert found.verdict == "equivalent"
        assert reason in found.reason

    def test_equivalent_where_bits_need_not_repeat(self, trained, other, tmp_path):
        def elsewhere(values):
            values["device"]["name"] = "Another CPU"

        copy = changed_copy(other, tmp_path / "copy", {"provenance.json": elsewhere})
        found = compare_runs(trained, copy, tolerance=1.0)
        assert found.verdict == "equivalent"
        assert "other device.name" in found.reason
        assert str(found.environment[0]).startswith("device.name: ")
        assert compare_runs(trained, copy, tolerance=1e-9).verdict == "different"

    def test_a_time_budget_explains_it(self, trained, other, tmp_path):
        for source, name in ((trained, "a"), (other, "b")):
            copy = changed_copy(source, tmp_path / name, {})
            text = copy.config.read_text().replace("max_time: null", "max_time: 10m")
            copy.config.write_text(text)
        found = reproduce(tmp_path / "a", against=tmp_path / "b", tolerance=1.0)
        assert found.verdict == "equivalent"
        assert "trainer.max_time" in found.reason

    def test_runs_of_other_settings_are_not_compared(self, trained, tmp_path):
        copy = changed_copy(trained, tmp_path / "copy", {})
        copy.config.write_text(copy.config.read_text().replace("seed: 0", "seed: 5"))
        with pytest.raises(ConfigError, match=r"other settings: seed: 0 -> 5"):
            reproduce(trained.path, against=copy.path)


class TestComparing:
    def test_bits(self):
        state = {"a": torch.tensor([1.0, math.nan]), "b": torch.tensor(3), "c": torch.zeros(0)}
        assert compare_weights(
            state, {key: value.clone() for key, value in state.items()}
        ).identical
        moved = {**state, "a": torch.tensor([1.5, math.nan])}
        found = compare_weights(state, moved)
        assert not found.identical
        assert found.tensor == "a"
        found = compare_weights({"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([1.0, 2.25])})
        assert str(found) == "1 tensors differ, by 0.25 at most (a)"

    def test_zero_and_minus_zero_are_other_bits(self):
        assert not compare_weights({"a": torch.tensor(0.0)}, {"a": torch.tensor(-0.0)}).identical

    @pytest.mark.parametrize(
        "other", [{}, {"a": torch.zeros(2)}, {"a": torch.zeros(1, dtype=torch.float64)}]
    )
    def test_other_tensors(self, other):
        found = compare_weights({"a": torch.zeros(1)}, other)
        assert not found.identical
        assert str(found) == "other tensors: a"

    def test_histories_part_at_an_epoch(self, tmp_path):
        first, second = tmp_path / "a.csv", tmp_path / "b.csv"
        first.write_text("epoch,seconds,val/iou\n0,1.5,0.1\n1,2.5,0.2\n2,3,0.3\n")
        second.write_text("epoch,seconds,val/iou\n0,9.5,0.1\n1,9.9,0.25\n2,12,0.3\n")
        (found,) = compare_histories(first, second)
        assert str(found) == "val/iou from epoch 1: 0.2 -> 0.25"

    def test_environments(self):
        before = {"versions": {"torch": "2.8"}, "device": {"threads": 2, "cpu_flags": ["avx2"]},
                  "command": "faultline train", "seed": 0}  # fmt: skip
        after = {**before, "versions": {"torch": "2.9"}, "command": "faultline reproduce",
                 "device": {"threads": 2, "cpu_flags": []}}  # fmt: skip
        assert [str(one) for one in compare_environments(before, after)] == [
            "versions.torch: 2.8 -> 2.9"
        ]


class TestWhatIsRecorded:
    def test_the_environment_is_complete(self, trained):
        values = json.loads(trained.provenance.read_text())
        assert {"python", "torch", "numpy", "lightning"} <= values["versions"].keys()
        assert {"type", "name", "threads", "cpus", "system", "precision", "capability",
                "memory_gib"} <= values["device"].keys()  # fmt: skip
        assert values["environment"]["OMP_NUM_THREADS"] == "1"
        assert len(values["package_hash"]) == 64
        assert values["data_fingerprint"]

    def test_speed_and_memory_are_logged_each_epoch(self, trained):
        import csv

        with trained.metrics_csv.open() as stream:
            rows = list(csv.DictReader(stream))
        assert rows
        for row in rows:
            assert float(row["images_per_second"]) > 0
            assert float(row["peak_memory_mib"]) >= float(row["memory_mib"]) - 1 > 50

    def test_results_name_the_score_that_decided(self, trained):
        results = json.loads(trained.results.read_text())
        assert results["selection"] == {"metric": "iou", "higher_is_better": True}
