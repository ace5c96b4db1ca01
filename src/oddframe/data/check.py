"""Everything that is wrong with a data set, each thing named: `oddframe data check`.

Training and evaluation stop at the first fault; this reads every frame, label and mask and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from oddframe.data.check_frames import Looked, look, some, starts
from oddframe.data.check_labels import (
    check_lengths_of,
    compare_with_masks,
    read_labels,
    read_masks,
)
from oddframe.data.compact import damaged
from oddframe.data.dataset import Dataset, Video, numbers
from oddframe.data.label_readers import Labels
from oddframe.data.labels import label_source
from oddframe.data.manifest import manifest, manifest_hash
from oddframe.data.official import Official, label_set, label_shift, recognise
from oddframe.errors import SourceError

Progress = Callable[[str, int, int | None], None]
"""Called with the split, the frames done and None."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: str
    """In a word or two: "gap", "doubled", "labels length", "labels shifted", …"""
    video: str
    """Split and name, "test/01"; "" where it concerns the whole data set."""
    text: str
    """What was expected, what was found, what to do."""


@dataclass(frozen=True, slots=True)
class SplitCount:
    """What a split holds."""

    split: str
    videos: int
    frames: int
    kinds: tuple[str, ...]
    """Sizes and rates that occur, for people."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a data set holds and all that is wrong with it."""

    root: Path
    layout: str
    manifest: str
    splits: tuple[SplitCount, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What is worth knowing and no fault."""
    official: str | None
    """Name of the benchmark that this is, or a part of."""
    labels: str | None
    """Where the labels come from, None without labels that can be used."""
    label_set: str | None
    """Name of the label set, such as Avenue's "ffp"."""
    labelled_frames: int
    abnormal_frames: int
    one_class: tuple[str, ...]
    """Test videos whose labels are all equal: no AUC of their own."""
    masked: int
    """Test videos with pixel masks that can be used."""

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "root": str(self.root)}


@dataclass(slots=True)
class _Notebook:
    """What was found so far."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def say(self, kind: str, video: str, text: str) -> None:
        self.findings.append(Finding(kind, video, text))


def check_dataset(dataset: Dataset, progress: Progress | None = None) -> Report:
    """Read every frame, label and mask of a data set and report all that is wrong.

    Pictures of frame folders are read and their headers looked at, video files are decoded. About
    1 ms a frame; nothing is kept but hashes.

    Args:
        dataset: what `open_dataset` gives.
        progress: called after each frame.
    """
    book = _Notebook()
    if dataset.left_out or dataset.unknown or dataset.beside:
        book.notes.append(replace(dataset, unreadable=()).left_out_text)
    for path in dataset.unreadable:
        book.say("unreadable", "", f"{path} may not be read by this user. Get the right to, or "
                 "move it away.")  # fmt: skip
    looked: dict[str, Looked] = {}
    splits = []
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        found = _look_all(split, videos, book, progress)
        starts(found, book.say)
        kinds = tuple(sorted({one.kind for one in found.values()}))
        splits.append(SplitCount(split, len(videos), sum(v.frames for v in found.values()), kinds))
        looked |= found
    _same_videos(looked, book)
    for file in damaged(dataset.root) if dataset.layout == "prepared" else []:
        book.say(
            "damaged", "",
            f"{file} is not what was written when the set was prepared. Run `oddframe data "
            "prepare` again: it makes what is damaged anew.",
        )  # fmt: skip
    counts = {name.removeprefix("test/"): one.frames for name, one in looked.items()
              if name.startswith("test/")}  # fmt: skip
    official = recognise(counts, f"{dataset.root.parent.name}/{dataset.name}")
    if official is not None:
        _against_official(dataset, official, looked, book)
    labels, masks = _truth(dataset, counts, official, book)
    known = _labels_against_official(dataset, official, labels, counts, book)
    if dataset.labels is not None and dataset.labels != dataset.masks:
        _masks_against_labels(dataset, labels, masks, known, book)
    _other_labels(dataset, official, counts, masks, book)
    one_class = [name for name, v in labels.items() if len(v) and v.min() == v.max()]
    return Report(
        dataset.root, dataset.layout, _manifest_hash(dataset), tuple(splits),
        tuple(book.findings), tuple(book.notes),
        None if official is None else official.name,
        label_source(dataset, labels) if labels else None, known,
        sum(map(len, labels.values())), sum(int(v.sum()) for v in labels.values()),
        tuple(one_class), len(masks),
    )  # fmt: skip


def _manifest_hash(dataset: Dataset) -> str:
    """`manifest_hash`, in words where there is none: the files themselves are told already."""
    try:
        return manifest_hash(manifest(dataset))
    except SourceError:
        return "no manifest (not all files can be read)"


def _look_all(
    split: str, videos: tuple[Video, ...], book: _Notebook, progress: Progress | None
) -> dict[str, Looked]:
    """All videos of a split, by "split/name", without those that cannot be decoded."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(split, done, None)

    found: dict[str, Looked] = {}
    for video in videos:
        name = f"{split}/{video.name}"

        def say(kind: str, text: str, name: str = name) -> None:
            book.say(kind, name, text)

        try:
            found[name] = look(video, say, tick)
        except SourceError as error:
            book.say("undecodable", name, str(error))
            continue
        book.notes += [f"{name}: {note}" for note in found[name].notes]
        if found[name].repeats and video.path.is_file():
            book.notes.append(
                f"{name}: {len(found[name].repeats)} of {found[name].frames} frames equal the one "
                f"before ({some([str(i) for i in found[name].repeats])})"
            )
    return found


