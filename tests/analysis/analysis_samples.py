"""Trainings of seconds for the tests of the analysis."""

from tiny_classification import TINY, run


def learn(data, out, name, *words):
    """Train by the command line; the run folder."""
    tiny = [word for word in TINY if not word.startswith("model=")]
    assert run("train", f"data={data}", f"output_dir={out}", *tiny, "model=analysed_classifier",
               f"experiment={name}", *words) == 0  # fmt: skip
    return (out / name / "latest").resolve()
