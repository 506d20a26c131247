"""Summaries: what is read, how it is averaged, and when a mean is marked."""

import csv
import json
import os
import statistics

import numpy as np
import pytest
from experiment_samples import Page, pooled, run, silent, write_grid, write_run
from scipy import stats

from faultline.experiments.best import leads, student_interval
from faultline.experiments.groups import make_blocks, spread
from faultline.experiments.runs import read_run, read_runs
from faultline.experiments.scores import is_higher_better
from faultline.experiments.summarize import summarize

MODELS = ("model.name=unet", "model.name=unet_mini")


def rows_of(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


class TestMeans:
    def test_over_seeds(self, tmp_path):
        values = {MODELS[0]: [0.5, 0.6, 0.55], MODELS[1]: [0.4, 0.45, 0.35]}
        write_grid(tmp_path, values)
        summarize([tmp_path], say=silent)
        rows = [row for row in rows_of(tmp_path / "groups.csv") if row["score"] == "iou"]
        assert [row["model.name"] for row in rows] == ["unet", "unet_mini"]
        for row, scores in zip(rows, values.values(), strict=True):
            assert float(row["mean"]) == pytest.approx(statistics.fmean(scores))
            assert float(row["std"]) == pytest.approx(np.std(scores, ddof=1))
            assert row["runs"] == "3"

    def test_of_one_run_there_is_no_deviation(self):
        assert spread([0.5, None]) == spread([0.5])
        assert spread([0.5]).std is None
        assert spread([None]) is None

    def test_the_seed_alone_makes_no_group(self, tmp_path):
        for seed in (0, 1):
            write_run(tmp_path, f"a{seed}", ["loss.name=dice"], seed=seed)
            write_run(tmp_path, f"b{seed}", ["loss.name=focal"], seed=seed)
        (block,) = make_blocks(read_runs([tmp_path])[0])
        assert block.keys == ["loss.name"]
        assert [len(group.runs) for group in block.groups] == [2, 2]

    def test_a_data_set_that_changed_under_its_name_is_another(self, tmp_path):
        write_run(tmp_path, "a", seed=0)
        write_run(tmp_path, "b", seed=1, fingerprint="0" * 16)
        (block,) = make_blocks(read_runs([tmp_path])[0])
        assert block.keys == ["data set"]

    def test_other_data_and_other_kinds_are_other_blocks(self, tmp_path):
        write_run(tmp_path, "a")
        write_run(tmp_path, "b", ["data.root=walls"])
        best = {"macro_f1": 0.7, "epoch": 1}
        write_run(tmp_path, "c", kind="classification", best=best)
        blocks = make_blocks(read_runs([tmp_path])[0])
        assert [(block.kind, block.data, block.metric.name) for block in blocks] == [
            ("segmentation", "photos", "iou"), ("segmentation", "walls", "iou"),
            ("classification", "photos", "macro_f1"),
        ]  # fmt: skip

    def test_group_by(self, tmp_path):
        for name, words in {"a": ["loss.name=dice", "model.name=unet"],
                            "b": ["loss.name=dice", "model.name=unet_mini"],
                            "c": ["loss.name=focal", "model.name=unet"]}.items():  # fmt: skip
            write_run(tmp_path, name, words)
        assert run("summarize", tmp_path, "--group-by", "loss.name") == 0
        rows = [row for row in rows_of(tmp_path / "groups.csv") if row["score"] == "iou"]
        assert [(row["group"], row["runs"]) for row in rows] == [
            ("loss.name=dice", "2"), ("loss.name=focal", "1")
        ]  # fmt: skip

    def test_an_unknown_setting_to_group_by(self, tmp_path, capsys):
        write_run(tmp_path, "a")
        assert run("summarize", tmp_path, "--group-by", "model.nam") == 2
        assert "no run has the setting 'model.nam', did you mean" in capsys.readouterr().err


class TestTheMark:
    @pytest.mark.parametrize("seed", range(5))
    def test_the_interval_is_that_of_the_paired_t_test(self, seed):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(0.6, 0.1, 4), rng.normal(0.5, 0.1, 4)
        found = student_interval(list(a - b))
        expected = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))

    def lead(self, tmp_path, scores, **more):
        write_grid(tmp_path, scores, **more)
        (block,) = make_blocks(read_runs([tmp_path])[0])
        return block, leads(block)["iou"]

    def test_a_clear_difference_is_marked(self, tmp_path):
        block, lead = self.lead(
            tmp_path, {MODELS[0]: [0.60, 0.65, 0.62], MODELS[1]: [0.50, 0.54, 0.52]}
        )
        assert block.groups[lead.best].label == "model.name=unet"
        assert lead.supported
        assert "t, 3 paired seeds" in lead.reason
        summarize([tmp_path], say=silent)
        assert "**0.6233 ± 0.0252**" in (tmp_path / "summary.md").read_text()
        page = Page((tmp_path / "summary.html").read_text())
        assert ("td", {"class": "best"}) in page.tags

    def test_one_that_may_be_chance_is_not(self, tmp_path):
        _, lead = self.lead(tmp_path, {MODELS[0]: [0.60, 0.55, 0.70], MODELS[1]: [0.5, 0.6, 0.6]})
        assert not lead.supported
        assert "not beyond chance" in lead.reason
        summarize([tmp_path], say=silent)
        assert "**" not in (tmp_path / "summary.md").read_text()

    def test_pairing_finds_what_seeds_hide(self, tmp_path):
        """Seeds differ by 0.3, models by 0.02: unpaired, nothing could be said."""
        _, lead = self.lead(
            tmp_path, {MODELS[0]: [0.32, 0.521, 0.62], MODELS[1]: [0.30, 0.50, 0.60]}
        )
        assert lead.supported

    def test_one_seed_is_never_marked(self, tmp_path):
        _, lead = self.lead(tmp_path, {MODELS[0]: [0.9], MODELS[1]: [0.1]})
        assert not lead.supported
        assert "1 seed in common, which allows no interval" in lead.reason

    def test_it_must_beat_every_other_group(self, tmp_path):
        scores = {MODELS[0]: [0.60, 0.65, 0.62], MODELS[1]: [0.50, 0.54, 0.52],
                  "model.name=scratch_ed": [0.61, 0.60, 0.63]}  # fmt: skip
        _, lead = self.lead(tmp_path, scores)
        assert not lead.supported
        assert "scratch_ed" in lead.reason

    def test_pictures_have_their_say(self, tmp_path):
        """All seeds agree, but on one of many pictures only: the next ones may say otherwise."""
        for model, bonus in ((MODELS[0], 40), (MODELS[1], 0)):
            for seed in range(3):
                images = [(50 + seed, 25, 25)] * 9 + [(50 + bonus + seed, 25, 25)]
                name = f"{model[-4:]}{seed}"
                write_run(tmp_path, name, [model], seed=seed, images=images,
                          test=pooled(iou=0.5 + bonus / 1000 + seed / 1000))  # fmt: skip
        (block,) = make_blocks(read_runs([tmp_path])[0])
        lead = leads(block)["iou"]
        assert not lead.supported
        assert "bootstrap of the test pictures" in lead.reason

    def test_pictures_may_agree(self, tmp_path):
        for model, bonus in ((MODELS[0], 9), (MODELS[1], 0)):
            for seed in range(3):
                images = [(50 + bonus + seed + n % 2, 25, 25) for n in range(10)]
                write_run(tmp_path, f"{model[-4:]}{seed}", [model], seed=seed, images=images,
                          test=pooled(iou=0.5 + bonus / 100 + (seed % 2) / 1000))  # fmt: skip
        (block,) = make_blocks(read_runs([tmp_path])[0])
        assert leads(block)["iou"].supported

    def test_runs_scored_on_other_pictures_are_no_pairs(self, tmp_path):
        write_grid(tmp_path, {MODELS[0]: [0.60, 0.65, 0.62], MODELS[1]: [0.50, 0.54, 0.52]})
        for path in tmp_path.glob("unet_mini-*/*/metrics_test.json"):
            document = json.loads(path.read_text())
            document["data"]["fingerprint"] = "another"
            path.write_text(json.dumps(document))
        (block,) = make_blocks(read_runs([tmp_path])[0])
        assert "0 seed in common" in leads(block)["iou"].reason

    def test_less_is_better_for_errors(self, tmp_path):
        for word, values in (("model.name=ctc", (0.10, 0.11, 0.12)),
                             ("model.name=paraformer", (0.05, 0.062, 0.07))):  # fmt: skip
            for seed, cer in enumerate(values):
                write_run(tmp_path, f"{word[-3:]}{seed}", [word], seed=seed, kind="speech",
                          best={"cer": cer, "epoch": 3})  # fmt: skip
        (block,) = make_blocks(read_runs([tmp_path])[0])
        lead = leads(block)["cer"]
        assert block.groups[lead.best].label == "model.name=paraformer"
        assert lead.supported

    @pytest.mark.parametrize(
        ("name", "higher"),
        [("iou", True), ("val/loss", False), ("cer", False), ("hamming_loss", False),
         ("macro_f1", True), ("precision", True), ("count_error", False)],
    )  # fmt: skip
    def test_which_way_is_better(self, name, higher):
        assert is_higher_better(name) is higher


