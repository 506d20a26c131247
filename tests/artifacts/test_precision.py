from __future__ import annotations

from pathlib import Path

import pytest
import torch

from faultline.artifacts import device as device_module
from faultline.artifacts import precision
from faultline.artifacts.device import cpu_flags, device_name, resolve_device
from faultline.artifacts.precision import Resolved, bf16_speedup, resolve_precision
from faultline.errors import ConfigError


@pytest.mark.parametrize(
    ("flags", "speedup", "chosen"),
    [
        ({"avx2"}, 9.0, "fp32"),
        ({"avx512_bf16"}, 2.5, "bf16"),
        ({"amx_bf16", "avx512_bf16"}, 3.0, "bf16"),
        ({"avx512_bf16"}, 1.05, "fp32"),
        ({"avx512_bf16"}, 0.2, "fp32"),
        (set(), 9.0, "fp32"),
    ],
)
def test_cpu_needs_flag_and_benchmark(
    flags: set[str], speedup: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(precision, "bf16_speedup", lambda: speedup)
    resolved = resolve_precision("auto", "cpu")
    assert resolved.precision == chosen
    assert resolved.reason.startswith(chosen)


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_gpu_takes_bf16_where_native(
    native: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device", lambda _: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert resolve_precision("auto", "cuda").precision == chosen


@pytest.mark.parametrize(
    ("asked", "chosen", "lightning"),
    [
        ("fp32", "fp32", "32-true"),
        ("32-true", "fp32", "32-true"),
        ("bf16-mixed", "bf16", "bf16-mixed"),
        ("BF16", "bf16", "bf16-mixed"),
    ],
)
def test_what_is_asked_for_is_taken(asked: str, chosen: str, lightning: str) -> None:
    resolved = resolve_precision(asked, "cpu")
    assert (resolved.precision, resolved.lightning) == (chosen, lightning)


def test_impossible_requests() -> None:
    with pytest.raises(ConfigError, match="did you mean 'bf16'"):
        resolve_precision("bf61", "cpu")
    with pytest.raises(ConfigError, match="fp16 cannot be used on a CPU"):
        resolve_precision("fp16", "cpu")


def test_the_benchmark_measures_once_and_draws_nothing() -> None:
    state = torch.get_rng_state()
    with torch.inference_mode():
        first = bf16_speedup()
    assert first > 0
    assert bf16_speedup() == first
    assert torch.equal(state, torch.get_rng_state())


def test_autocast_context() -> None:
    cpu = torch.device("cpu")
    x = torch.ones(2, 2)
    with Resolved("bf16", "").autocast(cpu):
        assert (x @ x).dtype is torch.bfloat16
    with Resolved("fp32", "").autocast(cpu):
        assert (x @ x).dtype is torch.float32


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="unknown device"):
        resolve_device("gpx")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="device=auto"):
        resolve_device("cuda")
    with pytest.raises(ConfigError, match="not available"):
        resolve_device("meta")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"


def test_cpu_facts_are_read_from_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: A CPU\nflags\t\t: fpu avx2 amx_bf16\n\nmodel name : B\n")
    monkeypatch.setattr(device_module, "_CPU_INFO", info)
    device_module._cpu_info.cache_clear()
    try:
        assert cpu_flags() == {"avx2", "amx_bf16"}
        assert device_name(torch.device("cpu")) == "A CPU"
        device_module._cpu_info.cache_clear()
        info.unlink()
        assert cpu_flags() == frozenset()
        assert device_name(torch.device("cpu"))
    finally:
        device_module._cpu_info.cache_clear()
