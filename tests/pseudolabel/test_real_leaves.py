"""GrabCut and the gate's first steps on real leaves and on pictures of anything else."""

import numpy as np
import pytest

from faultline.data.images import read_image
from faultline.pseudolabel.grabcut import plant_belief

pytestmark = pytest.mark.real_data


def shares(folder, count):
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return np.array([(plant_belief(read_image(path)) > 0.5).mean() for path in chosen])


def test_leaves_fill_their_pictures(shared_data):
    for name in ("Healthy", "Mosaic", "RedRot", "Rust", "Yellow"):
        found = shares(shared_data / "sugarcane" / name, 12)
        assert np.median(found) > 0.4, name
        assert (found > 0.08).all(), name


def test_most_other_pictures_hold_less_green(shared_data):
    assert np.median(shares(shared_data / "not-inspected", 40)) < 0.4