class TestStatus:
    def test_as_the_training_wrote_it(self, tmp_path):
        assert read_run(write_run(tmp_path, "a")).status == "finished"
        assert read_run(write_run(tmp_path, "b", status="interrupted")).status == "interrupted"

    def test_a_run_that_is_still_going(self, tmp_path):
        folder = write_run(tmp_path, "a", status=None)
        found = read_run(folder)
        assert found.status == "running"
        assert found.validation["iou"] == 0.5
        assert found.facts["seconds"] == 60.0

    def test_a_run_that_was_cut_short(self, tmp_path):
        folder = write_run(tmp_path, "a", status=None)
        later = (folder / "metrics.csv").stat().st_mtime + 3600
        assert read_run(folder, now=later).status == "interrupted"
        (folder / "checkpoints" / "last.ckpt").unlink()
        assert read_run(folder, now=later).status == "failed"

    def test_a_slow_epoch_is_no_reason_to_give_up(self, tmp_path):
        folder = write_run(tmp_path, "a", status=None)
        (folder / "metrics.csv").write_text("epoch,seconds,val/iou\n0,1000,0.1\n1,2000,0.2\n")
        later = (folder / "metrics.csv").stat().st_mtime + 2500
        assert read_run(folder, now=later).status == "running"

    def test_a_resumed_run_is_going_again(self, tmp_path):
        folder = write_run(tmp_path, "a", status="interrupted")
        now = (folder / "results.json").stat().st_mtime
        os.utime(folder / "provenance.json", (now + 60, now + 60))
        assert read_run(folder, now=now + 70).status == "running"

    def test_what_an_ablation_knows_of_it(self, tmp_path):
        folder = write_run(tmp_path, "a", status=None)
        state = {"status": "failed", "run": folder.name, "error": "no number"}
        (folder.parent / "state.json").write_text(json.dumps(state))
        assert read_run(folder).status == "failed"

    def test_unfinished_runs_are_shown_and_do_not_count(self, tmp_path):
        write_run(tmp_path, "a", seed=0, iou=0.5)
        write_run(tmp_path, "b", seed=1, iou=0.9, status="interrupted")
        summarize([tmp_path], say=silent)
        (row,) = [row for row in rows_of(tmp_path / "groups.csv") if row["score"] == "iou"]
        assert (row["mean"], row["runs"]) == ("0.5", "1")
        page = (tmp_path / "summary.md").read_text()
        assert "1 of 2" in page
        assert "interrupted" in page
        assert "2 runs: 1 finished, 1 interrupted" in page

    def test_half_a_row_is_left_out(self, tmp_path):
        folder = write_run(tmp_path, "a", status=None)
        with (folder / "metrics.csv").open("a") as stream:
            stream.write("3,30,80.0,11,500")
        assert read_run(folder).facts["epochs"] == 3


