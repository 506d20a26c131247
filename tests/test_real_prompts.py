"""The zero-IoU failure of the prompted-segmentation document on real walls, and its cure."""

import runpy
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real_data, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(
        str(Path(__file__).resolve().parents[1] / "benchmarks/prompt_zero_iou.py")
    )


def test_the_guard_names_the_cause_within_three_epochs(benchmark, shared_data):
    found = benchmark["attempt"](shared_data / "cracks-wall", benchmark["FAILURE"], 3, 0)
    assert found.epoch == 3
    assert "[threshold_too_high]" in found.told or "[predicts_background]" in found.told
    assert "weighted_bce_dice" in found.told
    assert found.iou[-1] < 0.01


def test_what_it_advises_leads_out_in_the_same_budget(benchmark, shared_data):
    found = benchmark["attempt"](shared_data / "cracks-wall", benchmark["ADVICE"], 3, 0)
    assert found.iou[-1] > 0.1
    assert found.epoch is None
