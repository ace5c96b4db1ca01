"""What the released benchmarks hold, as plain numbers, and how to recognise them.

A folder is recognised by what it holds, not by a flag: frames of its test videos, and its name.
Labels are told apart by their abnormal frames per video and by a hash of the whole set; of Avenue
two sets are in circulation, which differ in 441 frames and move an AUC by 0.5 to 2 points.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oddframe.data.dataset import Dataset, numbers, video_frames

Labels = NDArray[np.uint8]
MAX_SHIFT = 3
"""Frames by which `label_shift` and `check` move labels: counting from 1 or 0, one too many cut."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """One set of frame labels in circulation."""

    name: str
    """What `open_dataset(root, labels=…)` takes."""
    says: str
    """Where it comes from and who uses it."""
    abnormal: tuple[int, ...]
    """Abnormal frames of each test video, in order."""
    digest: str
    """`digest` of the whole set."""


@dataclass(frozen=True, slots=True)
class Official:
    """One released data set."""

    name: str
    title: str
    train: tuple[tuple[str, int | None], ...]
    """Training videos and their frames (None where only the sum is known); empty where only
    their number is known."""
    train_videos: int
    train_frames: int
    test: tuple[tuple[str, int], ...]
    """Test videos and their frames, in order."""
    label_sets: tuple[LabelSet, ...]

    @property
    def test_frames(self) -> int:
        """Frames of all test videos."""
        return sum(frames for _, frames in self.test)

    def set(self, name: str) -> LabelSet:
        """The label set of that name; KeyError where there is none."""
        return {labels.name: labels for labels in self.label_sets}[name]


def _numbered(frames: list[int]) -> tuple[tuple[str, int], ...]:
    return tuple((f"{i:02d}", n) for i, n in enumerate(frames, 1))


# fmt: off
_PED1 = [93, 126, 110, 138, 147, 191, 175, 94, 48, 140, 96, 71, 156, 200, 63, 78, 47, 67, 75, 131,
         170, 92, 158, 122, 96, 68, 113, 96, 84, 26, 180, 103, 161, 121, 115, 94]
_PED2_TRAIN = [120, 150, 150, 180, 180, 150, 150, 120, 180, 180, 180, 180, 180, 150, 150, 150]
_PED2_TEST = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
_PED2 = [120, 86, 146, 150, 129, 159, 135, 180, 120, 150, 180, 93]
_AVENUE_TEST = [1439, 1211, 923, 947, 1007, 1283, 605, 36, 1175, 841, 472, 1271, 549, 507, 1001,
                740, 426, 294, 248, 273, 76]
_AVENUE_MASK = [408, 89, 87, 93, 318, 429, 123, 36, 289, 133, 144, 190, 75, 74, 90, 109, 384, 294,
                140, 154, 53]
_AVENUE_FFP = [451, 139, 87, 93, 318, 433, 105, 10, 333, 161, 183, 249, 81, 73, 90, 99, 358, 265,
               132, 154, 53]
# video:frames:abnormal frames
_SHANGHAITECH = """
01_0014:265:76 01_0015:433:288 01_0016:337:91 01_0025:601:55 01_0026:505:120 01_0027:409:74
01_0028:457:64 01_0029:313:113 01_0030:409:200 01_0051:337:170 01_0052:337:89 01_0053:457:235
01_0054:577:293 01_0055:313:245 01_0056:529:135 01_0063:193:71 01_0064:289:213 01_0073:289:91
01_0076:265:229 01_0129:241:98 01_0130:337:94 01_0131:289:97 01_0132:265:87 01_0133:217:216
01_0134:433:185 01_0135:409:189 01_0136:529:311 01_0138:313:120 01_0139:217:107 01_0140:241:73
01_0141:313:146 01_0162:193:104 01_0163:265:120 01_0177:317:85 02_0128:457:252 02_0161:337:220
02_0164:361:190 03_0031:529:60 03_0032:409:120 03_0033:313:115 03_0035:385:106 03_0036:457:216
03_0039:481:211 03_0041:457:106 03_0059:433:147 03_0060:385:84 03_0061:241:47 04_0001:553:290
04_0003:937:226 04_0004:865:130 04_0010:505:108 04_0011:313:313 04_0012:361:343 04_0013:361:210
04_0046:529:170 04_0050:337:84 05_0017:433:133 05_0018:481:66 05_0019:649:160 05_0020:649:56
05_0021:409:81 05_0022:337:107 05_0023:769:278 05_0024:433:135 06_0144:241:140 06_0145:217:165
06_0147:265:76 06_0150:265:156 06_0153:217:69 06_0155:265:96 07_0005:409:66 07_0006:385:103
07_0007:481:93 07_0008:457:186 07_0009:313:82 07_0047:601:204 07_0048:241:52 07_0049:481:100
08_0044:313:152 08_0058:337:231 08_0077:457:320 08_0078:217:151 08_0079:241:95 08_0080:289:174
08_0156:337:90 08_0157:313:141 08_0158:337:164 08_0159:265:131 08_0178:265:132 08_0179:337:211
09_0057:361:84 10_0037:433:309 10_0038:241:227 10_0042:433:364 10_0074:601:539 10_0075:505:100
11_0176:337:141 12_0142:601:519 12_0143:265:177 12_0148:313:177 12_0149:241:130 12_0151:289:213
12_0152:361:305 12_0154:385:296 12_0173:217:116 12_0174:337:244 12_0175:265:157
"""
# fmt: on
_SHANGHAITECH_ROWS = [row.split(":") for row in _SHANGHAITECH.split()]

OFFICIAL: dict[str, Official] = {
    "ped1": Official(
        "ped1", "UCSD Ped1", _numbered([200] * 34), 34, 6800, _numbered([200] * 36),
        (LabelSet("ucsd", "UCSD's list UCSDped1.m", tuple(_PED1), "cc92ba6fd7ab2c98"),),
    ),
    "ped2": Official(
        "ped2", "UCSD Ped2", _numbered(_PED2_TRAIN), 16, 2550, _numbered(_PED2_TEST),
        (LabelSet("ucsd", "UCSD's list UCSDped2.m", tuple(_PED2), "9b1df1a9881a769a"),),
    ),
    "avenue": Official(
        "avenue", "Avenue", tuple((f"{i:02d}", None) for i in range(1, 17)), 16, 15328,
        _numbered(_AVENUE_TEST),
        (
            LabelSet(
                "mask", "the pixel masks of the data set's authors", tuple(_AVENUE_MASK),
                "788cef44e0f52753",
            ),
            LabelSet(
                "ffp", "avenue.mat of FFP, also used by MNAD, STEAL and VADMamba",
                tuple(_AVENUE_FFP), "87433c7ba632bcf5",
            ),
        ),
    ),
    "shanghaitech": Official(
        "shanghaitech", "ShanghaiTech", (), 330, 274515,
        tuple((name, int(frames)) for name, frames, _ in _SHANGHAITECH_ROWS),
        (
            LabelSet(
                "shanghaitech", "test_frame_mask of the release",
                tuple(int(abnormal) for _, _, abnormal in _SHANGHAITECH_ROWS), "4eac8990ff9c041c",
            ),
        ),
    ),
}  # fmt: skip
"""The benchmarks by name."""

LABEL_SETS = tuple(sorted({s.name for official in OFFICIAL.values() for s in official.label_sets}))
"""Names of all label sets."""

_HINTS = {"ped1": "ped1", "ped2": "ped2", "avenue": "avenue", "shanghai": "shanghaitech"}
FEW_LENGTHS = 3
"""So many different lengths that match are no coincidence; clips cut to one length are common."""


def recognise(found: Dataset | Mapping[str, int], name: str = "") -> Official | None:
    """Which benchmark this is, or a part of; None where it is none that is known.

    Tolerates missing videos and a few of another length. Half of the test videos (of those found,
    or of the official ones) must have the official number of frames; a name such as "ped2" or
    "Avenue Dataset" then decides, and without one several different lengths must match, or nearly
    all videos.

    Args:
        found: a data set (its test videos are counted, by decoding them where they are files), or
            test video -> frames.
        name: of the folder, where `found` are counts.
    """
    if isinstance(found, Dataset):
        counts = {video.name: video_frames(video) for video in found.test}
        return recognise(counts, f"{found.root.parent.name}/{found.name}")
    best: tuple[int, Official] | None = None
    for official in OFFICIAL.values():
        same = matching(official, found)
        if not found or 2 * len(same) < min(len(found), len(official.test)):
            continue
        hinted = any(_HINTS.get(h) == official.name for h in _HINTS if h in name.lower())
        lengths = len({found[video] for video in same})
        if not (hinted or lengths >= FEW_LENGTHS or len(same) >= 0.8 * len(official.test)):
            continue
        if best is None or len(same) > best[0]:
            best = len(same), official
    return None if best is None else best[1]


def benchmark(counts: Mapping[str, int], name: str) -> str | None:
    """Of which benchmark these test videos are, by what they hold, else by what they are called.

    A part whose videos were cut shorter holds nothing to know it by; its name may still say it.

    Args:
        counts: test video -> frames.
        name: of the data set's folder and the one around it, e.g. "ped2/test-only".

    Returns:
        A key of `OFFICIAL`, or None.
    """
    official = recognise(counts, name)
    if official is not None:
        return official.name
    said = {_HINTS[hint] for hint in _HINTS if hint in name.lower()}
    return said.pop() if len(said) == 1 else None


def matching(official: Official, counts: Mapping[str, int]) -> list[str]:
    """The videos in `counts` that have number and length of an official test video."""
    frames = {numbers(name): n for name, n in official.test}
    return [name for name, n in counts.items() if frames.get(numbers(name)) == n]


def digest(labels: Mapping[str, Labels]) -> str:
    """A short hash of a set of labels, (n,) 0 and 1 per video, in the order of their numbers."""
    hashed = hashlib.blake2b(digest_size=8)
    for name in sorted(labels, key=numbers):
        values = np.asarray(labels[name], np.uint8)
        hashed.update(len(values).to_bytes(4, "little") + values.tobytes())
    return hashed.hexdigest()


def label_set(name: str, labels: Mapping[str, Labels]) -> str | None:
    """Which label set of the benchmark `name` these labels are, None where of none.

    A complete set must be it frame by frame. Of a part (some of the videos) the abnormal frames
    of each video must be those of one set, and of no other.
    """
    official = OFFICIAL[name]
    places = {numbers(video): i for i, (video, _) in enumerate(official.test)}
    rows = [(places.get(numbers(video)), len(v), int(np.sum(v))) for video, v in labels.items()]
    if not rows or len({place for place, _, _ in rows}) < len(rows):
        return None
    fitting = [
        known for known in official.label_sets
        if all(
            place is not None and (n, k) == (official.test[place][1], known.abnormal[place])
            for place, n, k in rows
        )
    ]  # fmt: skip
    if len(rows) == len(official.test):
        fitting = [known for known in fitting if known.digest == digest(labels)]
    return fitting[0].name if len(fitting) == 1 else None


def known_labels(labels: Mapping[str, Labels], name: str = "") -> tuple[Official, str] | None:
    """Benchmark and label set of some labels by themselves, None where they are of none.

    Args:
        labels: test video -> (n,) 0 and 1.
        name: of the data set's folder, which helps with parts.
    """
    official = recognise({video: len(v) for video, v in labels.items()}, name)
    known = None if official is None else label_set(official.name, labels)
    return None if official is None or known is None else (official, known)


def shifted(labels: Labels, frames: int) -> Labels:
    """Labels moved by some frames to later (negative: earlier); the end value fills the gap."""
    places = np.clip(np.arange(len(labels)) - frames, 0, max(len(labels) - 1, 0))
    return np.asarray(labels[places], np.uint8)


def label_shift(name: str, labels: Mapping[str, Labels]) -> tuple[str, int] | None:
    """Of which label set these labels are a copy that is late (+) or early (-) by some frames.

    Only for complete sets; None where no shift of up to `MAX_SHIFT` frames gives one.
    """
    for frames in sorted(range(-MAX_SHIFT, MAX_SHIFT + 1), key=abs):
        moved = {video: shifted(values, -frames) for video, values in labels.items()}
        if len(moved) == len(OFFICIAL[name].test) and (known := label_set(name, moved)):
            return known, frames
    return None
