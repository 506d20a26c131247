"""A folder in which the commands of the documentation find what they name, but small."""

import shutil

import cv2
import numpy as np
import soundfile
from leaf_samples import write_leaves
from line_samples import write_coco
from prompt_samples import draw_scene, write_class_folders, write_masks
from speech_samples import RATE, say_tones
from tiny_classification import run, write_folders, write_steel
from tiny_dual import write_pseudo_labelled

from faultline.artifacts.bundle import Bundle, save_bundle
from faultline.files import write_text
from faultline.models import create_model
from faultline.pseudolabel.channels import CHANNELS
from faultline.pseudolabel.store import LabelFolder

PICTURES = {"train": 6, "valid": 3, "test": 3}
TRAINED = [
    "trainer.max_epochs=1", "trainer.max_steps=2", "trainer.max_time=null",
    "trainer.precision=fp32", "trainer.accelerator=cpu", "trainer.tensorboard=false",
]  # fmt: skip
"""What makes a training of any kind a matter of a second or two."""
CROPS = ["data.batch_size=2", "data.crop=32", "data.crops_per_image=1", "evaluation.examples=1"]
WHOLE = ["data.batch_size=4", "data.image_size=64"]
BOTH = [
    "data.batch_size=4", "data.image_size=64", "trainer.max_time=null", "trainer.precision=fp32",
    "trainer.accelerator=cpu", "trainer.tensorboard=false", "phases.a.epochs=1",
    "phases.b.epochs=1", "phases.c.epochs=1", "phases.min_iou=0", "evaluation.examples=1",
]  # fmt: skip
"""What makes a training of two heads short: its epochs are those of its phases."""
SPOKEN = ["data.batch_size=4", "model.dim=16", "model.heads=2", "model.encoder_depth=1"]


def fill(root):
    """Data sets, pictures, recordings and files, under the names of the pages."""
    for seed, name in enumerate(("photos", "other-photos", "cracks-road", "cracks-wall")):
        for number, (split, count) in enumerate(PICTURES.items()):
            write_coco(root / name / split, count, 10 * seed + number)
    _masks_beside(root / "photos")
    for number, (split, count) in enumerate(PICTURES.items()):
        write_coco(root / "seams" / split, count, 100 + number, category="taping joint")
    for seed, (name, kind, prompt) in enumerate(
        (("walls", "line", "segment crack"), ("boards", "bar", "segment taping area"),
         ("other-walls", "line", "segment crack"))
    ):  # fmt: skip
        write_masks(root / name, kind, prompt, {"train": 8, "valid": 4}, seed)
    write_class_folders(root / "tiles", {"blowhole": "bar", "fray": "line", "free": "none"}, 8, 0)
    write_steel(root / "steel", 30)
    for name in ("FOLDER", "sugarcane"):
        write_folders(root / name, {"bar": 12, "clean": 12, "spot": 12})
    _leaves(root / "leaves")
    write_leaves(root / "canes", {"train": 4, "val": 2, "test": 2})
    _gold(root / "gold")
    write_pseudo_labelled(root / "leaves-by-class", root / "pseudo", 9)
    for name in ("new", "unsorted", "site/roof"):
        _pictures(root / name, 3)
    shutil.copy(root / "new" / "0.jpg", root / "one.png")
    for name in ("digits", "recordings"):
        _digits(root / name)
    _sounds(root)
    for name in ("words.txt", "commands.txt"):
        write_text(root / name, "zero\none\ntwo\n")
    write_text(root / "wanted.txt", "segment crack\nsegment taping area\n")
    write_text(root / "settings.yaml", "LOSS: bce_dice\nLR: 0.001\n")


