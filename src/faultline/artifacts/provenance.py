"""Where a run comes from: code, versions, machine, command and data; never any secret."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

import faultline
from faultline.artifacts.device import cpu_flags, device_name, resolve_device

_PACKAGE = Path(faultline.__file__).parent
_LIBRARIES = (
    "torch", "torchvision", "lightning", "numpy", "scipy", "opencv-python-headless", "pillow",
    "scikit-image", "scikit-learn", "pycocotools", "safetensors", "hydra-core", "omegaconf",
    "timm", "transformers", "kaldi-native-fbank", "soundfile", "iterative-stratification",
)  # fmt: skip
_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG",
    "PYTORCH_CUDA_ALLOC_CONF", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY",
)  # fmt: skip
"""Variables of the environment that change how numbers are computed; no others are looked at."""
_SECRET = re.compile(
    r"(?i)([\w.+-]*(?:token|secret|passw|credential|api[_-]?key|auth)[\w.-]*)(=|\s+)(\S+)"
)
_URL_LOGIN = re.compile(r"(\w+://)[^/\s@]+@")
_GIT_SECONDS = 5


def collect(
    *,
    seed: int | None = None,
    data_fingerprint: str | None = None,
    device: str | torch.device = "auto",
    precision: str | None = None,
) -> dict[str, Any]:
    """Everything needed to tell one run from another and to repeat it, as plain JSON values.

    Args:
        seed: The run's seed.
        data_fingerprint: `Manifest.fingerprint()` of what it is trained on.
        device: Where it runs; see `resolve_device`.
        precision: The number format that was settled on.
    """
    resolved = resolve_device(device)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(sys.argv),
        "seed": seed,
        "data_fingerprint": data_fingerprint,
        "faultline": faultline.__version__,
        "package_hash": package_hash(),
        "git": git_state(),
        "versions": versions(),
        "device": {
            "type": resolved.type,
            "name": device_name(resolved),
            "threads": torch.get_num_threads(),
            "cpus": os.cpu_count(),
            "cpu_flags": sorted(cpu_flags()),
            "precision": precision,
            "system": f"{platform.system()} {platform.machine()}",
            "kernel": platform.release(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "cuda": torch.version.cuda if resolved.type == "cuda" else None,
            "cudnn": _cudnn() if resolved.type == "cuda" else None,
        },
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def _cudnn() -> int | None:
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return version


def versions() -> dict[str, str]:
    """Version of Python and of each library that a result can depend on, where installed."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def package_hash() -> str:
    """SHA-256 (hex) over names and contents of the package's Python files."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def git_state() -> dict[str, Any] | None:
    """Commit of the package's source and whether it was changed since; None outside git."""
    # An installed copy may lie inside someone else's repository: only tracked source counts.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--", "."))}


def command_line(argv: Sequence[str]) -> str:
    """The command as typed, with the program's bare name and secrets blanked out."""
    words = [_program(Path(argv[0])), *argv[1:]] if argv else []
    hidden = _SECRET.sub(r"\1\2***", " ".join(words))
    return _URL_LOGIN.sub(r"\1***@", hidden)


def _program(path: Path) -> str:
    """Bare name of a program; a package that is run as a module is named as it is typed."""
    return f"python -m {path.parent.name}" if path.name == "__main__.py" else path.name


def _git(*arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