def _same_videos(looked: dict[str, Looked], book: _Notebook) -> None:
    """Say which videos are there twice; worst where one is in both splits."""
    by_content: dict[str, list[str]] = {}
    for name, one in looked.items():
        by_content.setdefault(one.digest, []).append(name)
    for first, *others in by_content.values():
        for name in others:
            both = first.split("/")[0] != name.split("/")[0]
            book.say(
                "same video", name,
                f"It has the same frames as {first}. Take one of them away"
                + (": a test video must not be trained on." if both else "."),
            )  # fmt: skip


def _against_official(
    dataset: Dataset, official: Official, looked: dict[str, Looked], book: _Notebook
) -> None:
    """Compare the videos with those of the benchmark."""
    test: list[tuple[str, int | None]] = list(official.test)
    for split, videos, expected, total, frames in (
        ("train", dataset.train, list(official.train), official.train_videos,
         official.train_frames),
        ("test", dataset.test, test, len(test), official.test_frames),
    ):  # fmt: skip
        if not videos:
            continue
        present = {numbers(video.name): f"{split}/{video.name}" for video in videos}
        missing = [name for name, _ in expected if numbers(name) not in present]
        is_part = 2 * len(videos) <= total
        if is_part:
            book.notes.append(
                f"a part of {official.title}: {len(videos)} of {total} {split} videos, "
                f"{some([v.name for v in videos], 40)}"
            )
        else:
            _missing(split, official, missing, total, len(videos), book)
        _lengths(split, official, present, dict(expected), looked, book)
        found = sum(looked[name].frames for name in present.values() if name in looked)
        if not is_part and found != frames:
            book.say(
                "frames", "",
                f"The {split} split has {found} frames, {official.title} has {frames}: "
                f"{abs(found - frames)} {'more' if found > frames else 'fewer'}.",
            )  # fmt: skip


def _missing(
    split: str, official: Official, missing: list[str], total: int, found: int, book: _Notebook
) -> None:
    for name in missing:
        book.say(
            "missing", f"{split}/{name}",
            f"{split} video {name} of {official.title} is not there. Fetch it again from the "
            "release.",
        )  # fmt: skip
    if not missing and found < total:  # names are not known, as for ShanghaiTech's training
        book.say(
            "missing", "",
            f"The {split} split has {found} videos, {official.title} has {total}: "
            f"{total - found} are missing.",
        )  # fmt: skip


def _lengths(
    split: str, official: Official, present: dict[tuple[int, ...], str],
    expected: dict[str, int | None], looked: dict[str, Looked], book: _Notebook,
) -> None:  # fmt: skip
    """Say which videos have another length than officially, and which are no official ones."""
    known = {numbers(name): frames for name, frames in expected.items()}
    for number, name in present.items():
        if known and number not in known:
            book.say(
                "not official", name,
                f"{official.title} has no {split} video of this number. Take it away, or correct "
                "its name.",
            )  # fmt: skip
            continue
        frames = known.get(number)
        if frames is not None and name in looked and looked[name].frames != frames:
            off = looked[name].frames - frames
            book.say(
                "length", name,
                f"{looked[name].frames} frames, {official.title} has {frames} in this video: "
                f"{abs(off)} {'too many' if off > 0 else 'too few'}. Extract it again with every "
                "frame (no -r or fps filter).",
            )  # fmt: skip


