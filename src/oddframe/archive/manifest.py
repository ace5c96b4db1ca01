"""What a folder of results was made by: DIR/manifest.json, written before anything else.

It is held against every later command: results of another RUN, or cut otherwise, are never mixed.
More files may come; a file that was changed is another file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from oddframe import __version__
from oddframe.archive.files import File
from oddframe.archive.tasks import Job
from oddframe.atomic import write_json
from oddframe.errors import RunError
from oddframe.identity import WORDS, light_thresholds, parts_of, short_hash
from oddframe.runs import Run
from oddframe.runtime.alarms import spread_of

MANIFEST, FILES = "manifest.json", "files"
HALF = f".{MANIFEST}.", ".oddframe-"
"""What a kill may leave in a folder before there is an archive in it."""
FORMAT = 1
PACKAGES = ("torch", "numpy", "av", "opencv-python-headless", "pyarrow")
"""Whose versions may move a score in its last digits."""
OPTIONS = {
    "segment_s": "--segment", "device": "--device", "precision": "--precision", "fps": "--fps",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of it."""

    run: dict[str, Any]
    """path, model, threshold (of all light) and `lights`, that of each where they have their own,
    spread, `parts`: hashes by the names in `identity.WORDS`."""
    settings: dict[str, Any]
    """By the names in `OPTIONS`, which decide what the scores are; and `allow_short`, by which
    files that are cut short have scores or none."""
    versions: dict[str, str]
    files: tuple[File, ...]
    begun_short: bool = False
    """An archive of before that was begun with `--allow-short`, which was part of its key then."""

    @property
    def key(self) -> str:
        """A hash of all that decides what the scores are; it stands in every file of results."""
        settings = {**self.settings, "allow_short": self.begun_short}
        known = {"format": FORMAT, "run": self.run["parts"], "settings": settings}
        return short_hash(json.dumps(known, sort_keys=True).encode())

    @property
    def threshold(self) -> float | None:
        """Of the alarm; None where the RUN was not calibrated."""
        found = self.run["threshold"]
        return None if found is None else float(found)

    @property
    def spread(self) -> float | None:
        """What the factor of speed in an event's words is made by, `events.why.factors_of`; None
        in archives of before, and where the RUN does not know."""
        found = self.run.get("spread")
        return None if found is None else float(found)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        files = [{"path": f.path, "mark": f.mark, "id": f.id} for f in self.files]
        return {
            "format": FORMAT, "key": self.key, "run": self.run, "settings": self.settings,
            "versions": self.versions, "files": files,
        }  # fmt: skip


def manifest_of(run: Run, job: Job, files: Sequence[File]) -> Manifest:
    """What an archive is to be made by."""
    settings = {
        "segment_s": job.segment_s, "device": job.device.partition(":")[0],
        "precision": job.precision, "fps": job.fps, "allow_short": job.allow_short,
    }  # fmt: skip
    about = {
        "path": str(run.path), "model": run.name, "threshold": run.threshold,
        "lights": light_thresholds(run), "spread": spread_of(run.scene), "parts": parts_of(run),
    }  # fmt: skip
    return Manifest(about, settings, _versions(), tuple(files))


def read_manifest(out: Path) -> Manifest:
    """Of a folder of results.

    Raises:
        RunError: there is none, or it is damaged or of another version.
    """
    path = out / MANIFEST
    try:
        found = json.loads(path.read_text("utf8"))
        if found["format"] != FORMAT:
            raise RunError(
                f"{path} is of format {found['format']}, this oddframe reads {FORMAT}. Use the "
                "version that its `versions` name, or score into another folder."
            )
        files = tuple(File(f["path"], f["mark"]) for f in found["files"])
        known = Manifest(found["run"], found["settings"], found["versions"], files)
        return known if known.key == found["key"] else replace(known, begun_short=True)
    except OSError:
        raise RunError(
            f"{out} is no archive: {MANIFEST} is not there. Give the folder that "
            "`oddframe archive RUN SOURCES --out` wrote."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise RunError(
            f"{path} is damaged: expected the JSON that `oddframe archive` writes. Give the "
            "command that made it with another --out, or delete the folder."
        ) from None


def enter(out: Path, asked: Manifest) -> Manifest:
    """Begin an archive, or go on with it: the manifest with all files, of before and of now.

    Raises:
        RunError: the folder is of another RUN or other settings, or holds something else.
    """
    if not (out / MANIFEST).exists():
        left = [p for p in out.iterdir() if not p.name.startswith(HALF)]
        if left:
            raise RunError(
                f"{out} holds something and no {MANIFEST}: expected a new folder, an empty one, or "
                "an archive to go on with. Choose another --out."
            )
        known = asked
    else:
        known = read_manifest(out)
        _refuse_other(out, known, asked)
        now = {file.path for file in asked.files}
        before = tuple(file for file in known.files if file.path not in now)
        short = bool(known.settings.get("allow_short")) or asked.settings["allow_short"]
        settings = {**asked.settings, "allow_short": short}
        files = (*before, *asked.files)
        known = Manifest(asked.run, settings, known.versions, files, known.begun_short)
    write_json(out / MANIFEST, known.plain())
    return known


def changed_versions(known: Manifest) -> str | None:
    """Packages that are other ones than when the archive was begun, in words; None: all as then."""
    now = _versions()
    other = [f"{n} {v} ({now.get(n)} now)" for n, v in known.versions.items() if now.get(n) != v]
    return ", ".join(other) or None


def _refuse_other(out: Path, known: Manifest, asked: Manifest) -> None:
    mine, other = asked.run["parts"], known.run["parts"]
    differing = [text for name, text in WORDS.items() if mine.get(name) != other.get(name)]
    if differing:
        raise RunError(
            f"{out} was scored with another RUN: {', '.join(differing)} differ from those of "
            f"{asked.run['path']} (it was {known.run['path']}). Give that RUN, or another --out."
        )
    changed = [
        f"{option} {_plain(known.settings.get(name))} there, {_plain(asked.settings[name])} now"
        for name, option in OPTIONS.items()
        if known.settings.get(name) != asked.settings[name]
    ]
    if changed:
        raise RunError(
            f"{out} was scored with other settings: {'; '.join(changed)}. Give those of then, or "
            "another --out."
        )


def _plain(value: Any) -> str:
    return "not given" if value is None else str(value)


def _versions() -> dict[str, str]:
    found = {"oddframe": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
