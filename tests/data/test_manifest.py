"""Manifests notice other files, and nothing but other files."""

import json
import shutil

from oddframe.data.layouts import open_dataset
from oddframe.data.manifest import MIB, manifest, manifest_hash


def test_entries(make_video, make_frames, tmp_path):
    path = make_video(tmp_path / "normal/sub/a.mp4", frames=4)
    make_frames(tmp_path / "test/b", frames=3)
    content = manifest(open_dataset(tmp_path))
    first, second = content["videos"]
    assert (first["split"], first["path"]) == ("train", "normal/sub/a.mp4")
    assert first["bytes"] == path.stat().st_size
    assert (second["split"], second["path"], len(second["blake2b"])) == ("test", "test/b", 32)
    assert json.loads(json.dumps(content)) == content


def test_the_place_does_not_matter(make_video, tmp_path):
    make_video(tmp_path / "one/a.mp4", frames=4)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = (manifest_hash(manifest(open_dataset(tmp_path / d))) for d in ("one", "two"))
    assert one == two


def test_changes_are_noticed(tmp_path):
    path = tmp_path / "a.mp4"
    data = bytearray(5 * MIB)
    hashes = set()
    for position in (None, 0, len(data) - 1):
        if position is not None:
            data[position] ^= 1
        path.write_bytes(data)
        hashes.add(manifest_hash(manifest(open_dataset(path))))
    path.write_bytes(data[: 4 * MIB])
    hashes.add(manifest_hash(manifest(open_dataset(path))))
    assert len(hashes) == 4


def test_a_frame_more_is_noticed(make_frames, tmp_path):
    make_frames(tmp_path / "a", frames=3)
    before = manifest_hash(manifest(open_dataset(tmp_path)))
    make_frames(tmp_path / "a", frames=4)
    assert manifest_hash(manifest(open_dataset(tmp_path))) != before