class TestWhatIsRead:
    def test_broken_folders_are_listed_and_left_out(self, tmp_path, capsys):
        write_run(tmp_path, "good")
        (write_run(tmp_path, "half") / "config.yaml").unlink()
        (write_run(tmp_path, "torn") / "results.json").write_text('{"status": "fin')
        (write_run(tmp_path, "odd") / "config.yaml").write_text("model: [")
        (write_run(tmp_path, "list") / "config.yaml").write_text("- 1\n")
        (write_run(tmp_path, "scored") / "metrics_test.json").write_text("{")
        assert run("summarize", tmp_path) == 0
        said = capsys.readouterr().out
        assert "1 run: 1 finished" in said
        page = Page((tmp_path / "summary.html").read_text())
        text = "".join(page.text)
        for name, reason in {"half": "config.yaml is missing", "torn": "results.json is damaged",
                             "odd": "config.yaml cannot be read", "list": "no configuration",
                             "scored": "metrics_test.json is damaged"}.items():  # fmt: skip
            assert f"{name}/2026" in said
            assert reason in said
            assert reason in text

    def test_links_and_hidden_folders_are_not_read_twice(self, tmp_path):
        folder = write_run(tmp_path, "a")
        (folder.parent / "latest").symlink_to(folder.name)
        folder.with_name(".aside").mkdir()
        (folder.with_name(".aside") / "config.yaml").write_text("model: {}")
        (folder.with_name(".aside") / "checkpoints").mkdir()
        runs, broken = read_runs([tmp_path])
        assert [run.name for run in runs] == ["a/20260102T030405Z-abcdef"]
        assert broken == []

    def test_one_run_alone_and_several_folders(self, tmp_path):
        folder = write_run(tmp_path, "a")
        write_run(tmp_path, "b")
        assert len(read_runs([folder])[0]) == 1
        assert len(read_runs([tmp_path / "a", tmp_path / "b", tmp_path])[0]) == 2

    def test_a_run_that_repeats_another_does_not_count_again(self, tmp_path):
        write_run(tmp_path, "a")
        again = write_run(tmp_path, "a-reproduced")
        (again / "reproduction.json").write_text("{}")
        assert [run.name[:2] for run in read_runs([tmp_path])[0]] == ["a/"]
        assert len(read_runs([again])[0]) == 1

    def test_no_run_and_no_folder(self, tmp_path, capsys):
        assert run("summarize", tmp_path) == 2
        assert "holds no run" in capsys.readouterr().err
        assert run("summarize", tmp_path / "none") == 2
        assert "no such folder" in capsys.readouterr().err

    def test_only_broken_runs(self, tmp_path, capsys):
        (write_run(tmp_path, "half") / "config.yaml").unlink()
        assert run("summarize", tmp_path, "--curves", "all") == 0
        assert "no run could be read" in capsys.readouterr().out

    def test_scores_of_pictures_and_of_transcripts(self, tmp_path):
        summary = {"macro_f1": {"value": 0.7, "low": 0.6, "high": 0.8},
                   "ece": {"value": None, "low": None, "high": None}}  # fmt: skip
        folder = write_run(tmp_path, "a", kind="classification", best={"macro_f1": 0.6},
                           test={"summary": summary, "data": {"root": "p"}})  # fmt: skip
        assert read_run(folder).test.values == {"macro_f1": 0.7}
        folder = write_run(tmp_path, "b", ["frontend.mels=40"], kind="speech", best={"cer": 0.1})
        (folder / "evaluation").mkdir()
        metrics = {"cer": 0.2, "wer": 0.5, "characters": 120}
        (folder / "evaluation" / "results.json").write_text(json.dumps({"metrics": metrics}))
        assert read_run(folder).test.values == {"cer": 0.2, "wer": 0.5}
        assert not read_run(folder).metric.higher_is_better

    def test_the_test_set_of_the_run_is_taken_from_several(self, tmp_path):
        folder = write_run(tmp_path, "a", [f"data.test={tmp_path / 'walls'}"])
        for name, iou in (("roads", 0.1), ("walls", 0.2)):
            document = pooled(iou=iou)
            document["data"]["root"] = str(tmp_path / name)
            (folder / f"evaluation-{name}").mkdir()
            (folder / f"evaluation-{name}" / "metrics_test.json").write_text(json.dumps(document))
        assert read_run(folder).test.values == {"iou": 0.2}

    def test_the_score_that_a_run_names_wins(self, tmp_path):
        folder = write_run(tmp_path, "a", kind="other", best={"found": 0.7, "epoch": 2})
        results = json.loads((folder / "results.json").read_text())
        results["selection"] = {"metric": "found", "higher_is_better": False}
        (folder / "results.json").write_text(json.dumps(results))
        assert read_run(folder).metric.name == "found"
        assert not read_run(folder).metric.higher_is_better

    def test_what_a_run_cost(self, tmp_path):
        facts = read_run(write_run(tmp_path, "a", test=pooled(iou=0.5))).facts
        assert facts["memory_mib"] == 602
        assert facts["parameters"] == 1000
        assert facts["test_seconds_per_image"] == 0.02
