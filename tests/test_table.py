import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidewin.errors import ArgumentError
from slidewin.training.table import read_table, read_tables


@pytest.fixture
def write(tmp_path):
    """Write a table of lines; no image need be there."""

    def write_lines(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_lines


def splits_of(rows):
    return {row.file.name: row.split for row in rows}


def test_a_table_keeps_its_splits_and_leaves_the_test_rows_out(write):
    path = write("file,mask,label,split\na.png,m.png,nevus,train\nb.png,,,val\nc.png,,,test\n")
    first, second = read_table(path)
    assert (first.file, first.mask) == (path.parent / "a.png", path.parent / "m.png")
    assert (first.label, first.split, first.group, first.by_lot) == ("nevus", "train", "", False)
    assert (second.mask, second.label, second.split) == (None, "", "val")


def test_test_rows_are_there_for_who_asks(write):
    path = write("file,split\na.png,train\nb.png,val\nc.png,test\n")
    assert splits_of(read_table(path, splits=("test",))) == {"c.png": "test"}
    assert len(read_table(path, splits=("train", "val", "test"))) == 3


def test_lots_take_from_train_alone(write):
    path = write("file,split\n" + "".join(f"{i}.png,{'test' * (i % 2)}\n" for i in range(40)))
    rows = read_table(path, validation=0.5, splits=("train", "val", "test"))
    assert {row.split for row in rows[::2]} == {"train", "val"}
    assert {row.split for row in rows[1::2]} == {"test"}
    assert all(row.by_lot for row in rows[::2])
    assert not any(row.by_lot for row in rows[1::2])


def test_a_folder_is_a_table_whose_validation_rows_are_drawn_by_name(tmp_path):
    (tmp_path / "below").mkdir()
    for i in range(20):
        (tmp_path / "below" / f"{i}.png").touch()
    once, again = read_table(tmp_path), read_table(tmp_path)
    assert once == again
    assert len(once) == 20
    assert {row.split for row in read_table(tmp_path, validation=0.5)} == {"train", "val"}
    assert {row.split for row in read_table(tmp_path, validation=0)} == {"train"}
    assert {row.split for row in read_table(tmp_path, validation=1)} == {"val"}


def test_the_same_names_are_drawn_on_every_machine(write):
    path = write("file\n" + "".join(f"{i}.png\n" for i in range(12)))
    drawn = [row.file.name for row in read_table(path, validation=0.3) if row.split == "val"]
    assert drawn == ["2.png", "3.png"]


@settings(max_examples=30, deadline=None)
@given(
    patients=st.lists(st.sampled_from("ABCDEFGH"), min_size=1, max_size=30),
    share=st.floats(0, 1),
)
def test_no_group_is_drawn_into_two_splits(patients, share, tmp_path_factory):
    path = tmp_path_factory.mktemp("groups") / "table.csv"
    lines = [("file", "patient"), *((f"{i}.png", name) for i, name in enumerate(patients))]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    rows = read_table(path, validation=share, group_column="patient")
    assert [row.group for row in rows] == patients
    assert len({(row.group, row.split) for row in rows}) == len(set(patients))


def test_rows_without_a_group_are_groups_of_their_own(write):
    lines = "".join(f"{i}.png,\n" for i in range(20))
    rows = read_table(write("file,patient\n" + lines), validation=0.5, group_column="patient")
    assert {row.split for row in rows} == {"train", "val"}
    assert rows == read_table(write("file\n" + lines.replace(",", "")), validation=0.5)


def test_a_table_that_tears_a_group_apart_is_refused(write):
    path = write("file,patient,split\na.png,Ada,train\nb.png,Ada,test\nc.png,Bo,val\n")
    assert len(read_table(path)) == 2
    with pytest.raises(ArgumentError, match=r"two splits: Ada \(test, train\); give all images"):
        read_table(path, group_column="patient")


def test_of_many_groups_torn_apart_a_few_are_named(write):
    lines = "".join(f"{i}{s}.png,P{i},{s}\n" for i in range(8) for s in ("train", "val"))
    with pytest.raises(ArgumentError, match=r"P0.*P4 \(train, val\) and 3 more"):
        read_table(write("file,patient,split\n" + lines), group_column="patient")


def test_a_group_column_that_is_not_there_is_refused_with_those_that_are(write):
    path = write("file,patient\na.png,Ada\n")
    with pytest.raises(ArgumentError, match=r"'person'.*columns file, patient"):
        read_table(path, group_column="person")


def test_of_several_tables_one_must_have_the_group_column(write):
    grouped = write("file,patient\na.png,Ada\n")
    plain = write("file\nb.png\n", "plain.csv")
    (first,), (second,) = read_tables([grouped, plain], group_column="patient")
    assert (first.group, second.group) == ("Ada", "")
    with pytest.raises(ArgumentError, match=r"plain.csv; name the one"):
        read_tables([plain], group_column="patient")


@pytest.mark.parametrize(
    ("content", "words"), [("", "no images"), ("path\na.png\n", "columns path.*'file'")]
)
def test_a_table_without_files_is_refused(content, words, write):
    with pytest.raises(ArgumentError, match=words):
        read_table(write(content))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"nowhere.*CSV table or a folder"):
        read_table(tmp_path / "nowhere")


def test_a_split_of_another_name_is_not_passed_over(write):
    with pytest.raises(ArgumentError, match=r"splits training; known are train, val, test"):
        read_table(write("file,split\na.png,training\nb.png,test\n"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"splits": "test"}, "splits='test'.*in a tuple"),
        ({"splits": ("testing",)}, "give some of train, val, test"),
        ({"validation": 1.5}, "validation=1.5"),
    ],
)
def test_wrong_wishes_are_refused(wrong, words, write):
    with pytest.raises(ArgumentError, match=words):
        read_table(write("file\na.png\n"), **wrong)


def test_a_line_too_long_is_read_as_far_as_it_is_known(write):
    (row,) = read_table(write("file,label\na.png,nevus,surplus\n"), validation=0)
    assert row.label == "nevus"


def test_a_table_in_another_encoding_is_refused_in_words(tmp_path):
    (tmp_path / "table.csv").write_bytes("file\nläsion.png\n".encode("latin-1"))
    with pytest.raises(ArgumentError, match="UTF-8"):
        read_table(tmp_path / "table.csv")
    (tmp_path / "table.csv").write_text("file\nläsion.png\n", encoding="utf-8-sig")
    assert read_table(tmp_path / "table.csv", validation=0)[0].file == tmp_path / "läsion.png"
