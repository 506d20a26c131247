"""Memory as numbers: the curve, the tiers, and how a batch is cut to fit."""

import pytest

from faultline.errors import ConfigError
from faultline.profiling.backbones import DOCUMENT
from faultline.training.memory import MemoryCurve, Tier, plan_batch, tier

GB = 10**9


def straight(fixed, each, batches=(1, 2, 4, 8)):
    return MemoryCurve({batch: round((fixed + each * batch) * GB) for batch in batches})


def document_curve(name):
    """The document's own measurements."""
    peaks = DOCUMENT[name].gigabytes
    return MemoryCurve({batch: round(peak * GB) for batch, peak in peaks.items()})


def test_the_line_is_found_and_extended():
    curve = straight(1.2, 0.3)
    fixed, each = curve.line
    assert fixed == pytest.approx(1.2 * GB)
    assert each == pytest.approx(0.3 * GB)
    assert curve.at(32) == pytest.approx(10.8 * GB)
    assert curve.at(4) == round(2.4 * GB)  # measured, not fitted


def test_the_line_is_never_negative():
    assert MemoryCurve({1: 10, 2: 40}).line[0] == 0.0
    assert MemoryCurve({1: 40, 2: 10}).line[1] == 0.0
    assert MemoryCurve({4: 100}).line == (0.0, 25.0)


@pytest.mark.parametrize("name", DOCUMENT)
def test_the_rule_gives_the_documents_own_tiers_to_its_own_measurements(name):
    assert tier(document_curve(name)) == DOCUMENT[name].tier


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (straight(0.1, 0.05), Tier.LIGHT),
        (straight(0.1, 0.1), Tier.MEDIUM),
        (straight(0.1, 0.4), Tier.HIGH),
        (straight(1.5, 0.2), Tier.HEAVY),
        (straight(0.0, 0.0875), Tier.MEDIUM),  # 0.7 GB exactly is no longer LIGHT
    ],
)
def test_tiers(curve, expected):
    assert tier(curve) is expected


class TestPlan:
    def test_all_at_once_where_it_fits(self):
        plan = plan_batch(straight(0.1, 0.05), 24 * GB)
        assert (plan.batch, plan.accumulation, plan.fits) == (32, 1, True)

    def test_halved_until_it_fits_with_the_margin(self):
        # 1 + 0.5 b GB: 16 takes 9 GB, times 1.15 is 10.35.
        assert plan_batch(straight(1.0, 0.5), 10.35 * GB).batch == 16
        assert plan_batch(straight(1.0, 0.5), 10.34 * GB).batch == 8

    @pytest.mark.parametrize("effective", [1, 6, 7, 12, 32, 48])
    def test_batches_times_accumulation_is_always_the_effective_batch(self, effective):
        for available in (0.5, 2, 4, 9, 50):
            plan = plan_batch(straight(1.0, 0.5), available * GB, effective)
            assert plan.batch * plan.accumulation == effective

    def test_what_does_not_fit_even_alone_says_so(self):
        plan = plan_batch(straight(3.0, 1.0), 2 * GB)
        assert (plan.batch, plan.accumulation, plan.fits) == (1, 32, False)

    def test_the_documents_rule_for_its_card(self):
        """On 22.7 GB free every backbone of the document reaches 32, none by checkpointing."""
        for name in DOCUMENT:
            plan = plan_batch(document_curve(name), 22.7 * GB)
            assert plan.batch * plan.accumulation == 32
            assert plan.fits

    @pytest.mark.parametrize("wrong", [{"available": 0}, {"effective": 0}, {"margin": 0.5}])
    def test_bad_numbers(self, wrong):
        with pytest.raises(ConfigError, match="at least 1"):
            plan_batch(straight(1, 1), **{"available": GB, **wrong})


def test_a_curve_needs_a_measurement():
    with pytest.raises(ConfigError, match="no batch size"):
        MemoryCurve({})
