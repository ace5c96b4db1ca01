"""What was changed of a site while it ran, in `STORE/site.json`; it lies over SITE.yaml.

    edits = Edits(config.store.path)
    config = edits.apply(config)                        # at the start
    edits.camera("gate", zones=[...])                   # merged with what was changed before
    edits.drop("yard")                                  # all that was changed of it

Cameras that were added, zones, masks, RUNs, rules of events. SITE.yaml itself is never written.
The file holds addresses of cameras with their passwords: it is for its owner alone (0600), and
nothing serves it. It is written under a temporary name and renamed.

    {"version": 1, "cameras": {
      "gate": {"zones": [...], "detect": {"model": "runs/gate-2"}},
      "yard": {"source": "rtsp://…", "realtime": true, "detect": {"model": null}}}}

A camera with a `source` was added. RUNs below the store are named relative to it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from oddframe.errors import ConfigError
from oddframe.events.store import StoreError
from oddframe.events.store.files import UNFINISHED
from oddframe.events.zones import check
from oddframe.runtime.watch.site import CAMERA, CameraConfig, SiteConfig

log = logging.getLogger("oddframe.runtime.watch")

NAME = "site.json"
VERSION = 1
Values = dict[str, Any]


class Edits:
    """The changes of one store's site; any thread may call.

    folder: the store's; it need not be there yet.

    Raises:
        ConfigError: the file cannot be read, or is of another kind or version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._lock = threading.RLock()
        self._cameras = self._read()

    def apply(self, config: SiteConfig) -> SiteConfig:
        """A site as it is with the changes.

        Raises:
            ConfigError: one of them is not what a site takes (any more).
        """
        cameras = dict(config.cameras)
        for name, changes in self._cameras.items():
            if name not in cameras and "source" not in changes:
                log.info("%s holds changes of a camera %s, which is no more", self.path, name)
                continue
            if name in cameras and "source" in changes:
                log.warning("camera %s was added by hand and is in SITE.yaml now: its source is "
                            "that of SITE.yaml", name)  # fmt: skip
            try:
                cameras[name] = self._changed(name, changes, config)
            except ConfigError as error:
                raise ConfigError(
                    f"{self.path}, which holds what was changed by hand, does not fit: camera "
                    f"{name}: {error} Mend it there."
                ) from None
        return config.model_copy(update={"cameras": cameras})

    def camera(self, name: str, **changes: Any) -> None:
        """Keep changes of a camera, beside those that were there; `detect` is merged as well.

        changes: keys of a camera in a site's YAML, plain values.

        Raises:
            StoreError: the file cannot be written; nothing is changed then.
        """
        with self._lock:
            before = self._cameras.get(name, {})
            after = {**before, **changes}
            if "detect" in changes:
                after["detect"] = {**before.get("detect", {}), **self._short(changes["detect"])}
            self._put(name, after)

    def drop(self, name: str) -> None:
        """Forget all that was changed of a camera, and itself where it was added.

        Raises:
            StoreError: as `camera`.
        """
        with self._lock:
            if name in self._cameras:
                self._put(name, None)

    @contextlib.contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """What the block changes of a camera is taken back where it raises."""
        before = self._cameras.get(name)
        try:
            yield
        except BaseException:
            if self._cameras.get(name) is not before:
                with contextlib.suppress(StoreError):  # what was raised says more
                    self._put(name, before)
            raise

    @property
    def added(self) -> frozenset[str]:
        """Names of the cameras that were added."""
        return frozenset(name for name, changes in self._cameras.items() if "source" in changes)

    def _changed(self, name: str, changes: Values, config: SiteConfig) -> CameraConfig:
        if not CAMERA.fullmatch(name):
            raise ConfigError("a camera's name is letters, digits, _ and -, 64 at most.")
        known = config.cameras.get(name)
        if known is not None:
            changes = {k: v for k, v in changes.items() if k not in ("source", "realtime")}
            values, detect = known.model_dump(), known.detect.model_dump()
        else:
            values, detect = {}, config.detect.model_dump() | {"model": None}
        detect |= changes.get("detect", {})
        model = detect["model"]
        if isinstance(model, str) and (self._folder / model).exists():
            detect["model"] = str(self._folder / model)
        found = CameraConfig.read({**values, **changes, "detect": detect})
        check(found.detect, found.zones)
        return found

    def _short(self, detect: Mapping[str, Any]) -> Values:
        """A RUN below the store by its path there: the store may be moved."""
        model = detect.get("model")
        if model is None:
            return dict(detect)
        with contextlib.suppress(ValueError, OSError):
            model = str(Path(model).resolve().relative_to(self._folder.resolve()))
        return {**detect, "model": str(model)}

    # ---- the file

    def _read(self) -> dict[str, Values]:
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise self._unreadable(f"cannot be read: {why}") from None
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(f"is no JSON: {error}") from None
        if not isinstance(values, dict) or values.get("version") != VERSION:
            found = values.get("version") if isinstance(values, dict) else None
            raise self._unreadable(f"has version {found!r}, where {VERSION} is expected")
        cameras = values.get("cameras")
        if not isinstance(cameras, dict) or not all(_is_camera(c) for c in cameras.values()):
            raise self._unreadable('has no "cameras": {NAME: {…}}')
        return cameras

    def _unreadable(self, what: str) -> ConfigError:
        return ConfigError(
            f"{self.path}, which holds what was changed by hand (cameras, zones, masks, RUNs), "
            f"{what}. It was left as it is: mend it, or move it away to start with SITE.yaml alone."
        )

    def _put(self, name: str, values: Values | None) -> None:
        with self._lock:
            rest = {n: v for n, v in self._cameras.items() if n != name}
            after = rest if values is None else {**rest, name: values}
            self._write({"version": VERSION, "cameras": after})
            self._cameras = after

    def _write(self, values: Values) -> None:
        temporary = self.path.with_name(f"{UNFINISHED}{secrets.token_hex(6)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump(values, out, indent=1, ensure_ascii=True)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self.path)
        except OSError as error:
            raise StoreError(
                f"Cannot write {self.path}: {error.strerror or error}. What was changed is not "
                "kept, so it was not changed. Free some space, or give the folder to the user that "
                "oddframe runs as."
            ) from None
        finally:
            with contextlib.suppress(OSError):  # after a success it has its name already
                temporary.unlink()


def _is_camera(values: object) -> bool:
    return isinstance(values, dict) and isinstance(values.get("detect", {}), dict)
