import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from slidewin.errors import ArgumentError, ArgumentTypeError, OutputError, OutputExistsError
from slidewin.output import write_bytes, write_png, write_text

RGBA = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)


@pytest.mark.parametrize("array", [RGBA, RGBA[..., :3], RGBA[..., 0], np.asfortranarray(RGBA)])
def test_a_png_gives_back_what_was_written(tmp_path, array):
    path = tmp_path / "größe 中.png"
    write_png(path, array)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), array)
        assert image.info == {}
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_with_its_own_line_ends(tmp_path):
    write_text(str(tmp_path / "a.csv"), "é,1\r\n中,2\n")
    assert (tmp_path / "a.csv").read_bytes() == "é,1\r\n中,2\n".encode()


@pytest.mark.parametrize(
    "array",
    [
        RGBA.astype(float),
        RGBA[..., :2],
        RGBA[0, 0],
        RGBA[None],
        np.zeros((0, 7, 3), np.uint8),
        RGBA > 0,
    ],
)
def test_another_array_is_no_png(tmp_path, array):
    with pytest.raises(ArgumentError, match=r"array has shape .* and dtype .*; wanted is uint8"):
        write_png(tmp_path / "a.png", array)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "first")
    with pytest.raises(OutputExistsError, match=r"a\.txt: is already there; .*overwrite=True"):
        write_text(path, "second")
    assert path.read_text() == "first"
    write_text(path, "third", overwrite=True)
    assert path.read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(OutputExistsError):
        write_text(link, "new")
    write_text(link, "new", overwrite=True)
    assert target.read_text() == "precious"
    assert not link.is_symlink()


def test_of_many_writers_of_one_name_one_wins(tmp_path):
    def write(number: int) -> bool:
        try:
            write_text(tmp_path / "a.json", json.dumps([number] * 1000))
        except OutputExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, did in enumerate(pool.map(write, range(32))) if did]
    assert len(won) == 1
    assert json.loads((tmp_path / "a.json").read_text()) == won * 1000


@pytest.mark.parametrize("name", ["absent/a.txt", "file/a.txt", "a\0b", "x" * 5000])
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written .*; check the folder") as caught:
        write_bytes(tmp_path / name, b"")
    assert str(tmp_path / name) in str(caught.value)


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputError):
            write_bytes(tmp_path / "folder", b"", overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half_written(self: Path, data: bytes) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half_written)
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written \(No space left on device\)"):
        write_text(path, "new", overwrite=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="rights are kept otherwise here")
def test_a_file_gets_the_rights_that_any_new_file_gets(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "written", "")
    plain, written = ((tmp_path / name).stat().st_mode for name in ("plain", "written"))
    assert stat.S_IMODE(written) == stat.S_IMODE(plain)


def test_only_a_path_is_written_to():
    with pytest.raises(ArgumentTypeError, match="path is of type int"):
        write_bytes(3, b"")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_name_that_cannot_be_taken_leaves_things_as_they_were(tmp_path, monkeypatch, overwrite):
    path = tmp_path / "a.txt"
    if overwrite:
        write_text(path, "old")

    def refused(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written \(Permission denied\)"):
        write_text(path, "new", overwrite=overwrite)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")] * overwrite


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="this user may write anywhere here"
)
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match=r"a\.txt: cannot be written \(Permission denied\)"):
            write_text(tmp_path / "a.txt", "new")
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_file_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    path.chmod(0o400)
    with pytest.raises(OutputExistsError):
        write_text(path, "new")
    assert path.read_text() == "old"


@given(shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), channels=st.sampled_from([0, 3, 4]))
def test_a_png_of_any_shape_comes_back_without_metadata(shape, channels, tmp_path_factory):
    array = np.random.default_rng(shape).integers(
        0, 256, (*shape, channels) if channels else shape, np.uint8
    )
    path = tmp_path_factory.getbasetemp() / "any.png"
    write_png(path, array[::-1, ::-1], overwrite=True)
    data = path.read_bytes()
    chunks, place = [], 8
    while place < len(data):
        chunks.append(data[place + 4 : place + 8])
        place += 12 + int.from_bytes(data[place : place + 4])
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), array[::-1, ::-1])
