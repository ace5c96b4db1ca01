"""Flow files as models with `flow: file` read them: a folder per video, at the size of the model.

FOLDER/{training,testing}/VIDEO/000001.npy   as `oddframe data flow` writes them
FOLDER/VIDEO/000001.flo                      one split, or single videos, from any program

File i is the flow from frame i to frame i - 1, frames counted from 0: the first has no file, and
its flow is 0. A name has one number; `flow_0001.flo` will do. Nothing in a file tells a flow to the
frame before from one to the frame after, so n frames must have the files 1 … n - 1: what begins at
0 is refused, because most programs number the flow from each frame to the *next* like that.
"""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.data.compact import FOLDERS
from oddframe.data.dataset import Dataset
from oddframe.data.flow_files import INDEX, read_flow
from oddframe.data.frames import FrameStore
from oddframe.data.manifest import footage_hashes
from oddframe.errors import ConfigError, DatasetError

SUFFIXES = (".npy", ".flo")
UNKNOWN = 1e9
"""Middlebury files mark places without flow by larger values."""
WRITE = "`oddframe data flow DATA --out FOLDER` writes them."


def resize_flow(flow: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A flow (2, h, w) at (2, size, size): sampled anew, and in pixels of the new size."""
    h, w = flow.shape[1:]
    if (h, w) == (size, size):
        return flow
    how = cv2.INTER_AREA if min(h, w) >= size else cv2.INTER_LINEAR
    planes = [cv2.resize(plane, (size, size), interpolation=how) for plane in flow]
    scale = np.array([size / w, size / h], np.float32)
    return np.asarray(np.stack(planes) * scale[:, None, None], np.float32)


@dataclass(frozen=True, slots=True)
class VideoFlow:
    """The flow files of one video."""

    folder: Path
    files: tuple[str, ...]
    """Names; that of frame i at i - 1."""

    @classmethod
    def open(cls, folder: Path) -> VideoFlow:
        """List a video's folder; other files in it are left alone.

        Raises:
            DatasetError: no folder; a name without a number; a number missing or there twice; 0.
        """
        found: dict[int, str] = {}
        try:
            names = os.listdir(folder)
        except OSError as error:
            raise DatasetError(f"The flow files in {folder} cannot be listed: {error}.") from None
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in SUFFIXES or name.startswith("."):
                continue
            number = re.findall("[0-9]+", stem)
            if len(number) != 1:
                raise DatasetError(
                    f"{folder / name}: a flow file is named by the number of its frame, such as "
                    f"000001{suffix}, the flow from frame 1 to frame 0."
                )
            other = found.setdefault(int(number[0]), name)
            if other != name:
                raise DatasetError(
                    f"{folder} has two flows of frame {int(number[0])}, {other} and {name}: take "
                    "one of them away."
                )
        if 0 in found:
            raise DatasetError(
                f"{folder} begins with {found[0]}; expected 1, the flow from frame 1 to frame 0. "
                "Files that begin at 0 mostly hold the flow of each frame to the next, which lies "
                "on the other frame: compute it from frame i to frame i - 1 and number it i."
            )
        gap = next((i for i in range(1, len(found) + 1) if i not in found), None)
        if gap is not None:
            raise DatasetError(
                f"{folder} lacks the flow of frame {gap}: expected {max(found)} files, numbered 1 "
                f"to {max(found)}, found {len(found)}. {WRITE}"
            )
        return cls(folder, tuple(found[i] for i in range(1, len(found) + 1)))

    def expect(self, frames: int) -> None:
        """Refuse another number of files than a video of `frames` frames has.

        Raises:
            DatasetError: says both.
        """
        if len(self.files) != frames - 1:
            raise DatasetError(
                f"{self.folder} holds {len(self.files)} flow files; a video of {frames} frames "
                f"has {frames - 1}, numbered 1 to {frames - 1}. Delete this folder and make it "
                f"again: {WRITE}"
            )

    def read(self, index: int, size: int) -> NDArray[np.float32]:
        """The flow of frame `index`: (2, size, size), x and y in pixels per frame at that size.

        Raises:
            DatasetError: no such file, none that can be read, or places without flow in it.
        """
        if index == 0:
            return np.zeros((2, size, size), np.float32)
        if index > len(self.files):
            raise DatasetError(
                f"{self.folder} has no flow of frame {index}: it holds {len(self.files)} files. "
                f"{WRITE}"
            )
        path = self.folder / self.files[index - 1]
        flow = read_flow(path)
        if not np.abs(flow).max() < UNKNOWN:  # of a NaN this is true as well
            raise DatasetError(f"{path} has places without flow (NaN, or above {UNKNOWN:g}).")
        return resize_flow(flow, size)


class FlowFolder:
    """What `--flow FOLDER` names: the flow files of many videos, found by split and name."""

    def __init__(self, path: str | Path) -> None:
        """Look at the folder, not yet into those of the videos.

        Raises:
            DatasetError: no folder, or its flow.json is damaged.
        """
        self.path = Path(path)
        self._index: dict[str, Any] | None = None
        if not self.path.is_dir():
            raise DatasetError(f"{self.path} is not a folder of flow files. {WRITE}")
        index = self.path / INDEX
        if index.is_file():
            try:
                found = json.loads(index.read_text("utf-8"))
                self._index = {key: found[key] for key in ("method", "size", "name", "source")}
            except (OSError, ValueError, KeyError, TypeError):
                raise DatasetError(
                    f"{index} is damaged, so it does not say of what these flows are. Delete "
                    f"{self.path} and make it again: {WRITE}"
                ) from None

    @property
    def origin(self) -> str:
        """How the flows were made, as far as is known; names no place on this machine."""
        known = self._index
        return "files made elsewhere" if known is None else f"{known['method']} at {known['size']}"

    def videos(self, dataset: Dataset, split: str) -> dict[str, VideoFlow]:
        """Name -> flow files, of all videos in one split (train or test) of a data set.

        Raises:
            DatasetError: flow.json says other footage; a video has no folder, or a wrong one.
        """
        self._check_footage(dataset)
        videos = dataset.train if split == "train" else dataset.test
        base = self._base(split)
        missing = [v.name for v in videos if not (base / v.name).is_dir()]
        if missing:
            raise DatasetError(
                f"{len(missing)} of {len(videos)} videos of {dataset.name} have no flow files: "
                f"expected the folder {base / missing[0]} with one file for each frame after the "
                f"first. {WRITE}"
            )
        return {v.name: VideoFlow.open(base / v.name) for v in videos}

    def find(self, name: str) -> VideoFlow:
        """The flow files of a video of which only the name is known, in whichever split.

        Raises:
            DatasetError: no folder of that name, or one in each split; or a wrong one.
        """
        places = [self.path / part / name for part in ("", *FOLDERS.values())]
        found = [place for place in places if place.is_dir()]
        if not found:
            raise DatasetError(
                f"The video {name} has no flow files in {self.path}: expected one of the folders "
                f"{', '.join(map(str, places))}, with one file for each frame after the first. "
                f"{WRITE}"
            )
        if len(found) > 1:
            raise DatasetError(
                f"{self.path} has flow files of two videos named {name}, "
                f"{' and '.join(map(str, found))}: give the folder above the right one as --flow."
            )
        return VideoFlow.open(found[0])

    def _base(self, split: str) -> Path:
        """The folder with those of a split's videos: the split's own, or this where it has none."""
        own = self.path / FOLDERS[split]
        return own if own.is_dir() else self.path

    def _check_footage(self, dataset: Dataset) -> None:
        known = self._index
        if known is None:
            return
        # Prepared or not, it is the same footage.
        hashes = footage_hashes(dataset)
        if known["source"] not in hashes.values():
            raise DatasetError(
                f"{self.path} holds flows of {known['name']} (manifest {known['source']}), not of "
                f"{dataset.name} ({hashes['manifest']}): give the data set that they were made "
                f"of, or make flows of this one. {WRITE}"
            )


class StoredFlow:
    """The flows of a store's frames, counted over all videos as these are."""

    def __init__(self, store: FrameStore, flows: Mapping[str, VideoFlow]) -> None:
        """Put files beside frames; every video must have as many as it needs (DatasetError).

        store: of all frames of its videos, which pauses may have cut into pieces.
        """
        self.size = store.size
        self._starts = [piece.start for piece in store.videos]
        self._pieces = [(flows[piece.name], piece.first) for piece in store.videos]
        ends = {piece.name: piece.first + piece.stop - piece.start for piece in store.videos}
        for name, frames in ends.items():
            flows[name].expect(frames)

    def read(self, i: int, j: int) -> NDArray[np.float32]:
        """The flows of frames i to j (excluded) of one video: (j - i, 2, size, size) in pixels."""
        at = bisect_right(self._starts, i) - 1
        (flow, first), start = self._pieces[at], self._starts[at]
        return np.stack([flow.read(first + n - start, self.size) for n in range(i, j)])


def flow_folder(carried: int, flow: str | Path | None, what: str) -> FlowFolder | None:
    """The folder given for a model whose frames bring `carried` channels; None without.

    Raises:
        ConfigError: the model takes none.
        DatasetError: as `FlowFolder`.
    """
    if flow is None:
        return None
    if not carried:
        raise ConfigError(
            f"{what} takes no flow from files: leave --flow out, or fit a model that does, such as "
            "--model msti-net --set model.flow=file."
        )
    return FlowFolder(flow)


def needs_flow(what: str) -> ConfigError:
    """The error where a model takes flow from files and nobody said from which."""
    return ConfigError(
        f"{what} takes its optical flow from files: give their folder, --flow FOLDER (`flow=` in "
        f"Python). {WRITE}"
    )
