"""Ablations: they run, they go on where they were stopped, and one failure stops nothing else."""

import csv
import json
import os
import shutil

import pytest
import torch
from experiment_samples import TINY, run, silent
from filelock import FileLock

from faultline.errors import ConfigError, TrainingError
from faultline.experiments.ablate import ablate
from faultline.experiments.plan import make_plan, save_plan
from faultline.experiments.points import newest_run, read_state, run_point
from faultline.experiments.runners import has_test_items, kind_of_run, kind_of_words


@pytest.fixture(scope="module")
def finished(line_data, tmp_path_factory):
    """A finished ablation of two models, and the words that made it."""
    out = tmp_path_factory.mktemp("ablation")
    words = [f"data={line_data}", *TINY, "model=unet_mini,scratch_ed", "seed=0",
             f"output_dir={out}", "experiment=small"]  # fmt: skip
    assert run("ablate", *words) == 0
    return out / "small", words


def runs_of(folder):
    return sorted(path.parent for path in folder.glob("*/2*/config.yaml"))


def last_weights(folder):
    path = newest_run(folder) / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=False)["state_dict"]


class TestTheWholeWay:
    def test_every_point_is_trained_and_evaluated(self, finished):
        folder, _ = finished
        stored = json.loads((folder / "ablation.json").read_text())
        assert len(stored["points"]) == 2
        for row in stored["points"]:
            state = json.loads((folder / row["folder"] / "state.json").read_text())
            assert state["status"] == "finished"
            run_folder = folder / row["folder"] / state["run"]
            assert (run_folder / "metrics_test.json").is_file()
            assert row["folder"].endswith(row["id"])

    def test_the_table_is_beside_them(self, finished):
        folder, _ = finished
        with (folder / "summary.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert {(row["model"], row["seed"]) for row in rows} == {
            ("unet_mini", "0"), ("scratch_ed", "0")
        }  # fmt: skip
        assert all(row["status"] == "finished" and float(row["flops"]) > 1e6 for row in rows)
        assert all(row["test/iou"] and row["validation/iou"] for row in rows)
        page = (folder / "summary.md").read_text()
        assert "| model.name | runs |" in page
        assert "| scratch_ed | 1 |" in page
        assert (folder / "curves.png").stat().st_size > 1000

    def test_the_same_command_repeats_nothing(self, finished, capsys):
        folder, words = finished
        before = runs_of(folder)
        assert run("ablate", *words) == 0
        assert run("ablate", "--resume", folder) == 0
        assert runs_of(folder) == before
        assert "2 runs, 2 finished" in capsys.readouterr().out

    def test_a_dry_run_shows_how_far_each_point_got(self, finished, capsys):
        folder, words = finished
        assert run("ablate", *words, "seed=0,1", "--dry-run") == 0
        shown = capsys.readouterr().out
        assert "4 runs, 2 finished" in shown
        assert "seed=0 model.name=scratch_ed  [finished]" in shown
        assert "seed=1 model.name=scratch_ed  [missing]" in shown
        assert len(runs_of(folder)) == 2

    def test_a_dry_run_leaves_nothing(self, line_data, tmp_path):
        words = [f"data={line_data}", "seed=0,1", f"output_dir={tmp_path / 'runs'}"]
        assert run("ablate", *words, "--dry-run") == 0
        assert not (tmp_path / "runs").exists()


class TestAKilledSweep:
    def test_goes_on_with_what_is_missing(self, line_data, tmp_path, monkeypatch):
        """Killed after the resume point of step 2 of 4, in the second of two runs."""
        words = [f"data={line_data}", *TINY, "model=unet_mini", "seed=0,1",
                 "trainer.max_steps=4", "trainer.checkpoint_every_steps=2"]  # fmt: skip
        whole = make_plan([*words, f"output_dir={tmp_path / 'whole'}", "seed=1"])
        save_plan(whole, "")
        ablate(whole, silent)
        plan = make_plan([*words, f"output_dir={tmp_path / 'cut'}"])
        save_plan(plan, "")
        self.kill(plan, monkeypatch)
        first, second = (plan.folder / point.folder for point in plan.points)
        assert read_state(first).status == "finished"
        assert read_state(second).status == "running"
        run_before = newest_run(second)
        assert run("ablate", "--resume", plan.folder) == 0
        assert read_state(second).status == "finished"
        assert [newest_run(second)] == list(second.glob("2*")) == [run_before]
        assert len(list(first.glob("2*"))) == 1
        a, b = last_weights(whole.folder / whole.points[0].folder), last_weights(second)
        assert all(torch.equal(a[key], b[key]) for key in a)

    @staticmethod
    def kill(plan, monkeypatch):
        from faultline.training.resume import ResumePoints

        class Killed(BaseException):
            pass

        save, deaths = ResumePoints.save, []

        def save_and_die(self, trainer):
            save(self, trainer)
            if "seed1" in str(self.path) and trainer.global_step >= 2:
                deaths.append(trainer.global_step)
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(ResumePoints, "save", save_and_die)
            with pytest.raises(Killed):
                ablate(plan, silent)
        assert deaths == [2]


