"""Sources of prompted training: read in every form, class by class, split by group."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from prompt_samples import write_class_folders, write_masks

from faultline.config import load_config
from faultline.config.schema import PromptsConfig
from faultline.data.prompt_items import fingerprint
from faultline.data.prompt_labels import read_labels
from faultline.data.prompt_prepare import prepare_prompted
from faultline.data.prompt_sources import OPTIONS, sources_of
from faultline.data.prompts import package_table
from faultline.errors import ConfigError, DataError, LeakageError


def data_config(*words):
    return load_config(["data.positive='*'", *words]).data


def prepared(*words, seed=0, **prompts):
    return prepare_prompted(data_config(*words), PromptsConfig(**prompts), seed)


class TestSources:
    def test_folders_and_options(self, prompt_data):
        walls, boards = prompt_data / "walls", prompt_data / "boards"
        word = f"data.sources=[{walls},{{root:{boards},name:seams,weight:2,absent:none}}]"
        first, second = sources_of(data_config(word))
        assert (first.name, first.weight, first.absent) == ("walls", 1.0, "all")
        assert (second.name, second.weight, second.absent) == ("seams", 2.0, "none")
        assert first.data.positive == "*"

    def test_a_yaml_list(self, prompt_data, tmp_path):
        file = tmp_path / "sources.yaml"
        file.write_text(f"- {prompt_data / 'walls'}\n- root: {prompt_data / 'boards'}\n")
        found = sources_of(data_config(f"data.sources=[{file}]"))
        assert [source.name for source in found] == ["walls", "boards"]

    def test_one_folder_is_a_source(self, prompt_data):
        found = sources_of(data_config(f"data={prompt_data / 'walls'}"))
        assert [source.name for source in found] == ["walls"]

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ("{root:ROOT,positve:crack}", "unknown option 'positve', did you mean 'positive'?"),
            ("{root:ROOT,crop:64}", "'crop' is the same for all sources: set data.crop"),
            ("{root:ROOT,split_strategy:grouped}", "'split_strategy' is not used in prompted"),
            ("{root:ROOT,test:other}", "'test' is not used in prompted training: leave it out"),
            ("{root:ROOT,weight:0}", "weight 0 is not above 0"),
            ("{root:ROOT,absent:3}", "absent 3 is not `all`, `none` or a list"),
            ("{format:coco}", "must be a folder, or options with `root:`"),
            ("3", "must be a folder"),
        ],
    )
    def test_wrong_options_are_named(self, prompt_data, entry, message):
        word = f"data.sources=[{entry.replace('ROOT', str(prompt_data / 'walls'))}]"
        with pytest.raises(ConfigError) as caught:
            sources_of(data_config(word))
        assert message in str(caught.value)
        assert "data.sources[0]" in str(caught.value)

    def test_every_option_that_the_page_lists_is_taken(self, prompt_data):
        page = Path(__file__).parents[2].joinpath("docs", "prompts.md").read_text("utf-8")
        rows = page.partition("| Option | Meaning |")[2].partition("\n\n")[0].splitlines()[2:]
        listed = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
        assert listed == list(OPTIONS)

    def test_nothing_and_nowhere(self, tmp_path):
        with pytest.raises(DataError, match=r"no data set was given -> add 'data\.sources"):
            sources_of(data_config())
        with pytest.raises(DataError, match="there is no such folder"):
            sources_of(data_config(f"data.sources=[{tmp_path / 'none'}]"))

    def test_another_test_set_is_not_ignored_silently(self, prompt_data):
        words = f"data={prompt_data / 'walls'}", f"data.test={prompt_data / 'boards'}"
        with pytest.raises(ConfigError, match=r"is not read with prompts.*leave it out"):
            sources_of(data_config(*words))

    def test_equal_names_are_told_apart(self, prompt_data):
        one, two = prompt_data / "walls" / "train", prompt_data / "boards" / "train"
        found = sources_of(data_config(f"data.sources=[{one},{two}]"))
        assert [source.name for source in found] == ["walls-train", "boards-train"]


class TestLabels:
    def read(self, *words):
        return read_labels(sources_of(data_config(*words))[0], package_table())

    def test_prompts_in_mask_names(self, prompt_data):
        labels = self.read(f"data.sources=[{prompt_data / 'boards'}]")
        assert labels.classes == ["seam"]
        assert len(labels.items) == 30
        assert all(set(parts) == {"seam"} for parts in labels.parts.values())

    def test_several_prompts_a_picture(self, tmp_path):
        rng = np.random.default_rng(0)
        for folder in ("images", "masks"):
            (tmp_path / "both" / folder).mkdir(parents=True)
        for number in range(4):
            picture = rng.integers(0, 255, (16, 16, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "both" / "images" / f"{number}.png"), picture)
            for prompt in ("segment_crack", "segment_wall_crack", "segment_taping_area"):
                mask = np.zeros((16, 16), np.uint8)
                mask[:4] = 0 if prompt.endswith("area") and number else 255
                cv2.imwrite(str(tmp_path / "both" / "masks" / f"{number}__{prompt}.png"), mask)
        labels = self.read(f"data.sources=[{tmp_path / 'both'}]")
        assert labels.classes == ["crack", "seam"]
        assert set(labels.parts["images/0.png"]) == {"crack", "seam"}
        assert set(labels.parts["images/1.png"]) == {"crack"}
        assert labels.problems == []

    def test_a_prompt_that_is_part_of_another_is_another(self, tmp_path):
        rng = np.random.default_rng(0)
        for folder in ("images", "masks"):
            (tmp_path / "walls" / folder).mkdir(parents=True)
        named = {"0": ["segment_crack"], "1": ["segment_crack_repair"],
                 "2": ["segment_crack", "segment_crack_repair"]}  # fmt: skip
        for stem, prompts in named.items():
            picture = rng.integers(0, 255, (16, 16, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "walls" / "images" / f"{stem}.png"), picture)
            for prompt in prompts:
                mask = np.full((16, 16), 255, np.uint8)
                cv2.imwrite(str(tmp_path / "walls" / "masks" / f"{stem}__{prompt}.png"), mask)
        labels = self.read(f"data.sources=[{tmp_path / 'walls'}]")
        shown = {item_id: set(parts) for item_id, parts in labels.parts.items()}
        repair = "segment crack repair"
        assert shown == {"images/0.png": {"crack"}, "images/1.png": {repair},
                         "images/2.png": {"crack", repair}}  # fmt: skip

    def test_class_folders(self, tmp_path):
        kinds = {"MT_Crack": "line", "MT_Break": "bar", "MT_Free": "none"}
        write_class_folders(tmp_path / "tiles", kinds, 3, 0)
        source = f"{{root:{tmp_path / 'tiles'},mask_rule:threshold}}"
        labels = self.read(f"data.sources=[{source}]")
        assert sorted(labels.classes) == ["break", "tile_crack"]
        assert labels.parts["MT_Free/Imgs/MT_Free_00.jpg"] == {}
        assert set(labels.parts["MT_Crack/Imgs/MT_Crack_00.jpg"]) == {"tile_crack"}

    def test_class_folders_that_are_not_chosen_may_show_their_class(self, tmp_path):
        write_class_folders(tmp_path / "tiles", {"MT_Crack": "line", "MT_Break": "bar"}, 2, 0)
        source = f"{{root:{tmp_path / 'tiles'},mask_rule:threshold,positive:break}}"
        labels = self.read(f"data.sources=[{source}]")
        assert labels.classes == ["break"]
        assert labels.unsure["MT_Crack/Imgs/MT_Crack_00.jpg"] == {"tile_crack"}

    def test_coco_categories(self, tmp_path, coco_writer):
        coco_writer(tmp_path / "walls" / "train", 3, 0, category="drywall-join")
        labels = self.read(f"data.sources=[{tmp_path / 'walls'}]")
        assert labels.classes == ["seam"]
        assert all(set(parts) == {"seam"} for parts in labels.parts.values())

    def test_colours(self, tmp_path):
        for folder in ("images", "masks"):
            (tmp_path / "leaves" / folder).mkdir(parents=True)
        for number in range(3):
            picture = np.full((12, 12, 3), 90 + number, np.uint8)
            cv2.imwrite(str(tmp_path / "leaves" / "images" / f"{number}.png"), picture)
            mask = np.zeros((12, 12, 3), np.uint8)
            mask[2:10, 2:10] = (0, 176, 0)
            if number == 0:
                mask[4:6, 4:6] = (0, 0, 255)  # red, as OpenCV writes it
            cv2.imwrite(str(tmp_path / "leaves" / "masks" / f"{number}_mask.png"), mask)
        colours = "mask_colours:{leaf:[0,176,0],lesion:[255,0,0]}"
        labels = self.read(f"data.sources=[{{root:{tmp_path / 'leaves'},{colours}}}]")
        assert labels.classes == ["leaf", "lesion"]
        assert set(labels.parts["images/0.png"]) == {"leaf", "lesion"}
        assert set(labels.parts["images/1.png"]) == {"leaf"}

    def test_plain_masks_need_a_class(self, tmp_path):
        write_masks(tmp_path / "things", "line", "x", {"train": 2}, 0)
        for path in (tmp_path / "things" / "train" / "masks").iterdir():
            path.rename(path.with_name(path.name.replace("__x", "")))
        with pytest.raises(
            DataError, match=r"does not say which class it is -> name it in the source"
        ):
            self.read(f"data.sources=[{tmp_path / 'things'}]")
        labels = self.read(f"data.sources=[{{root:{tmp_path / 'things'},class:crack}}]")
        assert labels.classes == ["crack"]


class TestPrepare:
    def test_splits_each_source_and_keeps_the_shipped_valid_for_testing(self, prompt_data):
        word = f"data.sources=[{prompt_data / 'walls'},{prompt_data / 'boards'}]"
        parts = prepared(word)
        assert parts.classes == ("crack", "seam")
        assert {item.source for item in parts.valid} == {"walls", "boards"}
        assert len(parts.test) == 12
        assert len(parts.train) + len(parts.valid) == 48
        assert all("/valid/" in item.id for item in parts.test)

    def test_what_one_source_shows_is_absent_in_the_other(self, prompt_data):
        word = f"data.sources=[{prompt_data / 'walls'},{prompt_data / 'boards'}]"
        for item in prepared(word).train:
            assert item.shows + item.absent in (("crack", "seam"), ("seam", "crack"))

    def test_absence_can_be_limited(self, prompt_data):
        walls, boards = prompt_data / "walls", prompt_data / "boards"
        parts = prepared(f"data.sources=[{{root:{walls},absent:none}},{boards}]")
        assert all(item.absent == () for item in parts.train if item.source == "walls")
        assert all(item.absent == ("crack",) for item in parts.train if item.source == "boards")

    def test_related_classes_are_not_asked_for_as_absent(self, prompt_data, tmp_path):
        write_class_folders(tmp_path / "tiles", {"MT_Crack": "line", "MT_Break": "bar"}, 6, 0)
        tiles = f"{{root:{tmp_path / 'tiles'},mask_rule:threshold}}"
        parts = prepared(f"data.sources=[{prompt_data / 'walls'},{tiles}]")
        for item in parts.train:
            if "tile_crack" in item.parts:
                assert "crack" not in item.absent
            if item.source == "walls":
                assert "tile_crack" not in item.absent
                assert "break" in item.absent

    def test_every_class_gets_into_every_part(self, tmp_path):
        kinds = {"MT_Crack": "line", "MT_Break": "bar", "MT_Free": "none"}
        write_class_folders(tmp_path / "tiles", kinds, 14, 0)
        parts = prepared(f"data.sources=[{{root:{tmp_path / 'tiles'},mask_rule:threshold}}]")
        for role in (parts.train, parts.valid, parts.test):
            assert {name for item in role for name in item.parts} == {"tile_crack", "break"}
            assert any(not item.parts for item in role)

    def test_the_same_seed_splits_alike_and_another_one_differently(self, prompt_data):
        word = f"data.sources=[{prompt_data / 'walls'}]"
        ids = [[item.id for item in prepared(word, seed=seed).valid] for seed in (3, 3, 4)]
        assert ids[0] == ids[1] != ids[2]

    def test_groups_stay_together(self, tmp_path):
        write_masks(tmp_path / "walls", "line", "segment crack", {"train": 12}, 0)
        for kind in ("images", "masks"):
            for number, path in enumerate(sorted((tmp_path / "walls/train" / kind).iterdir())):
                rest = path.name.partition("__")[2]
                tail = f"__{rest}" if rest else ".png"
                path.rename(path.with_name(f"wall{number // 3}_png.rf.{number:02}{tail}"))
        parts = prepared(f"data.sources=[{tmp_path / 'walls'}]")
        groups = [{item.group for item in role} for role in (parts.train, parts.valid, parts.test)]
        assert len(set.union(*groups)) == 4
        assert sum(map(len, groups)) == 4

    def test_a_picture_in_two_sources_is_refused(self, prompt_data, tmp_path):
        copy = tmp_path / "copy"
        (copy / "valid").mkdir(parents=True)
        for kind in ("images", "masks"):
            (copy / "valid" / kind).mkdir()
            for path in (prompt_data / "walls" / "train" / kind).iterdir():
                (copy / "valid" / kind / path.name).write_bytes(path.read_bytes())
        write_masks(copy / "more", "line", "segment crack", {"train": 6}, 9)
        (copy / "more" / "train").rename(copy / "train")
        (copy / "more").rmdir()
        with pytest.raises(LeakageError, match="same pictures"):
            prepared(f"data.sources=[{prompt_data / 'walls'},{copy}]")

    def test_the_fingerprint_follows_the_labels(self, prompt_data):
        word = f"data.sources=[{prompt_data / 'walls'}]"
        parts = prepared(word)
        assert parts.fingerprint == prepared(word).fingerprint
        assert fingerprint(parts.train) != fingerprint(parts.train[1:])

    def test_held_out_wordings_travel_with_the_table(self, prompt_data):
        parts = prepared(f"data.sources=[{prompt_data / 'walls'}]", held_out=["any crack here"])
        assert "any crack here" in parts.table.classes["crack"].held_out

    def test_pictures_without_anything_to_learn_are_refused(self, tmp_path):
        write_masks(tmp_path / "walls", "none", "segment crack", {"train": 6}, 0)
        with pytest.raises(DataError, match="none of the training pictures shows any class"):
            prepared(f"data.sources=[{tmp_path / 'walls'}]")


@pytest.mark.real_data
def test_the_shared_data_sets_train_together(shared_data):
    sources = (
        f"{shared_data / 'cracks-wall'},{{root:{shared_data / 'drywall-seams'},format:coco}},"
        f"{{root:{shared_data / 'magnetic-tile'},mask_rule:threshold}}"
    )
    parts = prepared(f"data.sources=[{sources}]")
    assert set(parts.classes) == {
        "crack", "seam", "blowhole", "break", "tile_crack", "fray", "uneven",
    }  # fmt: skip
    assert parts.problems == []
    for role in (parts.train, parts.valid, parts.test):
        assert {name for item in role for name in item.parts} == set(parts.classes)
    assert sum(item.source == "cracks-wall" for item in parts.test) == 120
    assert sum(item.source == "drywall-seams" for item in parts.test) == 21
