"""The prompt table, prompts as they are typed, and wordings made of both."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.data.prompts import (
    MAX_LENGTH,
    PromptClass,
    PromptTable,
    clean_prompt,
    comparable,
    load_table,
    package_table,
    read_prompts,
    shared_wordings,
    table_of,
    unique_prompts,
)
from faultline.data.wordings import FOREIGN_CHECK, FOREIGN_TRAIN, Wordings, edited
from faultline.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def table():
    return package_table()


class TestTable:
    def test_has_the_prompts_of_the_document(self, table):
        assert table.classes["crack"].prompts == ("segment crack", "segment wall crack")
        assert table.classes["seam"].prompts == (
            "segment taping area", "segment joint/tape", "segment drywall seam",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "wanted"),
        [
            ("MT_Blowhole", "blowhole"), ("MT_Crack", "tile_crack"), ("MT_Fray", "fray"),
            ("MT_Uneven", "uneven"), ("MT_Break", "break"), ("drywall-join", "seam"),
            ("segment_crack", "crack"), ("Segment  Crack", "crack"), ("lesion", "lesion"),
            ("RedRot", "leaf_red_rot"), ("Mosaic", "leaf_mosaic"), ("banana", None),
        ],
    )  # fmt: skip
    def test_knows_what_data_sets_call_its_classes(self, table, name, wanted):
        assert table.class_of(name) == wanted

    def test_gives_no_wording_to_two_classes(self, table):
        assert shared_wordings(table.classes) == []

    def test_survives_being_written_down(self, table):
        assert table_of(table.to_dict()) == table

    def test_related_classes_go_both_ways(self, table):
        assert table.related("crack", "tile_crack")
        assert table.related("tile_crack", "crack")
        assert table.related("seam", "seam")
        assert not table.related("crack", "seam")

    def test_a_class_it_does_not_have_gets_a_prompt(self, table):
        grown = table.only(["crack"]).with_classes(["crack", "oil_stain"])
        assert grown.classes["oil_stain"].prompts == ("segment oil stain",)
        assert list(grown.classes) == ["crack", "oil_stain"]

    def test_more_wordings_can_be_held_out(self, table):
        held = table.holding_out(["any cracks left?"])
        assert "any cracks left?" in held.classes["crack"].held_out

    def test_a_prompt_of_the_table_that_is_held_out_is_not_asked_in_training(self, table):
        held = table.only(["crack"]).holding_out(["Segment crack"])
        entry = held.classes["crack"]
        assert "segment crack" not in entry.prompts
        assert entry.prompts
        wordings, rng = Wordings(held), np.random.default_rng(0)
        assert "segment crack" not in {comparable(wordings.draw("crack", rng)) for _ in range(300)}

    def test_the_only_prompt_of_a_class_cannot_be_held_out(self, table):
        alone = table.with_classes(["rust"])
        with pytest.raises(ConfigError, match="'segment rust' is the only prompt of 'rust'"):
            alone.holding_out(["segment rust"])

    def test_a_held_out_wording_of_nothing_is_refused(self, table):
        with pytest.raises(ConfigError, match="'segment moon' is not a wording of any class"):
            table.holding_out(["segment moon"])


class TestUsersTable:
    def test_adds_and_replaces_classes(self, tmp_path):
        file = tmp_path / "prompts.yaml"
        file.write_text(
            "classes:\n  rust:\n    prompts: [segment rust]\n    nouns: [rust, corrosion]\n"
            "  crack:\n    prompts: [zeige risse]\n"
        )
        table = load_table(file)
        assert table.class_of("corrosion") == "rust"
        assert table.classes["crack"].prompts == ("zeige risse",)
        assert "seam" in table.classes
        assert table.templates == package_table().templates

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("classes: 3", "must hold `classes:`"),
            ("classes: {rust: {}}", "class 'rust' has no prompts"),
            ("classes: {rust: {promts: [a]}}", "unknown key 'promts', did you mean 'prompts'?"),
            ("classes: {rust: {prompts: rust}}", "rust.prompts must be a list of texts"),
            ("classes: {rust: {prompts: ['  ']}}", "is empty"),
            ("templates: [find]\nclasses: {a: {prompts: [b]}}", "'find' needs one {}"),
            ("classes: {a: {prompts: [x]}, b: {prompts: [X]}}", "wording of 'a' and of 'b'"),
            ("classes: [", "cannot be read as YAML"),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path, text, message):
        file = tmp_path / "prompts.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_table(file)
        assert message in str(caught.value)
        assert "prompts.yaml" in str(caught.value)

    def test_an_absent_file_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match="no such prompt table"):
            load_table(tmp_path / "none.yaml")


class TestPrompts:
    @pytest.mark.parametrize("text", ["", "   ", "\t\n", "\u200b", "\x00"])
    def test_empty_prompts_are_refused(self, text):
        with pytest.raises(DataError, match=r'is empty -> say what to look for, .*"segment crack"'):
            clean_prompt(text)

    def test_very_long_prompts_are_refused(self):
        with pytest.raises(DataError, match=f"has 1000 characters, at most {MAX_LENGTH}"):
            clean_prompt("crack " * 166 + "wall")

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("  segment   crack\n", "segment crack"), ("ｃｒａｃｋ", "crack"),
            ("裂缝", "裂缝"), ("🔥 crack", "🔥 crack"), ("<b>crack</b>", "<b>crack</b>"),
            ("a\u202eb", "a b"), ("crack\ud800", "crack"),
        ],
    )  # fmt: skip
    def test_others_come_through_in_one_form(self, text, wanted):
        assert clean_prompt(text) == wanted

    @settings(deadline=None, max_examples=50)
    @given(st.text(max_size=60))
    def test_cleaning_is_final(self, text):
        try:
            once = clean_prompt(text)
        except DataError:
            return
        assert clean_prompt(once) == once
        assert once == once.strip()
        assert once.isprintable()
        once.encode("utf-8")

    def test_each_is_asked_once(self):
        assert unique_prompts(["a", " a ", "A"]) == ["a", "A"]

    def test_a_file_notes_its_duplicates(self, tmp_path):
        file = tmp_path / "list.txt"
        file.write_text("# what we look for\nsegment crack\n\n  segment crack  \nsegment seam\n")
        prompts, notes = read_prompts(file)
        assert prompts == ["segment crack", "segment seam"]
        assert notes == [f"{file}: line 4 repeats line 2: asked once"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"# nothing\n", "holds no prompt"), (b"\xff\xfe\x00", "is not UTF-8"),
         (b"crack " * 60, "line 1: the prompt")],
    )  # fmt: skip
    def test_a_bad_file_is_named(self, tmp_path, content, message):
        file = tmp_path / "list.txt"
        file.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_prompts(file)
        assert message in str(caught.value)
        assert "list.txt" in str(caught.value)


class TestWordings:
    def test_never_makes_what_is_held_out(self, table):
        wordings = Wordings(table)
        rng = np.random.default_rng(0)
        held = {comparable(text) for _, text in wordings.held_out()}
        made = {comparable(wordings.draw("crack", rng)) for _ in range(3000)}
        assert comparable("find the cracks") in held
        assert not made & held
        assert len(made) > 300

    def test_without_variation_only_prompts_are_asked(self, table):
        wordings = Wordings(table, vary=False)
        rng = np.random.default_rng(0)
        asked = {wordings.draw("seam", rng) for _ in range(100)}
        assert asked == set(table.classes["seam"].prompts)

    def test_the_same_seed_makes_the_same_wordings(self, table):
        first, second = (
            [Wordings(table).draw("fray", np.random.default_rng(5)) for _ in range(1)]
            for _ in range(2)
        )
        assert first == second

    def test_foreign_prompts_share_no_word_with_the_classes(self, table):
        wordings = Wordings(table.only(["crack", "blowhole"]))
        own = {w for e in wordings.table.classes.values() for n in (*e.prompts, *e.nouns)
               for w in comparable(n).split()}  # fmt: skip
        for noun in wordings.foreign([*FOREIGN_TRAIN, *FOREIGN_CHECK, "black hole"]):
            assert not own & set(comparable(noun).split()), noun
        assert "black hole" not in wordings.foreign(["black hole"])

    def test_what_measures_distance_is_not_trained_on(self):
        assert not set(FOREIGN_TRAIN) & set(FOREIGN_CHECK)

    @settings(deadline=None, max_examples=50)
    @given(st.text(alphabet="abcdef ", min_size=4, max_size=20), st.integers(0, 2**32))
    def test_a_slip_changes_the_length_by_at_most_one(self, text, seed):
        changed = edited(text, np.random.default_rng(seed))
        assert abs(len(changed) - len(text)) <= 1
        assert set(changed) <= set(text)

    def test_a_class_without_nouns_is_asked_by_its_prompts(self):
        table = PromptTable({"a": PromptClass("a", ("show a",))})
        wordings, rng = Wordings(table), np.random.default_rng(1)
        made = {wordings.draw("a", rng) for _ in range(50)}
        assert {"show a", "segment show a"} <= made
