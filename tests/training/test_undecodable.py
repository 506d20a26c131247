"""A picture that turns out to be damaged while it is trained on, or before."""

import io
import json
import shutil

import pytest
from PIL import Image
from training_settings import settings, silent

from faultline.errors import ImageError
from faultline.training.fit import train


def damage(path):
    """Break the middle of a PNG, which only decoding notices."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("split", "workers"), [("train", 0), ("train", 1), ("valid", 0)])
def test_it_is_named_in_one_clear_error(split, workers, line_data, tmp_path):
    data = tmp_path / "lines"
    shutil.copytree(line_data, data)
    broken = sorted((data / split).glob("*.png"))[1]
    damage(broken)
    words = [f"data.num_workers={workers}", "trainer.max_epochs=1"]
    with pytest.raises(ImageError) as caught:
        train(settings(data, tmp_path / "runs", *words), say=silent)
    message = str(caught.value)
    assert message.startswith(f"{broken}: the pixels cannot be decoded: ")
    assert message.endswith(
        " -> copy or export it again, or move it out of the data set (`faultline doctor "
        "data=FOLDER` decodes everything and names all such files at once)"
    )
    assert "\n" not in message


def test_cut_files_of_every_form_are_left_out_and_named(line_data, tmp_path):
    data, said = tmp_path / "lines", []
    shutil.copytree(line_data, data)
    annotations = data / "train" / "_annotations.coco.json"
    content = json.loads(annotations.read_text())
    for entry, form in zip(content["images"], ("tif", "bmp", "ppm", "jpg"), strict=False):
        old = data / "train" / entry["file_name"]
        new = old.with_suffix(f".{form}")
        with Image.open(old) as picture:
            thumbnail = io.BytesIO()
            picture.resize((32, 24)).save(thumbnail, "JPEG")
            extra = {"exif": b"Exif\x00\x00" + thumbnail.getvalue()} if form == "jpg" else {}
            picture.save(new, **extra)
        new.write_bytes(new.read_bytes()[:-50])
        old.unlink()
        entry["file_name"] = new.name
    annotations.write_text(json.dumps(content))
    train(settings(data, tmp_path / "runs", "trainer.max_epochs=1"), say=said.append)
    left_out = [line for line in said if "left out train/" in line]
    assert sorted(line.partition(":")[0].rpartition(".")[2] for line in left_out) == [
        "bmp", "jpg", "ppm", "tif",
    ]  # fmt: skip
    assert all("the file is truncated" in line for line in left_out)
