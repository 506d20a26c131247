"""`faultline pseudolabel` end to end on drawn leaves, and its refusals."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from leaf_samples import CLASSES, leaf, write_leaves, write_segmenter
from tiny_classification import run

from faultline.data.images import sha256_file
from faultline.pseudolabel.channels import SIGN_BITS, plant
from faultline.pseudolabel.refine import oscillating
from faultline.pseudolabel.refine_rules import judge_round, merge
from faultline.pseudolabel.store import open_labels
from faultline.pseudolabel.verdict import weigh


def rows_of(labels):
    with (labels / "audit" / "quality_scores.csv").open() as stream:
        return list(csv.DictReader(stream))


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*_mask.png")}


@pytest.fixture
def copied(labels, tmp_path):
    return shutil.copytree(labels, tmp_path / "masks")


class TestMake:
    def test_the_form_on_disk(self, labels, leaves):
        channels = json.loads((labels / "channels.json").read_text())["channels"]
        assert [one["name"] for one in channels] == [
            "background", "healthy", "structural_anomaly", "surface_sign", "degradation",
        ]  # fmt: skip
        assert all(len(one["color"]) == 3 for one in channels)
        stem = labels / "train" / "RedRot" / "RedRot-train-000"
        mask = cv2.imread(f"{stem}_mask.png", cv2.IMREAD_UNCHANGED)
        confidence = np.load(f"{stem}_conf.npy")
        assert (mask.shape, mask.dtype) == ((96, 72), np.uint8)
        assert (confidence.shape, confidence.dtype) == ((96, 72), np.float16)
        assert 0.5 <= confidence.min() <= confidence.max() <= 1
        assert stem.with_name(f"{stem.name}_tier.txt").read_text().strip() in {"A", "B", "C"}
        assert (labels / "audit" / "tier_distribution.png").stat().st_size > 1000

    def test_pictures_that_test_get_no_label(self, labels):
        assert len(rows_of(labels)) == len(CLASSES) * (8 + 3)
        assert not (labels / "test").exists()
        assert {row["part"] for row in rows_of(labels)} == {"train", "valid"}

    def test_masks_are_those_of_the_drawing(self, labels, leaves):
        rng = np.random.default_rng(0)
        overlaps = []
        for name in CLASSES:
            for number in range(8):
                _, truth, sick = leaf(rng, name)
                label = open_labels(labels).read(f"train/{name}/{name}-train-{number:03}.png")
                sure = label.confidence >= 0.6
                found = plant(label.bits) & sure
                union = (found | (truth & sure)).sum()
                overlaps.append((found & truth).sum() / union)
                assert sure.mean() > 0.5
                if name == "Healthy":
                    assert not (label.bits & SIGN_BITS).any()
                else:
                    assert (label.bits[sick & sure] & SIGN_BITS > 0).mean() > 0.8

        # Where the classifier looks at litter hardest, it is believed: some masks suffer.
        assert np.mean(overlaps) > 0.9
        assert min(overlaps) > 0.7

    def test_scores_are_those_of_the_masks(self, labels):
        for row in rows_of(labels):
            label = open_labels(labels).read(row["id"])
            assert float(row["plant_ratio"]) == pytest.approx(plant(label.bits).mean(), abs=1e-5)
            uncertain = (label.confidence.astype(np.float32) < 0.6).mean()
            assert float(row["uncertain"]) == pytest.approx(uncertain, abs=1e-5)
            assert row["tier"] == label.tier

    def test_again_makes_what_is_missing_and_nothing_else(self, copied, leaves, classifier, capsys):
        before = files(copied)
        (copied / "train" / "Yellow" / "Yellow-train-001_tier.txt").unlink()
        words = ["pseudolabel", "make", f"data={leaves}", "--weights", classifier]
        assert run(*words, "--output", copied) == 0
        assert "1 labels made, 32 kept" in capsys.readouterr().out
        assert files(copied) == before

    def test_a_damaged_label_is_made_again(self, copied, leaves, classifier, capsys):
        before = files(copied)
        (copied / "train" / "Healthy" / "Healthy-train-002_mask.png").write_bytes(b"")
        words = ["pseudolabel", "make", f"data={leaves}", "--weights", classifier]
        assert run(*words, "--output", copied) == 0
        assert "1 labels made, 32 kept" in capsys.readouterr().out
        assert files(copied) == before

    def test_an_output_within_the_data_is_refused(self, leaves, capsys):
        for command in ("make", "gold"):
            assert run("pseudolabel", command, f"data={leaves}", "--output", leaves / "m") == 2
            assert "would be taken for pictures" in capsys.readouterr().err
        assert not (leaves / "m").exists()

    def test_other_settings_are_refused(self, copied, leaves, capsys):
        assert run("pseudolabel", "make", f"data={leaves}", "--output", copied) == 2
        assert "other settings (fusion, weights differ)" in capsys.readouterr().err

    def test_a_damaged_picture_is_listed_and_the_rest_is_made(self, tmp_path, capsys):
        data = write_leaves(tmp_path / "data", {"train": 3, "val": 1, "test": 1})
        whole = data / "train" / "Healthy" / "Healthy-train-000.png"
        content = bytearray(whole.read_bytes())
        content[len(content) // 2] ^= 0xFF
        whole.write_bytes(content)
        for name in ("twin.jpg", "Twin.jpg"):  # on many disks the same label files
            path = data / "train" / "RedRot" / name
            cv2.imwrite(str(path), leaf(np.random.default_rng(3), "RedRot")[0][..., ::-1])
        assert run("pseudolabel", "make", f"data={data}", "--output", tmp_path / "out") == 1
        failures = json.loads((tmp_path / "out" / "audit" / "failures.json").read_text())
        assert {one["file"].rpartition("/")[2] for one in failures} == {
            "Healthy-train-000.png", "twin.jpg",
        }  # fmt: skip
        assert "12 labels made, 0 kept from before, 2 failed" in capsys.readouterr().out

    def test_without_classifier_and_sam_it_is_said(self, tmp_path, capsys):
        data = write_leaves(tmp_path / "data", {"train": 2, "val": 1, "test": 1})
        assert run("pseudolabel", "make", f"data={data}", "--output", tmp_path / "out") == 0
        out = capsys.readouterr().out
        assert "votes: grabcut 1.000" in out
        assert "there are no activation maps" in out
        assert "no SAM model was given" in out

    def test_an_unknown_class_is_one_error_and_a_map_helps(self, tmp_path, capsys):
        data = write_leaves(tmp_path / "data", {"train": 2, "val": 1, "test": 1})
        for split in ("train", "val", "test"):
            (data / split / "RedRot").rename(data / split / "Blight")
        words = ["pseudolabel", "make", f"data={data}", "--output", tmp_path / "out"]
        assert run(*words) == 2
        error = capsys.readouterr().err
        assert "'Blight'" in error
        assert "Grassy_shoot_disease" in error
        (tmp_path / "map.yaml").write_text("classes: {Blight: {channels: [surface_sign]}}")
        assert run(*words, "--channel-map", tmp_path / "map.yaml") == 0

    def test_a_classifier_that_saw_the_test_pictures_is_refused(
        self, leaves, classifier, tmp_path, capsys
    ):
        data = shutil.copytree(leaves, tmp_path / "data")
        moved = sorted((data / "train" / "Yellow").iterdir())[0]
        moved.rename(data / "test" / "Yellow" / moved.name)
        assert run("pseudolabel", "make", f"data={data}", "--weights", classifier,
                   "--output", tmp_path / "out") == 1  # fmt: skip
        error = capsys.readouterr().err
        assert "has seen pictures that test" in error
        assert moved.name in error

    def test_two_runs_are_averaged(self, leaves, classifier, tmp_path, capsys):
        data = write_leaves(tmp_path / "data", {"train": 2, "val": 1, "test": 1}, seed=5)
        once, twice = tmp_path / "once", tmp_path / "twice"
        words = ["pseudolabel", "make", f"data={data}", "--weights", classifier]
        assert run(*words, "--output", once) == 0
        assert run(*words, "--weights", classifier, "--output", twice) == 0
        assert files(once) == files(twice)


class TestVerdict:
    @pytest.mark.parametrize(
        ("said", "tiers", "blocked", "moved"),
        [
            ({"A": (9, 1)}, {"A": 10}, 0, False),
            ({"A": (8, 2)}, {"A": 10}, 1, False),
            ({"A": (10, 0), "B": (7, 3)}, {"A": 10, "B": 10}, 0, False),
            ({"A": (10, 0), "B": (6, 4)}, {"A": 80, "B": 20}, 0, True),
            ({"A": (10, 0), "B": (6, 4)}, {"A": 60, "B": 40}, 1, True),
            ({"A": (10, 0)}, {"A": 70, "C": 30}, 0, False),
            ({"A": (10, 0)}, {"A": 69, "C": 31}, 1, False),
            ({"A": (1, 9)}, {"A": 10, "C": 90}, 2, False),
            ({"C": (0, 10)}, {"A": 10}, 0, False),
        ],
    )
    def test_rules(self, said, tiers, blocked, moved):
        found = weigh(
            [(t, v) for t, (g, b) in said.items() for v in ["accept"] * g + ["reject"] * b], tiers
        )
        assert (len(found.blocks), found.move_b) == (blocked, moved)

    def test_marginal_is_not_accepted(self):
        said = [("A", "accept")] * 8 + [("A", "marginal")] * 2
        assert weigh(said, {"A": 10}).accepted["A"] == 0.8
        assert weigh(said, {"A": 10}).blocks

    def fill(self, labels, say):
        sheet = labels / "audit" / "spot_check.csv"
        with sheet.open() as stream:
            rows = list(csv.DictReader(stream))
        with sheet.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows({**row, "verdict": say(row)} for row in rows)
        return rows

    def test_the_whole_way(self, copied, leaves, capsys):
        for number, path in enumerate(sorted((copied / "train").rglob("*_tier.txt"))):
            path.write_text("B\n" if number < 4 else "A\n")
        assert run("pseudolabel", "check", copied, "--per-cell", 3) == 0
        page = (copied / "audit" / "spot_check.html").read_text()
        assert page.count("data:image/jpeg") >= 9
        assert run("pseudolabel", "verdict", copied) == 1
        assert "rows have no verdict" in capsys.readouterr().err
        rows = self.fill(copied, lambda row: "accept" if row["tier"] == "A" else "Reject")
        assert all(sum(r["class"] == n and r["tier"] == "A" for r in rows) <= 3 for n in CLASSES)
        # Asked again, it keeps what was filled in.
        assert run("pseudolabel", "check", copied) == 0
        assert run("pseudolabel", "verdict", copied) == 0
        results = json.loads((copied / "audit" / "spot_check_results.json").read_text())
        assert results["passed"] is True
        assert results["b_became_c"] is True
        tiers = [path.read_text().strip() for path in copied.rglob("*_tier.txt")]
        assert tiers.count("B") == 0
        assert 4 <= tiers.count("C") <= 9
        assert sorted(row["tier"] for row in rows_of(copied)) == sorted(tiers)

    def test_a_rejected_tier_a_blocks(self, copied, capsys):
        run("pseudolabel", "check", copied)
        self.fill(copied, lambda row: "reject")
        assert run("pseudolabel", "verdict", copied) == 1
        assert "BLOCKED: 0% of tier A" in capsys.readouterr().out

    def test_the_same_seed_draws_the_same(self, copied):
        sheets = []
        for seed in (1, 1, 2):
            run("pseudolabel", "check", copied, "--again", "--per-cell", 2, "--seed", seed)
            sheets.append((copied / "audit" / "spot_check.csv").read_text())
        assert sheets[0] == sheets[1] != sheets[2]


class TestRefineRules:
    @pytest.mark.parametrize(
        ("drifts", "status", "accepted"),
        [
            ([22.0], "continue", True), ([9.0], "converged", True), ([15.0], "converged", True),
            ([22.0, 9.0], "converged", True), ([22.0, 20.0], "continue", True),
            ([22.0, 25.0], "diverged", False), ([10.0, 12.0], "diverged", False),
            ([40.0, 20.0, 4.0], "converged", True), ([40.0, 20.0, 16.0], "blocked", False),
            ([40.0, 20.0, 30.0], "blocked", False), ([40.0, 10.0, 12.0], "diverged", False),
        ],
    )  # fmt: skip
    def test_what_follows_from_the_drift(self, drifts, status, accepted):
        found = judge_round(drifts)
        assert (found.status, found.accepted) == (status, accepted)

    def merged(self, bits, confidence, probability):
        layers = np.array(probability, np.float32).reshape(5, 1, 1)
        found = merge(np.array([[bits]], np.uint8), np.array([[confidence]]), layers, 0.5)
        return int(found.bits[0, 0]), float(found.confidence[0, 0])

    def test_agreement_is_surer_than_either(self):
        bits, confidence = self.merged(2, 0.7, [0.1, 0.8, 0.1, 0.1, 0.1])
        assert bits == 2
        assert confidence == pytest.approx(1 - 0.3 * 0.2)

    def test_the_surer_one_wins(self):
        assert self.merged(2, 0.7, [0, 0.05, 0, 0, 0.95]) == (16, pytest.approx(0.625))
        assert self.merged(2, 0.9, [0, 0.4, 0, 0, 0.6]) == (2, pytest.approx(0.65))
        assert self.merged(2, 0.8, [0, 0.2, 0, 0, 0.8])[1] == pytest.approx(0.5)

    def test_a_pixel_that_the_network_gives_no_channel_is_background(self):
        assert self.merged(2, 0.5, [0.2, 0.1, 0.1, 0.1, 0.1])[0] == 1

    def test_samples_that_oscillate_come_with_their_history(self):
        rounds = [{"changed_pct": {"a": 30.0, "b": 2.0}}, {"changed_pct": {"a": 20.0, "b": 16.0}}]
        assert oscillating(rounds) == [
            {"id": "a", "changed_pct": [30.0, 20.0]}, {"id": "b", "changed_pct": [2.0, 16.0]},
        ]  # fmt: skip


class TestRefine:
    def test_one_round(self, copied, segmenter, capsys):
        before = {row["id"]: row for row in rows_of(copied)}
        assert run("pseudolabel", "refine", copied, "--weights", segmenter) == 0
        log = json.loads((copied / "audit" / "refinement_log.json").read_text())["rounds"]
        drift = json.loads((copied / "audit" / "refinement_drift.json").read_text())
        assert len(log) == 1
        assert log[0]["pictures"] == 24, "those of validation are left alone"
        assert (
            drift["drift_pct"]["1"]
            == log[0]["drift_pct"]
            == pytest.approx(np.mean(list(log[0]["changed_pct"].values())), abs=1e-3)
        )
        assert drift["status"] == "converged"
        assert (copied / "audit" / "refinement_drift_chart.png").is_file()
        assert not (copied / "audit" / "refining").exists()
        after = {row["id"]: row for row in rows_of(copied)}
        valid = [one for one in after if after[one]["part"] == "valid"]
        assert all(after[one] == before[one] for one in valid)
        uncertain = [sum(float(r["uncertain"]) for r in rows.values()) for rows in (before, after)]
        assert uncertain[1] < uncertain[0]
        # Converged is the end, and the same weights would agree with themselves.
        assert run("pseudolabel", "refine", copied, "--weights", segmenter) == 2
        assert "refinement ended with round 1" in capsys.readouterr().err
        assert run("pseudolabel", "refine", copied, "--weights", segmenter, "--restart") == 0

    def test_rounds_that_do_not_converge_block_and_leave_the_labels(self, copied, tmp_path, capsys):
        def network(number, *order):
            shades = [[0.59, 0.53, 0.49], [0.27, 0.59, 0.2], [0.59, 0.2, 0.14], [0.84, 0.75, 0.16]]
            path = tmp_path / f"{number}.safetensors"
            colours = [shades[place] for place in order]
            return write_segmenter(path, colours=colours, gain=3000.0 + number)

        # Leaf and litter swap places in each round.
        steps = [network(1, 1, 0, 2, 3), network(2, 0, 1, 2, 3), network(3, 1, 0, 2, 3)]
        assert run("pseudolabel", "refine", copied, "--weights", steps[0]) == 0
        assert run("pseudolabel", "refine", copied, "--weights", steps[0]) == 2
        assert "agree with themselves" in capsys.readouterr().err
        log_path = copied / "audit" / "refinement_log.json"
        log = json.loads(log_path.read_text())
        assert log["rounds"][0]["status"] == "continue"
        # As if rounds 1 and 2 had changed everything.
        first = {**log["rounds"][0], "drift_pct": 100.0}
        second = {**first, "round": 2, "segmenter": "another", "drift_pct": 99.0}
        log_path.write_text(json.dumps({"rounds": [first, second]}))
        masks = files(copied)
        assert run("pseudolabel", "refine", copied, "--weights", steps[1]) == 1
        out = capsys.readouterr().out
        assert "BLOCKED" in out
        assert files(copied) == masks
        samples = json.loads((copied / "audit" / "oscillating_samples.json").read_text())["samples"]
        assert samples[0]["changed_pct"][-1] > 15
        assert run("pseudolabel", "refine", copied, "--weights", steps[2]) == 2

    def test_a_segmenter_that_saw_test_pictures_is_refused(self, copied, leaves, tmp_path, capsys):
        picture = next((leaves / "test" / "Healthy").iterdir())
        path = tmp_path / "s.safetensors"
        write_segmenter(path, seen={"weights": [sha256_file(picture)]})
        assert run("pseudolabel", "refine", copied, "--weights", path) == 1
        assert "the weights saw 1 of 9" in capsys.readouterr().err


class TestGold:
    def test_copies_drafts_and_progress(self, leaves, tmp_path, capsys):
        gold = tmp_path / "gold"
        words = ["pseudolabel", "gold", f"data={leaves}", "--output", gold, "--per-class", 3]
        assert run(*words) == 0
        state = json.loads((gold / "progress.json").read_text())
        assert (state["total"], state["verified"], state["seed"]) == (9, 0, 42)
        assert all(not one["source"].startswith("test/") for one in state["pictures"].values())
        for name, one in state["pictures"].items():
            assert (gold / name).read_bytes() == (leaves / one["source"]).read_bytes()
        drafts = sorted(gold.rglob("*_draft_mask.png"))
        assert len(drafts) == 9
        shutil.copy(drafts[0], str(drafts[0]).replace("_draft_mask", "_mask"))
        touched = drafts[1].stat().st_mtime_ns
        assert run(*words) == 0
        assert drafts[1].stat().st_mtime_ns == touched
        assert json.loads((gold / "progress.json").read_text())["verified"] == 1
        assert run("gate", "calibrate", gold) == 0

    def test_hard_classes_get_more(self, tmp_path):
        data = write_leaves(
            tmp_path / "data", {"train": 9, "val": 1, "test": 1}, classes=CLASSES[:2]
        )
        for split in ("train", "val", "test"):
            (data / split / "RedRot").rename(data / split / "Wilt")
        gold = tmp_path / "gold"
        assert run("pseudolabel", "gold", f"data={data}", "--output", gold, "--per-class", 2) == 0
        assert len(list((gold / "Healthy").glob("*_draft_mask.png"))) == 2
        assert len(list((gold / "Wilt").glob("*_draft_mask.png"))) == 7