def learn(root):
    """Runs under the names of the pages; the working directory is `root`."""
    photos = ["data=photos/", *CROPS, *TRAINED, "model.base_channels=8"]
    for name, words in {
        "scratch_ed_plus": ["model=scratch_ed_plus"], "scratch_ed": ["model=scratch_ed"],
        "unet": ["model=unet"], "a": ["model=unet_mini"], "b": ["model=unet_mini"],
    }.items():  # fmt: skip
        assert run("train", *photos, *words, f"experiment={name}") == 0
    steel = ["task=classification", "data=steel/", "model.name=conv_next", *WHOLE, *TRAINED]
    assert run("train", *steel) == 0
    both = ["task=prompted", "model.name=prompt_ed", "data.sources=[walls/,boards/]"]
    assert run("train", *both, *CROPS, *TRAINED, "data.resize=64", "model.base_channels=8") == 0
    spoken = ["data=digits/", "data.test=index:0-1", *SPOKEN, *TRAINED]
    assert run("speech", "train", *spoken) == 0
    grid = ["data=photos/", "model=unet,unet_mini", "seed=0", "experiment=models", *CROPS]
    assert run("ablate", *grid, *TRAINED, "model.base_channels=4") == 0
    segmenter = {"num_classes": len(CHANNELS.names), "base_channels": 4}
    state = create_model("unet_mini", **segmenter).state_dict()
    home = root / "runs" / "segmenter" / "latest" / "checkpoints"
    save_bundle(home / "best.safetensors", Bundle("unet_mini", segmenter, CHANNELS, state))
    best = root / "runs" / "scratch_ed_plus" / "latest" / "checkpoints" / "best.safetensors"
    shutil.copy(best, root / "best.safetensors")


def _masks_beside(root):
    """The labels once more, as masks: a page reads them instead of the annotations."""
    for split in PICTURES:
        (root / split / "masks").mkdir()
        for path in sorted((root / split).glob("*.png")):
            dark = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) < 105
            cv2.imwrite(str(root / split / "masks" / path.name), 255 * dark.astype(np.uint8))


def _pictures(folder, count):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(str(folder.name)))
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.jpg"), draw_scene(rng, "line")[0])


def _leaves(root):
    """Masks by colour: a green leaf, and a red lesion on it."""
    rng = np.random.default_rng(3)
    for part, count in {"train": 6, "valid": 3, "test": 3}.items():
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            picture, lesion = draw_scene(rng, "bar")
            mask = np.full((*lesion.shape, 3), (0, 176, 0), np.uint8)
            mask[lesion > 0] = (0, 0, 255)  # OpenCV's order: blue, green, red
            cv2.imwrite(str(root / part / "images" / f"{part}{number}.png"), picture)
            cv2.imwrite(str(root / part / "masks" / f"{part}{number}.png"), mask)


def _gold(root):
    """A mask that somebody corrected: plant on half of the picture."""
    LabelFolder(root).write_channels()
    (root / "Healthy").mkdir()
    mask = np.repeat(np.array([[1, 2]], np.uint8), 32, axis=1).repeat(64, axis=0)
    cv2.imwrite(str(root / "Healthy" / "0_mask.png"), mask)


def _digits(root):
    """Recordings named like those of the digits, with tones for words."""
    (root / "recordings").mkdir(parents=True)
    lines = ["audio,text,speaker,duration"]
    words = {"0": ("zero", "abca"), "1": ("one", "bcb"), "7": ("seven", "cabcb")}
    for digit, (text, tones) in words.items():
        for number, speaker in enumerate(("jackson", "theo", "nicolas")):
            for index in range(6):
                name = f"recordings/{digit}_{speaker}_{index}.wav"
                wave = say_tones(tones, seed=100 * number + 10 * index + int(digit))
                soundfile.write(root / name, wave, RATE)
                lines.append(f"{name},{text},{speaker},{len(wave) / RATE}")
    write_text(root / "manifest.csv", "\n".join(lines) + "\n")


def _sounds(root):
    (root / "notes").mkdir()
    wave = say_tones("abcabc")
    for name in ("a.wav", "b.flac", "note.wav", "prompt.wav", "notes/1.wav", "notes/2.wav"):
        soundfile.write(root / name, wave, RATE)
    np.save(root / "features.npy", np.zeros((60, 40), np.float32))