def _truth(
    dataset: Dataset, counts: dict[str, int], official: Official | None, book: _Notebook
) -> tuple[dict[str, Labels], dict[str, Labels]]:
    """Labels and the frames with masks, as far as either can be used."""
    masks: dict[str, Labels] = {}
    if dataset.masks is not None and dataset.test:
        masks = read_masks(dataset, dataset.masks, counts, book.say)
    files = dataset.labels
    if files is None or not dataset.test:
        return {}, masks
    if files.kind not in ("gt_folders", "volumes"):
        labels = read_labels(files, dataset.test, counts, official, book.say)
        check_lengths_of(labels, counts, files.path.name, book.say)
        return labels, masks
    same = files == dataset.masks
    labels = dict(masks) if same else read_masks(dataset, files, counts, book.say)
    for video in dataset.test:
        if video.name not in labels:
            book.say(
                "unlabelled", f"test/{video.name}",
                f"{files.path.name} has no masks of it that could serve as its labels.",
            )  # fmt: skip
    return labels, masks


def _labels_against_official(
    dataset: Dataset, official: Official | None, labels: dict[str, Labels],
    counts: dict[str, int], book: _Notebook,
) -> str | None:  # fmt: skip
    """Which label set these labels are; says how they differ from all of them otherwise."""
    if official is None or not labels or dataset.labels is None:
        return None
    known = label_set(official.name, labels)
    if known is not None:
        book.notes.append(f'labels "{known}": {official.set(known).says}')
        return known
    if len(labels) < len(official.test) or any(len(v) != counts.get(k) for k, v in labels.items()):
        return None  # a part that tells nothing, or what is wrong was said
    where, found = dataset.labels.path.name, sum(int(v.sum()) for v in labels.values())
    moved = label_shift(official.name, labels)
    if moved is not None and moved[1]:
        late = f"{abs(moved[1])} frame{'s' * (abs(moved[1]) > 1)} "
        book.say(
            "labels shifted", "",
            f"The labels in {where} are {late}{'late' if moved[1] > 0 else 'early'}: moved by "
            f'{-moved[1]:+d} they are {official.title}\'s set "{moved[0]}".',
        )  # fmt: skip
        return None
    sets = ", ".join(f'{sum(s.abnormal)} ("{s.name}")' for s in official.label_sets)
    book.say(
        "labels", "",
        f"{where} marks {found} abnormal frames and is no label set of {official.title} in "
        f"circulation: expected {sets}. Say where it comes from beside every number made with it.",
    )  # fmt: skip
    return None


def _other_labels(
    dataset: Dataset,
    official: Official | None,
    counts: dict[str, int],
    masks: dict[str, Labels],
    book: _Notebook,
) -> None:
    """Note which other labels are there, and the label set that they are."""
    for files in dataset.label_files:
        if files == dataset.labels:
            continue
        unheard = _Notebook()  # what is wrong with labels that are not used is no finding
        if files == dataset.masks:
            labels = masks
        elif files.kind in ("gt_folders", "volumes"):
            labels = read_masks(dataset, files, counts, unheard.say)
        else:
            labels = read_labels(files, dataset.test, counts, official, unheard.say)
        known = label_set(official.name, labels) if official is not None else None
        named = f', the set "{known}" (--labels {known})' if known else ""
        book.notes.append(f"other labels, not used here: {files.path.name}{named}")


def _masks_against_labels(
    dataset: Dataset, labels: dict[str, Labels], masks: dict[str, Labels], known: str | None,
    book: _Notebook,
) -> None:  # fmt: skip
    """Labels that are no copy of the masks must mark the same frames, unless they are known."""
    if dataset.labels is None or not labels or not masks:
        return
    where = dataset.labels.path.name
    found = _Notebook()
    compare_with_masks(labels, masks, where, found.say)
    # Two known sets differ here and there, but neither is a shifted copy of the other.
    faults = [f for f in found.findings if known is None or f.kind == "labels shifted"]
    book.findings += faults
    if len(found.findings) > len(faults):
        book.notes.append(
            f"{where} and the pixel masks differ in {len(found.findings) - len(faults)} videos: "
            "they are two label sets"
        )
