"""How busy a GPU is: logged where NVIDIA's library is there, told once where it is not."""

from types import SimpleNamespace

import pytest
import torch

from faultline.artifacts.run import RunFolder
from faultline.training import history
from faultline.training.history import History

GPU = torch.device("cuda")


def started(tmp_path, device):
    """The lines of a training that starts on `device`."""
    lines = []
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    History(RunFolder(tmp_path), lines.append).on_fit_start(trainer, None)
    return lines


@pytest.mark.parametrize(("device", "missing"), [("cuda", True), ("cuda", False), ("cpu", True)])
def test_the_extra_is_named_where_it_would_help(tmp_path, monkeypatch, device, missing):
    monkeypatch.setattr(history, "_MANAGEMENT", "no_such_package" if missing else "json")
    lines = started(tmp_path, device)
    assert len(lines) == (device == "cuda" and missing)
    assert all("pip install '.[gpu]'" in line for line in lines)


@pytest.mark.parametrize("error", [None, ModuleNotFoundError, RuntimeError, KeyError])
def test_what_the_library_cannot_tell_is_left_out(monkeypatch, error):
    def utilization(device):
        if error:
            raise error("of its own")
        return 42

    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5 * 2**20)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    row = history._of_gpu(GPU)
    assert row == ({"gpu_peak_mib": 5} if error else {"gpu_peak_mib": 5, "gpu_use_percent": 42})
