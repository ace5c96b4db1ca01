"""What a site is made of: detectors of its RUNs, sinks, and the hash of what scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from oddframe.errors import ConfigError
from oddframe.runs import WEIGHTS, Run, load_run
from oddframe.runtime.detector import Detector, load
from oddframe.runtime.watch.site import CameraConfig, SiteConfig
from oddframe.sinks import sink_config
from oddframe.sinks.base import SinkConfig


def weights_hash(detector: Detector) -> str:
    """12 hexadecimal digits of the weights that score, as they are on the disk."""
    data = (detector.info.run / WEIGHTS).read_bytes()
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def detector_of(run: Run, camera: str, device: str) -> Detector:
    """What scores a camera.

    Raises:
        ConfigError: it needs flow from files, or has no threshold.
        RunError: damaged.
    """
    detector = load(run, device)
    if detector.info.carried:
        raise ConfigError(
            f"{run.path} reads optical flow from files and cannot score camera {camera}. Fit a "
            "model that needs none."
        )
    if detector.info.threshold is None:
        raise ConfigError(
            f"{run.path} has no threshold, so there is no alarm for camera {camera}: run "
            f"oddframe calibrate {run.path} NORMAL-FOOTAGE --alarms-per-day 1."
        )
    return detector


def detectors_of(cameras: Mapping[str, CameraConfig], device: str) -> dict[str, Detector]:
    """One per RUN: cameras that share it are scored together.

    Raises:
        ConfigError, RunError: as `detector_of`, and `load_run`.
    """
    found = dict[str, Detector]()
    for name, camera in cameras.items():
        path = camera.detect.model
        if path is not None and path not in found:
            found[path] = detector_of(load_run(path), name, device)
    return found


def sinks_of(config: SiteConfig) -> dict[str, SinkConfig]:
    """The settings of all sinks, by their names.

    Raises:
        ConfigError: two of one name, or as `sink_config`.
    """
    found = dict[str, SinkConfig]()
    for values in config.sinks:
        sink = sink_config(values)
        name = sink.name or sink.kind
        if name in found:
            raise ConfigError(f"Two sinks are named {name}: give each a name of its own.")
        found[name] = sink
    return found
