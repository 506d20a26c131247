"""The plan: everything is checked before anything is run, and equal settings are one run."""

import json

import pytest
from experiment_samples import TINY, run

from faultline.config import from_yaml
from faultline.errors import ConfigError
from faultline.experiments.plan import load_plan, make_plan, save_plan


def grid(data, *words):
    return [f"data={data}", *TINY, *words]


class TestWhatIsRefused:
    def test_an_unknown_key_before_anything_is_written(self, line_data, tmp_path, capsys):
        words = grid(line_data, "model=unet,unet_mini", "seed=0,1", "trainer.max_tim=3,4")
        assert run("ablate", *words, f"output_dir={tmp_path / 'runs'}") == 2
        error = capsys.readouterr().err
        assert "nothing was run" in error
        assert "unknown setting 'trainer.max_tim', did you mean 'trainer.max_time'" in error
        assert error.count("unknown setting") == 1
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize(
        ("words", "messages"),
        [
            (["model=unet,unte"], ["unknown model 'unte', did you mean 'unet'", "at"]),
            (["loss=dice,focl"], ["unknown loss 'focl', did you mean 'focal'"]),
            (["augment.flop={}"], ["unknown augmentation 'flop'"]),
            (["model=unet", "model.deep=3,4"], ["model 'unet' has no setting 'deep'"]),
            (["model=unet", "model.depth=4,9"], ["depth"]),
            (["optimizer.lr=1e-3,-1"], ["optimizer.lr"]),
            (["loss=focal", "loss.gama=1,2"], ["no setting 'gama', did you mean 'gamma'"]),
            (["model=unte", "sed=1"], ["unknown setting 'sed'"]),
            (["data=nowhere-to-be-found"], ["neither a folder nor a data config"]),
            (["experiment=a,b"], ["cannot be swept"]),
            (["seed"], ["not of the form key=value"]),
        ],
    )
    def test_every_kind_of_slip(self, words, messages, line_data):
        with pytest.raises(ConfigError) as caught:
            make_plan(grid(line_data, *words))
        for message in messages:
            assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("words", "messages"),
        [
            (["model.foo=1,2"], ["recogniser 'paraformer' has no setting 'foo'"]),
            (["model=paraformer,parafomer"], ["unknown recogniser 'parafomer', did you mean"]),
            (["model.blocks=sanm,sann"], ["blocks='sann' is not known, did you mean 'sanm'"]),
            (["model=paraformer,ctc", "model.sampling=0.3"], ["'ctc' has no setting 'sampling'"]),
            (["model.heads=3"], ["heads=3"]),
            (["model.dim=wide"], ["paraformer cannot be built with model.dim='wide'"]),
            (["model.skip=2", "model.vocabulary=9"], ["set frontend.skip", "leave it out"]),
            (["data=null", "model.foo=1"], ["data.manifest is not set", "no setting 'foo'"]),
            (["data=nowhere.jsonl"], ["nowhere.jsonl: no such manifest"]),
        ],
    )
    def test_slips_in_a_grid_of_recognisers(self, words, messages):
        with pytest.raises(ConfigError, match="nothing was run") as caught:
            make_plan(["task=speech", "data=toy", *words])
        for message in messages:
            assert message in str(caught.value)

    @pytest.mark.parametrize("name", ["paraformer", "ctc", "autoregressive"])
    def test_recognisers_are_built_without_memory(self, name):
        blocks = "model.blocks=sanm,conformer,transformer"
        assert len(make_plan(["task=speech", "data=toy", f"model={name}", blocks]).points) == 3

    def test_mistakes_in_different_points_are_all_told(self, line_data):
        with pytest.raises(ConfigError) as caught:
            make_plan(grid(line_data, "model=unte,unet_min"))
        assert "unte" in str(caught.value)
        assert "unet_min'" in str(caught.value)

    def test_no_grid_at_all(self, capsys):
        assert run("ablate") == 2
        assert "no grid was given" in capsys.readouterr().err

    def test_a_missing_settings_file(self, line_data, tmp_path):
        with pytest.raises(ConfigError, match="no such configuration file"):
            make_plan(grid(line_data), file=tmp_path / "none.yaml")


