"""`oddframe data`: make the street scene, look at a data set before training on it."""

from __future__ import annotations

from pathlib import Path

import typer


def synth(
    out: Path = typer.Argument(metavar="OUT", help="Folder to make.", show_default=False),
    seed: int = typer.Option(0, "--seed", help="Which street."),
    train_clips: int = typer.Option(6, "--train-clips", help="Normal clips."),
    test_clips: int = typer.Option(5, "--test-clips", help="Clips with anomalies."),
    train_seconds: float = typer.Option(16.0, "--train-seconds", help="Length of a normal clip."),
    test_seconds: float = typer.Option(14.0, "--test-seconds", help="Length of a test clip."),
) -> None:
    """Draw a street scene with anomalies, labels and pixel masks (a small data set to try)."""
    from oddframe.cli.console import frame_bar
    from oddframe.data.synth import SynthConfig, write_dataset

    config = SynthConfig(
        seed=seed, train_clips=train_clips, test_clips=test_clips, train_seconds=train_seconds,
        test_seconds=test_seconds,
    )  # fmt: skip
    with frame_bar("drawing") as tick:
        write_dataset(out, config, tick)
    print(f"{out}: {train_clips} normal clips, {test_clips} test clips with labels and masks")
    print(f"next: oddframe fit --model m2s2l-edge --data {out} --out RUN --minutes 5")


def check(
    path: Path = typer.Argument(
        metavar="PATH", help="What `fit` or `evaluate` would be given.", show_default=False
    ),
    labels: Path | None = typer.Option(None, "--labels", help="Use these frame labels."),
) -> None:
    """Read a data set as training and evaluation will: every frame, label and mask."""
    from oddframe.cli.console import frame_bar
    from oddframe.data import (
        check_lengths,
        frame_labels,
        has_labels,
        label_source,
        manifest,
        manifest_hash,
        open_dataset,
        pixel_masks,
    )
    from oddframe.data.labels import video_frames
    from oddframe.sources import open_source

    dataset = open_dataset(path, labels)
    print(f"{path}: layout {dataset.layout}, {manifest_hash(manifest(dataset))}")
    counts: dict[str, int] = {}
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        kinds = set()
        frames = 0
        with frame_bar(split) as tick:
            for video in videos:
                with open_source(video.path) as source:
                    kinds.add(f"{source.info.width}x{source.info.height} {source.info.fps:g} fps")
                counts[f"{split}/{video.name}"] = video_frames(video)
                frames += counts[f"{split}/{video.name}"]
                tick(frames, None)
        shown = ", ".join(sorted(kinds)[:4]) + " …" * (len(kinds) > 4)
        print(f"{split:>6}: {len(videos)} videos, {frames} frames{', ' * bool(shown)}{shown}")
    if not has_labels(dataset):
        print("labels: none (enough for fit and score, not for evaluate)")
        return
    truth = frame_labels(dataset)
    for name, values in truth.items():
        check_lengths(name, len(values), counts[f"test/{name}"])
    abnormal = sum(int(values.sum()) for values in truth.values())
    total = sum(len(values) for values in truth.values())
    print(f"labels: {label_source(dataset)}, {abnormal} of {total} frames abnormal")
    one_class = [name for name, values in truth.items() if values.min() == values.max()]
    if one_class:
        print(f"        one class only (no AUC of their own): {', '.join(one_class)}")
    masks = pixel_masks(dataset)
    if masks is None:
        print(" masks: none (no localisation figures)")
        return
    for name in masks:
        check_lengths(name, len(masks[name]), counts[f"test/{name}"])
    print(f" masks: pixel masks of {len(masks)} of {len(dataset.test)} test videos")


COMMANDS = {"synth": synth, "check": check}
