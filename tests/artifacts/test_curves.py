from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faultline.artifacts.curves import plot_curves, read_history
from faultline.artifacts.run import RunFolder
from faultline.errors import ConfigError, OutputError

LOG = """epoch,step,train/loss,valid/loss,valid/iou,valid/iou@0.5,lr
0,9,0.9,,,,0.001
0,19,0.7,,,,0.001
0,19,,0.6,0.2,0.1,
1,29,0.5,,,,0.001
1,39,nan,,,,0.001
1,39,,0.4,0.4,0.3,
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path, "e", "")
    folder.metrics_csv.write_text(LOG)
    return folder


def test_history_joins_sparse_rows_by_epoch(run: RunFolder) -> None:
    history = read_history(run.metrics_csv)
    assert history.axis == "epoch"
    assert history.curves["train/loss"] == [(0, pytest.approx(0.8)), (1, 0.5)]
    assert history.curves["valid/iou"] == [(0, 0.2), (1, 0.4)]
    assert list(history.named("iou")) == ["valid/iou", "valid/iou@0.5"]
    assert list(history.named("loss")) == ["train/loss", "valid/loss"]


def test_plots_are_png_by_default(run: RunFolder) -> None:
    written = plot_curves(run)
    assert written == [run.plots / "loss.png", run.plots / "iou.png"]
    with Image.open(written[0]) as picture:
        assert picture.format == "PNG"
        assert picture.width > 600


@pytest.mark.parametrize(
    ("name", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml"), (".TIFF", b"II*")]
)
def test_other_formats(name: str, start: bytes, run: RunFolder, tmp_path: Path) -> None:
    written = plot_curves(run, file_format=name, dpi=50, folder=tmp_path / "out")
    assert [path.parent.name for path in written] == ["out", "out"]
    assert all(path.read_bytes().startswith(start) for path in written)


def test_dpi_reaches_the_file(run: RunFolder) -> None:
    sizes = []
    for dpi in (60, 120):
        with Image.open(plot_curves(run, file_format="tiff", dpi=dpi)[0]) as picture:
            sizes.append(picture.width)
            assert picture.info["dpi"] == (dpi, dpi)
    assert sizes[1] == 2 * sizes[0]


def test_pyplot_is_not_touched(run: RunFolder) -> None:
    import sys

    before = "matplotlib.pyplot" in sys.modules
    plot_curves(run)
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_unknown_format_and_dpi(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tiff'"):
        plot_curves(run, file_format="tifff")
    with pytest.raises(ConfigError, match="dpi"):
        plot_curves(run, dpi=0)


@pytest.mark.parametrize("text", [None, "", "epoch,step", "epoch,valid/loss\n", "\0\0\0", "\n\n"])
def test_nothing_logged_plots_nothing(text: str | None, run: RunFolder) -> None:
    run.metrics_csv.unlink()
    if text is not None:
        run.metrics_csv.write_text(text)
    assert plot_curves(run) == []


def test_a_line_being_written_is_left_out(run: RunFolder) -> None:
    run.metrics_csv.write_text(LOG + "2,49,,0.3,0.")
    assert read_history(run.metrics_csv).curves["valid/iou"] == [(0, 0.2), (1, 0.4)]


def test_axis_falls_back_to_step_and_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n5,1\n7,2\n")
    assert read_history(path).curves == {"loss": [(5, 1), (7, 2)]}
    path.write_text("loss\n1\n2\n")
    assert read_history(path).curves == {"loss": [(0, 1), (1, 2)]}
    assert plot_curves(path) == [tmp_path / "plots" / "loss.png"]
    assert plot_curves(tmp_path, folder=tmp_path) == [tmp_path / "loss.png"]


def test_a_folder_that_cannot_be_written(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(OutputError):
        plot_curves(run, folder=tmp_path / "f")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=200) | st.integers(0, len(LOG)).map(lambda n: LOG[:n]))
def test_any_text_is_read(text: str) -> None:
    import tempfile

    handle, name = tempfile.mkstemp()
    os.write(handle, text.encode("utf-8", errors="replace"))
    os.close(handle)
    try:
        for curve in read_history(name).curves.values():
            assert curve == sorted(curve)
    finally:
        os.unlink(name)