class TestPoints:
    def test_equal_settings_have_equal_names(self, line_data):
        one = make_plan(grid(line_data, "model=unet", "loss=dice", "seed=0")).points[0]
        two = make_plan(grid(line_data, "seed=0", "loss.type=dice", "model.name=unet",
                             "experiment=other")).points[0]  # fmt: skip
        other = make_plan(grid(line_data, "model=unet", "loss=dice", "seed=1")).points[0]
        assert one.id == two.id
        assert one.id != other.id

    def test_the_order_of_augmentations_counts(self, line_data):
        words = ["augment=none", "++augment.flip={}", "++augment.rotate90={}"]
        first = make_plan(grid(line_data, *words)).points[0]
        second = make_plan(grid(line_data, words[0], words[2], words[1])).points[0]
        assert first.id != second.id

    def test_points_of_equal_settings_are_one(self, line_data):
        plan = make_plan(grid(line_data, "loss=bce_dice,dice,bce_dice", "seed=0,1"))
        assert len(plan.points) == 4
        assert plan.same == 2

    def test_settings_of_a_file_lie_under_all_points(self, line_data, tmp_path):
        file = tmp_path / "base.yaml"
        file.write_text("optimizer:\n  lr: 0.125\n")
        plan = make_plan(grid(line_data, "model=unet,unet_mini"), file=file)
        assert all("lr: 0.125" in point.settings for point in plan.points)

    def test_a_deletion_is_in_every_point(self, line_data):
        plan = make_plan(grid(line_data, "~augment.flip", "seed=0,1"))
        assert all("flip" not in point.settings for point in plan.points)
        assert all("rotate90" in point.settings for point in plan.points)

    def test_a_value_can_be_taken_away_in_a_sweep(self, line_data):
        plan = make_plan(grid(line_data, "augment.flip=null,{}"))
        assert ["flip: null" in point.settings for point in plan.points] == [True, False]


class TestOnDisk:
    def test_the_plan_is_read_back(self, line_data, tmp_path):
        words = grid(line_data, "model=unet,unet_mini", f"output_dir={tmp_path}", "experiment=e")
        plan = make_plan(words)
        save_plan(plan, "faultline ablate ...")
        again = load_plan(tmp_path / "e")
        assert (again.name, again.kind, again.folder) == (plan.name, plan.kind, plan.folder)
        assert [point.to_dict() for point in again.points] == [p.to_dict() for p in plan.points]
        for point in plan.points:
            config = from_yaml(plan.folder / point.folder / "settings.yaml")
            assert config.experiment == point.folder
            assert config.output_dir == str(plan.folder)

    def test_more_points_join_those_that_are_there(self, line_data, tmp_path):
        words = grid(line_data, "model=unet", f"output_dir={tmp_path}")
        save_plan(make_plan([*words, "seed=0,1"]), "first")
        save_plan(make_plan([*words, "seed=1,2"]), "second")
        stored = json.loads((tmp_path / "ablation" / "ablation.json").read_text())
        assert [row["varied"]["seed"] for row in stored["points"]] == ["0", "1", "2"]
        assert stored["commands"] == ["first", "second"]

    def test_a_point_keeps_its_folder_whatever_varies_around_it(self, line_data, tmp_path):
        words = grid(line_data, "model=unet", f"output_dir={tmp_path}")
        first = make_plan([*words, "seed=0"])
        save_plan(first, "first")
        second = make_plan([*words, "seed=0,1"])
        assert second.points[0].folder == first.points[0].folder
        assert second.points[1].folder.startswith("seed1-")

    def test_another_kind_of_run_is_kept_apart(self, line_data, tmp_path, plain):
        save_plan(make_plan(grid(line_data, f"output_dir={tmp_path}")), "")
        with pytest.raises(ConfigError, match="holds an ablation of pictures, not of plain"):
            save_plan(make_plan(["task=plain", f"output_dir={tmp_path}"]), "")

    @pytest.mark.parametrize("text", ["{", "[]", '{"points": [{}], "name": "a", "kind": "b"}'])
    def test_a_damaged_plan(self, text, tmp_path):
        (tmp_path / "ablation.json").write_text(text)
        with pytest.raises(ConfigError, match=r"cannot be read.*move it away"):
            load_plan(tmp_path)

    def test_no_plan(self, tmp_path, capsys):
        assert run("ablate", "--resume", tmp_path) == 2
        assert "holds no ablation.json" in capsys.readouterr().err
        assert run("ablate", "seed=0", "--resume", tmp_path) == 2
        assert "--resume takes the plan" in capsys.readouterr().err
