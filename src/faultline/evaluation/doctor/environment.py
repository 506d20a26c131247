"""What this machine offers: versions, device, precision, memory, disk, optional parts."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

import psutil
import torch

from faultline.artifacts.device import cpu_flags, device_name, resolve_device
from faultline.artifacts.precision import resolve_precision
from faultline.evaluation.doctor.report import DoctorReport, Table

REQUIRED = (
    "torch", "torchvision", "lightning", "hydra-core", "omegaconf", "numpy", "scipy",
    "opencv-python-headless", "scikit-image", "scikit-learn", "pycocotools", "pillow",
    "safetensors", "matplotlib", "jinja2", "typer", "rich", "tensorboard", "psutil",
)  # fmt: skip
OPTIONAL = {
    "timm": "pretrained backbones",
    "onnx": "export to ONNX",
    "onnxruntime": "running and checking ONNX exports",
    "transformers": "masks from a prompt",
    "captum": "Grad-CAM in the report of a classification",
    "xgboost": "boosted stackers",
    "fastapi": "HTTP service",
    "gradio": "web page",
    "ray": "several machines",
    "segmentation_models_pytorch": "reference networks in the tests",
}
MINIMUM_TORCH = (2, 8)
LOW_MEMORY_GB = 4.0
LOW_DISK_GB = 2.0


def environment_check(output_dir: str | Path = ".") -> DoctorReport:
    """Examine Python, packages, device, precision, memory and the disk under `output_dir`."""
    report = DoctorReport("Environment")
    _packages(report)
    _hardware(report)
    _precision(report)
    _disk(report, Path(output_dir))
    _optional(report)
    return report


def _packages(report: DoctorReport) -> None:
    rows = [("Python", platform.python_version()), ("System", platform.platform())]
    missing = []
    for name in REQUIRED:
        version = _version(name)
        rows.append((name, version or "missing"))
        if version is None:
            missing.append(name)
    if missing:
        report.add(
            "error",
            "package-missing",
            f"not installed: {', '.join(missing)}; run pip install . in Faultline's folder",
        )
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < MINIMUM_TORCH:
        report.add(
            "error",
            "torch-old",
            f"torch {torch.__version__} is older than "
            f"{'.'.join(map(str, MINIMUM_TORCH))}; run: pip install --upgrade torch",
        )
    report.tables.append(Table.of("Versions", ("package", "version"), rows))
    report.facts["versions"] = dict(rows)


def _hardware(report: DoctorReport) -> None:
    memory = psutil.virtual_memory()
    total, free = memory.total / 2**30, memory.available / 2**30
    cores = _usable_cores()
    device = resolve_device()
    rows = [
        ("Device that auto takes", f"{device.type}, {device_name(device)}"),
        ("CPU", device_name(torch.device("cpu"))),
        ("CPU features", " ".join(sorted(cpu_flags())) or "not known"),
        ("Cores usable", f"{cores} of {os.cpu_count()}"),
        ("Threads of torch", str(torch.get_num_threads())),
        ("Memory free", f"{free:.1f} of {total:.1f} GB"),
    ]
    if free < LOW_MEMORY_GB:
        report.add(
            "warning",
            "memory-low",
            f"{free:.1f} GB of memory are free; make data.batch_size smaller if a run is killed",
        )
    report.tables.append(Table.of("Machine", ("what", "found"), rows))
    report.facts["machine"] = dict(rows)


def _precision(report: DoctorReport) -> None:
    chosen = resolve_precision()
    rows = [("precision=auto takes", chosen.reason)]
    report.tables.append(Table.of("Precision", ("what", "found"), rows))
    report.facts["precision"] = {"precision": chosen.precision, "reason": chosen.reason}


def _disk(report: DoctorReport, folder: Path) -> None:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free / 2**30
    writable = os.access(existing, os.W_OK)
    if not writable:
        report.add(
            "error",
            "output-not-writable",
            f"{existing} cannot be written; choose another output folder",
            (str(existing),),
        )
    if free < LOW_DISK_GB:
        report.add(
            "warning", "disk-low", f"{free:.1f} GB are free under {existing}; checkpoints need room"
        )
    rows = [("Output folder", str(existing)), ("Free", f"{free:.1f} GB"), ("Writable", writable)]
    report.tables.append(Table.of("Disk", ("what", "found"), rows))
    report.facts["disk_free_gb"] = round(free, 2)


def _optional(report: DoctorReport) -> None:
    rows = []
    for name, purpose in OPTIONAL.items():
        present = importlib.util.find_spec(name) is not None
        rows.append((name, (_version(name) or "present") if present else "not installed", purpose))
    report.tables.append(Table.of("Optional", ("package", "version", "for"), rows))
    report.facts["optional"] = {row[0]: row[1] for row in rows}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
