"""Small trees in the exact form of every layout in use: names, file types, labels and masks."""

import cv2
import numpy as np
from scipy.io import savemat

SIZE = (48, 64)
LENGTHS = {"train": [5, 4], "test": [8, 6]}
LABELS = [[0, 0, 1, 1, 1, 0, 0, 1], [1, 1, 0, 0, 0, 0]]


def intervals(labels):
    """[first, end) runs of ones."""
    edges = np.flatnonzero(np.diff([0, *labels, 0]))
    return edges.reshape(-1, 2).tolist()


def picture(clip, index):
    """A picture that is not that of any other clip or index, (h, w, 3)."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    x = (5 * index) % 50
    image[8:20, x : x + 8] = (200, 40, 250)
    image[30:40, :20] = 20 * clip % 256
    return image


def planes(labels):
    """(n, h, w) bool: a block where the label is 1."""
    masks = np.zeros((len(labels), *SIZE), bool)
    masks[:, 10:18, 20:30] = np.array(labels, bool)[:, None, None]
    return masks


def frames(folder, clip, count, name="{:03d}.jpg", first=0):
    """A folder of frames named from `first` on."""
    folder.mkdir(parents=True)
    for i in range(count):
        assert cv2.imwrite(str(folder / name.format(i + first)), picture(clip, i))


def video(path, clip, count, fps=25.0):
    """A video file; .avi is motion JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, fps, SIZE[::-1])
    assert writer.isOpened()
    for i in range(count):
        writer.write(picture(clip, i))
    writer.release()


def cell(arrays):
    """A Matlab cell array 1 x N."""
    out = np.empty((1, len(arrays)), object)
    for i, array in enumerate(arrays):
        out[0, i] = np.array(array)
    return out


def mat_intervals(path, labels=LABELS):
    """FFP's NAME.mat: per video 2 x K, from 1, the end included."""
    pairs = [np.array([[a + 1, b] for a, b in intervals(v)]).T for v in labels]
    savemat(path, {"gt": cell(pairs)})


def ffp(tmp, labels=LABELS):
    """ped2/{training,testing}/frames/01/000.jpg and ped2/ped2.mat."""
    root = tmp / "ped2"
    for folder, split in (("training", "train"), ("testing", "test")):
        for i, n in enumerate(LENGTHS[split], 1):
            frames(root / folder / "frames" / f"{i:02d}", i + 5 * (split == "test"), n)
    mat_intervals(root / "ped2.mat", labels)
    return root


def mnad(tmp, labels=LABELS):
    """FFP's folders with frame_labels_ped2.npy, 1 x N, beside the data set."""
    root = ffp(tmp)
    (root / "ped2.mat").unlink()
    np.save(tmp / "frame_labels_ped2.npy", np.concatenate(labels)[None].astype(np.float64))
    return root


def ucsd(tmp, labels=LABELS):
    """UCSDped2/{Train/Train001/001.tif, Test/Test001_gt/001.bmp, Test/UCSDped2.m}."""
    root = tmp / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2"
    for split in ("Train", "Test"):
        for i, n in enumerate(LENGTHS[split.lower()], 1):
            clip = i + 5 * (split == "Test")
            frames(root / split / f"{split}{i:03d}", clip, n, "{:03d}.tif", first=1)
    for i in range(1, len(labels) + 1):
        (root / f"Test/Test{i:03d}_gt").mkdir()
        for j, mask in enumerate(planes(LABELS[i - 1]), 1):
            path = root / f"Test/Test{i:03d}_gt/{j:03d}.bmp"
            assert cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    runs = [", ".join(f"{a + 1}:{b}" for a, b in intervals(row)) for row in labels]
    lines = [f"TestVideoFile{{end+1}}.gt_frame = [{run}];" for run in runs]
    (root / "Test/UCSDped2.m").write_text("TestVideoFile = {};\n" + "\n".join(lines) + "\n")
    (root / "Test/.DS_Store").touch()
    return root


def avenue(tmp, labels=LABELS):
    """training_videos/01.avi, testing_videos, ground_truth_demo/testing_label_mask/1_label.mat."""
    root = tmp / "Avenue Dataset"
    for split in ("train", "test"):
        for i, n in enumerate(LENGTHS[split], 1):
            video(root / f"{split}ing_videos/{i:02d}.avi", i + 5 * (split == "test"), n)
    folder = root / "ground_truth_demo/testing_label_mask"
    folder.mkdir(parents=True)
    for i, row in enumerate(labels, 1):
        volume = cell(list(planes(row).astype(np.uint8)))
        savemat(folder / f"{i}_label.mat", {"volLabel": volume})
    return root


def shanghaitech(tmp, labels=LABELS):
    """training/videos/*.avi, testing/frames/01_0014, test_frame_mask and test_pixel_mask."""
    root = tmp / "shanghaitech"
    for i, n in enumerate(LENGTHS["train"], 1):
        video(root / f"training/videos/01_{i:03d}.avi", i, n)
    for name in ("test_frame_mask", "test_pixel_mask"):
        (root / "testing" / name).mkdir(parents=True)
    for i, n in enumerate(LENGTHS["test"]):
        name = f"01_{14 + i:04d}"
        frames(root / "testing/frames" / name, i + 6, n)
        np.save(root / f"testing/test_frame_mask/{name}.npy", np.array(labels[i], np.int8))
        np.save(root / f"testing/test_pixel_mask/{name}.npy", planes(LABELS[i]).astype(np.uint8))
    return root


def clips(tmp, labels=LABELS):
    """{training,testing}/01.avi with labels.npz and packed pixel_masks.npz."""
    root = tmp / "clips"
    for split in ("train", "test"):
        for i, n in enumerate(LENGTHS[split], 1):
            video(root / f"{split}ing/{i:02d}.avi", i + 5 * (split == "test"), n)
    np.savez(root / "labels.npz", **{f"{i:02d}": np.array(v) for i, v in enumerate(labels, 1)})
    packed = {f"{i:02d}": np.packbits(planes(v), axis=-1) for i, v in enumerate(LABELS, 1)}
    np.savez(root / "pixel_masks.npz", **packed)
    return root


def own(tmp, labels=LABELS):
    """mine/{normal,test}/*.mp4 and labels.csv in seconds."""
    root = tmp / "mine"
    for i, n in enumerate(LENGTHS["train"], 1):
        video(root / f"normal/day {i}.mp4", i, n)
    lines = ["video,start_s,end_s"]
    for i, n in enumerate(LENGTHS["test"], 1):
        video(root / f"test/odd{i}.mp4", i + 5, n, fps=10.0)
        lines += [f"odd{i}.mp4,{a / 10},{b / 10}" for a, b in intervals(labels[i - 1])]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


FORMS = {
    "ffp": (ffp, False), "mnad": (mnad, False), "ucsd": (ucsd, True), "avenue": (avenue, True),
    "shanghaitech": (shanghaitech, True), "clips": (clips, True), "own": (own, False),
}  # fmt: skip
"""Form -> (writer of a tree, whether it has pixel masks)."""