def plain_plan(tmp_path, *words):
    plan = make_plan(["task=plain", f"output_dir={tmp_path}", *words])
    save_plan(plan, "")
    return plan


class TestFailures:
    def test_one_failing_point_stops_nothing_else(self, line_data, tmp_path, capsys):
        words = [f"data={line_data}", *TINY, "model=unet_mini", f"output_dir={tmp_path}",
                 f'data.test="{tmp_path}/none","{line_data}/test"']  # fmt: skip
        assert run("ablate", *words) == 1
        shown = capsys.readouterr().out
        assert "FAILED data.test=" in shown
        assert "1 of 2 runs failed" in shown
        states = [json.loads(path.read_text()) for path in tmp_path.glob("ablation/*/state.json")]
        assert sorted(state["status"] for state in states) == ["failed", "finished"]
        (failed,) = [state for state in states if state["status"] == "failed"]
        assert "none" in failed["error"]
        assert list(tmp_path.glob("ablation/*/error.txt"))
        assert (tmp_path / "ablation" / "summary.csv").is_file()

    def test_a_crash_is_told_in_one_line_and_tried_again(self, tmp_path, plain):
        def crash(folder):
            raise IndexError("list index out of range\nand more")

        plain.behaviour[("a", 1)] = crash
        plan = plain_plan(tmp_path, "seed=0,1,2")
        ended = ablate(plan, silent)
        assert [state.status for _, state in ended.states] == ["finished", "failed", "finished"]
        ((point, state),) = ended.failed
        assert state.error == "IndexError: list index out of range"
        assert "Traceback" in (plan.folder / point.folder / "error.txt").read_text()
        plain.behaviour.clear()
        again = ablate(plan, silent)
        assert not again.failed
        assert not (plan.folder / point.folder / "error.txt").exists()
        # Begun anew: what failed is kept under a hidden name.
        assert plain.trained == [("a", 0), ("a", 1), ("a", 2), ("a", 1)]
        assert plain.resumed == []
        names = [path.name for path in (plan.folder / point.folder).iterdir() if path.is_dir()]
        assert sum(name.startswith(".") for name in names) == 1

    def test_a_failed_evaluation_does_not_train_again(self, tmp_path, plain, monkeypatch):
        def fail(run, say):
            raise TrainingError("disk full")

        plan = plain_plan(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(plain, "evaluate", fail)
            assert ablate(plan, silent).failed[0][1].error == "disk full"
        assert not ablate(plan, silent).failed
        assert plain.trained == [("a", 0)]
        assert len(plain.evaluated) == 1


class TestInterruptions:
    def test_an_interrupted_training_ends_the_sweep_and_goes_on(self, tmp_path, plain):
        plain.behaviour[("a", 1)] = lambda folder: True
        plan = plain_plan(tmp_path, "seed=0,1,2")
        ended = ablate(plan, silent)
        assert ended.interrupted
        assert [state.status for _, state in ended.states] == ["finished", "interrupted", "missing"]
        plain.behaviour.clear()
        assert not ablate(plan, silent).interrupted
        assert plain.trained == [("a", 0), ("a", 1), ("a", 2)]
        assert plain.resumed == [("a", 1)]

    def test_the_command_says_how_to_go_on(self, tmp_path, plain, capsys):
        plain.behaviour[("a", 0)] = lambda folder: True
        assert run("ablate", "task=plain", f"output_dir={tmp_path}") == 130
        assert f"faultline ablate --resume {tmp_path / 'ablation'}" in capsys.readouterr().out

    def test_ctrl_c_while_evaluating_is_noted(self, tmp_path, plain, monkeypatch):
        def stop(run, say):
            raise KeyboardInterrupt

        plan = plain_plan(tmp_path)
        monkeypatch.setattr(plain, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            ablate(plan, silent)
        assert read_state(plan.folder / plan.points[0].folder).status == "interrupted"

    def test_killed_before_its_first_resume_point_it_begins_anew(self, tmp_path, plain):
        class Killed(BaseException):
            pass

        def die(folder):
            folder.last_checkpoint.unlink()
            raise Killed

        plain.behaviour[("a", 0)] = die
        plan = plain_plan(tmp_path)
        with pytest.raises(Killed):
            ablate(plan, silent)
        plain.behaviour.clear()
        assert ablate(plan, silent).states[0][1].status == "finished"
        assert plain.trained == [("a", 0), ("a", 0)]
        assert len(list((plan.folder / plan.points[0].folder).glob("2*"))) == 1

    def test_a_run_that_was_deleted_is_made_again(self, tmp_path, plain):
        plan = plain_plan(tmp_path, "seed=0,1")
        ablate(plan, silent)
        shutil.rmtree(newest_run(plan.folder / plan.points[0].folder))
        assert ablate(plan, silent).states[0][1].status == "finished"
        assert plain.trained == [("a", 0), ("a", 1), ("a", 0)]

    def test_a_damaged_state_counts_as_missing(self, tmp_path, plain):
        plan = plain_plan(tmp_path)
        ablate(plan, silent)
        (plan.folder / plan.points[0].folder / "state.json").write_text("{")
        ablate(plan, silent)
        # The run itself says that it is finished.
        assert plain.trained == [("a", 0)]


class TestTwoAtWork:
    def test_are_refused(self, tmp_path, plain, capsys):
        plan = plain_plan(tmp_path)
        with FileLock(plan.folder / ".lock"):
            assert run("ablate", "--resume", plan.folder) == 2
        assert "another `faultline ablate` is running in this folder" in capsys.readouterr().err
        assert not plain.trained

    def test_fewer_than_one_at_a_time(self, tmp_path, plain, capsys):
        assert run("ablate", "task=plain", f"output_dir={tmp_path}", "--jobs", "0") == 2
        assert "--jobs 0" in capsys.readouterr().err


class TestKinds:
    def test_the_task_names_the_kind(self):
        assert kind_of_words(["seed=0", "task=speech"]) == ("speech", ["seed=0"])
        words = ["task=classification", "seed=0"]
        assert kind_of_words(words) == ("pictures", words)

    def test_items_to_test_on(self, tmp_path):
        (tmp_path / "splits.json").write_text('{"test": [{"id": "x"}]}')
        assert has_test_items(tmp_path)
        (tmp_path / "splits.json").write_text('{"train": [], "test": []}')
        assert not has_test_items(tmp_path)
        (tmp_path / "splits.json").write_text("{")
        with pytest.raises(ConfigError, match="cannot be read"):
            has_test_items(tmp_path)

    def test_of_a_run(self):
        assert kind_of_run({"task": "segmentation"}) == "pictures"
        assert kind_of_run({"frontend": {}}) == "speech"

    def test_without_a_test_set_nothing_is_evaluated(self, tmp_path, plain):
        lines = []
        plain.test_set = False
        plan = plain_plan(tmp_path)
        state = run_point(plan.folder / plan.points[0].folder, "plain", lines.append)
        assert state.status == "finished"
        assert state.evaluation is None
        assert plain.evaluated == []
        assert "no test set: scores are of validation" in lines


@pytest.mark.slow
class TestSideBySide:
    def test_ray_runs_them_in_processes_of_their_own(self, line_data, tmp_path, capsys):
        pytest.importorskip("ray")
        words = [f"data={line_data}", *TINY, "model=unet_mini", "seed=0,1",
                 f"output_dir={tmp_path}", f"data.test={line_data}/test,{tmp_path}/none",
                 ]  # fmt: skip
        assert run("ablate", *words, "--jobs", "2") == 1
        assert "2 of 4 runs failed" in capsys.readouterr().out
        logs = [path.read_text() for path in tmp_path.glob("ablation/*/log.txt")]
        assert sum("parameters" in log for log in logs) == 2
        runs = list(tmp_path.glob("ablation/*/2*/provenance.json"))
        assert len(runs) == 2
        assert run("ablate", *words[:-1], f"data.test={line_data}/test") == 0
        assert len(list(tmp_path.glob("ablation/*/2*/provenance.json"))) == 2

    def test_a_process_that_dies_has_failed(self, line_data, tmp_path, monkeypatch):
        pytest.importorskip("ray")
        from faultline.experiments import cluster

        def die(folder, kind, home):
            os._exit(3)

        monkeypatch.setattr(cluster, "job", die)
        plan = make_plan([f"data={line_data}", *TINY, f"output_dir={tmp_path}"])
        save_plan(plan, "")
        ((_, state),) = ablate(plan, silent, jobs=2).failed
        assert "its process died" in state.error


def test_without_ray_the_extra_is_named(tmp_path, plain, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert run("ablate", "task=plain", f"output_dir={tmp_path}", "--jobs", "2") == 1
    assert "pip install '.[cluster]'" in capsys.readouterr().err
