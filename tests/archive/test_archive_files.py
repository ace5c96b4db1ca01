"""What sources name: files, folders, globs, lists, addresses."""

import os

import pytest

from oddframe.archive import remote
from oddframe.archive.files import File, listed
from oddframe.archive.remote import at_hand, filesystem, own_folder, sweep
from oddframe.errors import RunError, SourceError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def tree(tmp_path, make_frames):
    """Videos at two depths, a folder of frames, and what is none of it."""
    for name in ("cam/2.mp4", "cam/10.mp4", "cam/day/x.mkv", "cam/notes.doc", "cam/.hidden.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    make_frames(tmp_path / "cam" / "frames", frames=3)
    return tmp_path / "cam"


def names(files, root):
    return [os.path.relpath(f.path, root) for f in files]


def test_folders_at_any_depth_as_people_count(tree):
    found = listed([str(tree)])
    assert names(found, tree) == ["2.mp4", "10.mp4", "day/x.mkv", "frames"]
    assert [f.stem for f in found] == ["2", "10", "x", "frames"]


def test_a_picture_beside_folders_of_cameras_does_not_hide_them(tree):
    (tree.parent / "logo.png").write_bytes(b"a picture")
    assert names(listed([str(tree.parent)]), tree)[1:] == ["2.mp4", "10.mp4", "day/x.mkv", "frames"]


def test_links_are_followed_once_and_results_are_no_footage(tree, tmp_path):
    other = tmp_path / "disk" / "gate"
    other.mkdir(parents=True)
    (other / "1.mp4").write_bytes(b"1")
    (tree / "gate").symlink_to(other)
    (other / "round").symlink_to(tree)
    (tree / "a-latest").symlink_to(tree / "day")  # which keeps the name that its results have
    (tree / "a-newest.mp4").symlink_to(tree / "10.mp4")
    pictures = tree / "scored" / "events"
    pictures.mkdir(parents=True)
    (pictures / "1.jpg").write_bytes(b"no footage")
    found = names(listed([str(tree)], tree / "scored"), tree)
    assert found == ["2.mp4", "10.mp4", "day/x.mkv", "frames", "gate/1.mp4"]
    found = names(listed([str(tree / "**")], tree / "scored"), tree)
    assert not [name for name in found if "scored" in name]


def test_what_cannot_be_read_is_named(tree, monkeypatch):
    walk = os.walk

    def locked(top, onerror, **how):
        onerror(PermissionError(13, "Permission denied", str(tree / "shut")))
        return walk(top, **how)

    monkeypatch.setattr(os, "walk", locked)
    assert listed([str(tree)])[-1] == File(str(tree / "shut"), "unreadable")


def test_globs_and_files_each_once(tree):
    assert names(listed([str(tree / "**" / "*.m*")]), tree) == ["2.mp4", "10.mp4", "day/x.mkv"]
    both = listed([str(tree / "10.mp4"), str(tree / "*.mp4")])
    assert names(both, tree) == ["10.mp4", "2.mp4"]
    assert names(listed([str(tree / "*")]), tree) == ["2.mp4", "10.mp4", "frames"]


def test_lists_name_paths_from_here_or_from_beside_them(tree, monkeypatch):
    text = f"# a comment\n  # another\n\n2.mp4\n{tree / '10.mp4'}\nday\ngone.mp4\n"
    (tree / "list.txt").write_text(text, "utf-8-sig")  # as editors of Windows do
    monkeypatch.chdir(tree.parent)
    found = listed(["cam/list.txt"])
    assert names(found, tree)[:3] == ["2.mp4", "10.mp4", "day/x.mkv"]
    assert found[3].mark == "absent"


def test_a_file_is_another_when_it_was_changed(tree):
    [before] = listed([str(tree / "2.mp4")])
    (tree / "2.mp4").write_bytes(b"longer than it was")
    [after] = listed([str(tree / "2.mp4")])
    assert (before.path, before.id) == (after.path, after.id)
    assert before.mark != after.mark


def test_what_names_nothing_is_refused(tree, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    for source, said in (
        (tmp_path / "gone.mp4", "does not exist"),
        (tmp_path / "empty", "holds no video"),
        (tmp_path / "empty.txt", "names no file"),
        (tree / "*.doc", "no video or folder of frames"),
        ("rtsp://camera/stream", "live stream"),
        ("s3://key:secret@bucket/a.mp4", "password"),
        ("nosuch://bucket/a.mp4", "no kind of address"),
    ):
        with pytest.raises(SourceError, match=said) as raised:
            listed([str(source)])
        assert "secret" not in str(raised.value)
    for address in ("memory://user@box/a.mp4", "memory://container@account/a.mp4"):
        assert filesystem(address)


@pytest.fixture
def store():
    """Files in memory, which fsspec keeps for this process."""
    memory = fsspec.filesystem("memory")
    for name in ("/rec/a.mp4", "/rec/day/b.mkv", "/rec/c.txt"):
        memory.pipe(name, name.encode())
    yield memory
    memory.rm("/rec", recursive=True)


def test_addresses_folders_and_globs_of_them(store):
    for source in ("memory://rec", "memory://rec/**"):
        found = listed([source])
        assert [f.path for f in found] == ["memory:///rec/a.mp4", "memory:///rec/day/b.mkv"]
    [one] = listed(["memory://rec/a.mp4"])
    assert one.remote
    assert one.stem == "a"
    assert one.mark.startswith("10-")
    with pytest.raises(SourceError, match="cannot be listed"):
        listed(["memory://rec/gone.mp4"])


def test_a_copy_is_there_while_it_is_needed(store, tmp_path):
    with at_hand("memory://rec/a.mp4", tmp_path) as path:
        assert path.read_bytes() == b"/rec/a.mp4"
        assert path.name == "a.mp4"
        assert own_folder(tmp_path) in path.parents
    assert not path.exists()
    assert list(own_folder(tmp_path).iterdir()) == []
    with pytest.raises(SourceError, match="cannot be fetched"), at_hand("memory://no", tmp_path):
        pass


def test_no_room_for_a_copy_is_said_before_it_is_fetched(store, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "SPARE", 1e18)
    with (
        pytest.raises(RunError, match="no room for a copy"),
        at_hand("memory://rec/a.mp4", tmp_path),
    ):
        pass


def test_copies_of_killed_processes_of_this_machine_are_deleted(tmp_path):
    mine = own_folder(tmp_path)
    host = mine.name.rpartition("-")[0]
    gone, elsewhere = (mine.with_name(f"{name}-{2**22 + 1}") for name in (host, "other-box"))
    for folder in (gone, mine, elsewhere):
        folder.mkdir(parents=True)
    sweep(tmp_path)
    assert not gone.exists()
    assert mine.exists()
    assert elsewhere.exists()


def test_copies_need_a_folder_that_can_be_written(store, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(RunError, match="Give another folder"),
        at_hand("memory://rec/a.mp4", tmp_path / "file"),
    ):
        pass


def test_addresses_may_be_signed_and_have_users(monkeypatch):
    """A web address with its keys is one file, and no pattern."""
    far = fsspec.filesystem("memory")
    far.pipe("/get/a.mp4", b"a")
    monkeypatch.setattr(
        remote, "filesystem", lambda address: (far, "/get/a.mp4" if "?" not in address else address)
    )
    monkeypatch.setattr(far, "isdir", lambda path: False, raising=False)
    monkeypatch.setattr(far, "info", lambda path: {"size": 1}, raising=False)
    signed = "https://store/get/a.mp4?X-Signature=abc"
    [file] = listed([signed])
    assert (file.path, file.stem, file.shown) == (signed, "a", "https://store/get/a.mp4")


def test_what_lies_elsewhere_is_scored_as_what_lies_here(archived, light, footage, tmp_path):
    """One segment each; by an address in memory, and by one of files."""
    from archiving import same_as_one_pass

    import oddframe

    video = footage(tmp_path / "a.mp4", 40)
    memory = fsspec.filesystem("memory")
    memory.pipe("/far/a.mp4", video.read_bytes())
    addresses = ["memory://far/a.mp4", f"file://{video}"]
    outcome = archived(light, addresses, cache=str(tmp_path / "cache"))
    assert outcome.failures == []
    result = oddframe.load(light).score(video, heat=False)
    for address in addresses:
        assert [p.stem for p in archived.files(address)] == ["whole"]
        same_as_one_pass(archived.table(address), result)
    assert not list((tmp_path / "cache").rglob("*.mp4"))
    memory.rm("/far", recursive=True)
