"""`oddframe doctor`: what this machine has, for questions and bug reports."""

from __future__ import annotations

import contextlib


def command() -> None:
    """Versions, threads, device, scan backends and video codecs of this machine."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from oddframe.process import cores

    print(f"{'python':>12}  {platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in ("oddframe", "torch", "numpy", "av", "lightning"):
        try:
            print(f"{name:>12}  {version(name)}")
        except PackageNotFoundError:
            print(f"{name:>12}  not installed from a wheel of this name")
    for line in _opencv():
        print(f"{'opencv':>12}  {line}")
    wait = os.environ.get("OMP_WAIT_POLICY", "not set")
    print(f"{'cpu':>12}  {cores()} cores, {torch.backends.cpu.get_cpu_capability()}")
    print(f"{'threads':>12}  torch {torch.get_num_threads()}, OMP_WAIT_POLICY {wait}")
    print(f"{'cuda':>12}  {_cuda()}")
    for line in _backends():
        print(f"{'scan':>12}  {line}")
    for line in _codecs():
        print(f"{'video':>12}  {line}")


OPENCV = (
    "opencv-python-headless", "opencv-python", "opencv-contrib-python",
    "opencv-contrib-python-headless",
)  # fmt: skip
"""Packages that all bring one `cv2`: two of them overwrite each other's files."""
MEND = (
    f"pip uninstall -y {' '.join(OPENCV)} && pip install --force-reinstall --no-deps "
    "opencv-python-headless"
)


def _opencv() -> list[str]:
    """Which OpenCV there is, and whether it can be imported."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in OPENCV:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    lines = [", ".join(found) or "not installed from a wheel of a known name"]
    if len(found) > 1:
        lines.append(f"WRONG: {len(found)} packages share the module cv2. {MEND}")
    try:
        import cv2
        import numpy as np

        cv2.cvtColor(np.zeros((8, 8, 3), np.uint8), cv2.COLOR_BGR2GRAY)
    except Exception as error:  # a missing libGL, a half-removed package, another module `cv2`
        lines.append(f"WRONG: cv2 does not work ({type(error).__name__}: {error}). {MEND}")
    return lines


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"none (torch built for CUDA {torch.version.cuda or '-'})"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{', '.join(names)} (CUDA {torch.version.cuda})"


def _backends() -> list[str]:
    """Each backend of the selective scan, run once on a small input and held to the reference."""
    import torch

    from oddframe.ops import BACKENDS, selective_scan, selective_scan_reference, unavailable
    from oddframe.ops.backends import choose
    from oddframe.ops.native.library import Library, load

    generator = torch.Generator().manual_seed(0)
    u, delta = (torch.randn(1, 8, 32, generator=generator) for _ in range(2))
    A = -torch.rand(8, 4, generator=generator)
    B, C = (torch.randn(1, 4, 32, generator=generator) for _ in range(2))
    expected = selective_scan_reference(u, delta, A, B, C, delta_softplus=True)
    library = load()
    notes = {"native": f" ({library.name})" if isinstance(library, Library) else ""}
    lines = [f"auto takes {choose('auto', u)} on the CPU"]
    for name in BACKENDS:
        if (reason := unavailable(name)) is not None:
            lines.append(f"{name}: not here, {reason}")
            continue
        device = "cuda" if name == "triton" else "cpu"
        on = [x.to(device) for x in (u, delta, A, B, C)]
        try:
            found = selective_scan(
                on[0], on[1], on[2], on[3], on[4], delta_softplus=True, backend=name
            )
        except Exception as error:  # a report has to go on, whatever a backend does
            lines.append(f"{name}: does not run here ({type(error).__name__}: {error})")
            continue
        gap = float((torch.as_tensor(found).cpu() - torch.as_tensor(expected)).abs().max())
        verdict = "ok" if gap < 1e-4 else "WRONG"
        lines.append(f"{name}{notes.get(name, '')}: {verdict}, largest difference {gap:.1e}")
    return lines


def _codecs() -> list[str]:
    """Which kinds of overlay video can be written and read back."""
    import tempfile
    from pathlib import Path

    try:
        import cv2 as _  # noqa: F401
        import numpy as np
    except Exception:
        return ["none without OpenCV"]
    from oddframe.errors import OddframeError
    from oddframe.pictures import Plain
    from oddframe.report.video import OverlayWriter
    from oddframe.types import Frame, Score, SourceInfo

    info = SourceInfo("probe", 64, 48, 25.0, None)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with OverlayWriter(Path(folder), "probe", info, None) as writer:
                for i in range(3):
                    frame = Frame(i, i / 25, Plain(np.zeros((48, 64, 3), np.uint8)))
                    writer.write(frame, Score(i, i / 25, float("nan"), float("nan"), False))
        except OddframeError as error:
            return [str(error)]
        return [f"overlay as {writer.path.suffix}: ok"]
