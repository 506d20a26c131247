"""Grids: what is swept over, in which order, and what is refused."""

import json

import pytest
from experiment_samples import run
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.errors import ConfigError
from faultline.experiments.grid import combinations, grid_names, load_grid, split_grid
from faultline.experiments.plan import make_plan

SIZES = {"augmentations": 7, "depth": 4, "layers": 4, "losses": 9, "models": 4, "norm": 4,
         "position": 3, "speech_blocks": 3, "speech_ctc": 5, "speech_frames": 4,
         "speech_sampling": 5, "speech_spare": 4, "width": 3}  # fmt: skip


def words_of(*words, **more):
    return [combination.words for combination in combinations(words, **more)]


class TestTheGridsOfThePackage:
    def test_all_of_them_are_known(self):
        assert grid_names() == list(SIZES)

    @pytest.mark.parametrize("name", SIZES)
    def test_every_point_is_a_training_that_can_begin(self, name, line_data):
        assert "seed=0,1,2" in load_grid(name).words
        of_speech = name.startswith("speech_")
        plan = make_plan([name, "data=toy" if of_speech else f"data={line_data}", "seed=0"])
        assert plan.kind == ("speech" if of_speech else "pictures")
        assert len(plan.points) == SIZES[name]
        assert plan.same == 0
        assert plan.name == name
        assert len({point.folder for point in plan.points}) == SIZES[name]

    def test_they_are_listed_with_the_question_that_they_ask(self, capsys):
        assert run("list", "grids", "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["name"] for row in rows] == list(SIZES)
        assert all(row["about"] and (row["words"] or row["variants"]) for row in rows)
        assert run("list", "grids") == 0
        assert "without flip" in capsys.readouterr().out


class TestCombinations:
    def test_seeds_vary_slowest(self):
        found = words_of("model=a,b", "seed=0,1")
        assert found == [
            ("seed=0", "model=a"), ("seed=0", "model=b"),
            ("seed=1", "model=a"), ("seed=1", "model=b"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("word", "values"),
        [
            ("seed=range(1,4)", ["seed=1", "seed=2", "seed=3"]),
            ("model.depth=choice(2,4)", ["model.depth=2", "model.depth=4"]),
            ("augment.blur=null,{p:0.1}", ["augment.blur=null", "augment.blur={p:0.1}"]),
            ("data.test='a,b'", ["data.test='a,b'"]),
            ("~augment.flip", ["~augment.flip"]),
            ("model.aspp_rates=[1,2],[3]", ["model.aspp_rates=[1,2]", "model.aspp_rates=[3]"]),
            ("data=my photos (1)", ["data=my photos (1)"]),
        ],
    )
    def test_values_of_a_word(self, word, values):
        assert words_of(word) == [(value,) for value in values]

    def test_the_later_word_counts_whatever_its_spelling(self):
        assert words_of("model.name=a,b", "lr=1,2", "model=c", "optimizer.lr=3") == [
            ("model=c", "optimizer.lr=3")
        ]

    def test_variants_join_each_combination(self):
        found = combinations(["seed=0,1"], {"with": [], "without": ["~augment.flip"]})
        assert [point.words for point in found] == [
            ("seed=0",), ("seed=0", "~augment.flip"), ("seed=1",), ("seed=1", "~augment.flip"),
        ]  # fmt: skip
        assert found[1].varied == {"seed": "0", "variant": "without"}

    def test_only_what_varies_is_named(self):
        assert combinations(["model=a", "seed=0,1"])[0].varied == {"seed": "0"}

    @given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    @settings(deadline=None, max_examples=50)
    def test_each_combination_once(self, counts):
        axes = [f"k{i}=" + ",".join(map(str, range(count))) for i, count in enumerate(counts)]
        found = words_of(*axes)
        expected = 1
        for count in counts:
            expected *= count
        assert len(found) == len(set(found)) == expected
        assert all([word.split("=")[0] for word in words] == [f"k{i}" for i in range(len(counts))]
                   for words in found)  # fmt: skip

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("lr=interval(0,1)", "no list of values: an interval"),
            ("seed=range(0,100000)", "more than 10,000"),
            ("model.name=glob(*)", "no list of values"),
        ],
    )
    def test_what_cannot_be_listed_is_refused(self, word, message):
        with pytest.raises(ConfigError, match=message):
            combinations([word])


class TestFiles:
    def test_a_file_of_ones_own(self, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text("about: Mine.\nwords: [seed=0]\nvariants: {a: [lr=1], b: }\n")
        grid, rest = split_grid([str(path), "seed=1"])
        assert (grid.name, grid.about, grid.words, rest) == (
            "mine",
            "Mine.",
            ("seed=0",),
            ["seed=1"],
        )
        assert grid.variants == {"a": ("lr=1",), "b": ()}

    def test_words_alone_are_no_grid(self):
        assert split_grid(["~augment.flip", "seed=0"]) == (None, ["~augment.flip", "seed=0"])
        assert split_grid([]) == (None, [])

    def test_an_unknown_name(self):
        with pytest.raises(ConfigError, match=r"no grid 'modles', did you mean 'models'.*depth"):
            split_grid(["modles", "seed=0"])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("wrods: [seed=0]", "unknown keys: 'wrods', did you mean 'words'"),
            ("- seed=0", "must be a mapping of keys to values"),
            ("words: seed=0", "must be lists of text"),
            ("words: [1]", "must be lists of text"),
            ("variants: [a]", "variants must be names"),
            ("words: [seed=0", "cannot be read as YAML"),
        ],
    )
    def test_files_that_are_no_grid(self, text, message, tmp_path):
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_grid(str(path))
