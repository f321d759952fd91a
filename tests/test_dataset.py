import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from slidewin.comparison.dataset import open_dataset
from slidewin.comparison.layouts import LAYOUTS
from slidewin.comparison.outline import Box, MaskFile, Polygons, Runs, read_mask
from slidewin.errors import ArgumentError, ArgumentTypeError, ImageReadError, SlidewinWarning

SHARED = Path(__file__).parents[2] / "shared" / "data"

# Two lesions: a block on the left, and a diagonal of two pixels, which touch at their corners.
TWO = np.zeros((6, 8), np.uint8)
TWO[1:4, 1:3] = 255
TWO[1, 5] = TWO[2, 6] = 255
LABELLED = np.zeros((6, 8), np.int32)
LABELLED[1:4, 1:3] = 1
LABELLED[1, 5] = LABELLED[2, 6] = 2


@pytest.fixture
def put(tmp_path):
    """Write a picture; by default a grey photo of 6 x 8 pixels."""

    def write(name, picture=None, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.full((6, 8, 3), 90, np.uint8) if picture is None else picture
        Image.fromarray(picture).save(path, **options)
        return path

    return write


def names(root, **options):
    return [sample.name for sample in open_dataset(root, **options)]


def lesions(root, **options):
    (sample,) = open_dataset(root, **options)
    return sample.read()[1]


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("photos", ["photos", "images"])
def test_pieces_of_one_mask_are_lesions(tmp_path, put, photos):
    put(f"{photos}/a.jpg")
    put("masks/a.png", TWO)
    photo, found, ignore = open_dataset(tmp_path)[0].read()
    assert photo.shape == (6, 8, 3)
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(found, LABELLED)
    assert found.dtype == np.int32
    assert ignore is None


def test_several_masks_of_a_photo_are_one_lesion_each(tmp_path, put):
    put("photos/a.png")
    put("masks/a_2.png", np.where(LABELLED == 1, 255, 0).astype(np.uint8))
    apart = np.zeros((6, 8), np.uint8)
    apart[0, 0] = apart[5, 7] = 255
    put("masks/a_1.png", apart)
    found = lesions(tmp_path)
    assert found[0, 0] == found[5, 7] == 1
    assert set(found[TWO > 0].tolist()) == {0, 2}


def test_photos_in_folders_of_photos_are_told_apart_by_their_paths(tmp_path, put):
    for name in ("left/7", "right/7"):
        put(f"photos/{name}.jpg")
        put(f"masks/{name}.png", TWO)
    assert names(tmp_path) == ["left/7", "right/7"]


def test_a_name_that_ends_in_a_number_is_not_taken_for_a_second_lesion(tmp_path, put):
    for name in ("scan", "scan_1"):
        put(f"photos/{name}.jpg")
        put(f"masks/{name}.png", TWO)
    assert all(sample.read()[1].max() == 2 for sample in open_dataset(tmp_path))


def test_a_photo_is_without_lesions_only_where_the_user_says_so(tmp_path, put):
    put("photos/black.jpg")
    put("masks/black.png", np.zeros((6, 8), np.uint8))
    put("lesion_free/bare.jpg")
    assert [sample.read()[1].max() for sample in open_dataset(tmp_path)] == [0, 0]
    put("photos/unsaid.jpg")
    with pytest.raises(ArgumentError, match=r"no mask for unsaid.*lesion_free/"):
        open_dataset(tmp_path)


def test_what_is_to_be_ignored_is_told_but_not_where_a_lesion_is(tmp_path, put):
    put("photos/a.jpg")
    put("masks/a.png", TWO)
    ruler = np.zeros((6, 8), np.uint8)
    ruler[:, :2] = 255
    put("ignore/a.png", ruler)
    _, found, ignore = open_dataset(tmp_path)[0].read()
    np.testing.assert_array_equal(found, LABELLED)
    np.testing.assert_array_equal(ignore, (ruler > 0) & (LABELLED == 0))


def test_strays_of_the_pen_are_neither_lesion_nor_none(tmp_path, put):
    mask = np.zeros((40, 40), np.uint8)
    mask[:20, :20] = 255
    mask[30, 30] = mask[30, 32:36] = 255  # 1 and 4 of 400 pixels
    put("photos/a.png", np.zeros((40, 40, 3), np.uint8))
    put("masks/a.png", mask)
    _, found, ignore = open_dataset(tmp_path)[0].read()
    assert found.max() == 2
    assert np.argwhere(ignore).tolist() == [[30, 30]]


@pytest.mark.parametrize(
    ("files", "words"),
    [(["photos/a.jpg", "photos/a.png", "masks/a.png"], "of one name but for the suffix"),
     (["photos/a.jpg", "masks/b.png"], "no photo photos/b"),
     (["photos/a.jpg", "masks/a.png", "masks/a_1.png"], "one mask, or one a lesion"),
     (["photos/a.jpg", "masks/a.png", "ignore/b.png"], "no photo for b"),
     (["photos/a.jpg", "images/b.jpg", "masks/a.png"], "photos/ and images/"),
     (["photos/a.jpg", "masks/a.png", "lesion_free/a.jpg"], "two photos by the name of a")],
)  # fmt: skip
def test_a_folder_that_can_be_read_in_two_ways_is_refused(tmp_path, put, files, words):
    for name in files:
        put(name)
    with pytest.raises(ArgumentError, match=words):
        open_dataset(tmp_path)


def test_a_split_is_a_folder(tmp_path, put):
    for split in ("val", "test"):
        put(f"{split}/photos/{split}.jpg")
        put(f"{split}/masks/{split}.png", TWO)
    assert names(tmp_path, split="val") == ["val"]
    with pytest.raises(ArgumentError, match=r"test/, val/.*wanted is a CSV"):
        open_dataset(tmp_path)
    with pytest.raises(ArgumentError, match="has no splits"):
        open_dataset(tmp_path / "val", split="train")


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [TWO, TWO // 255, np.where(TWO, 200, 30).astype(np.uint8), np.stack([TWO * 0, TWO, TWO], -1)],
    ids=["255", "1", "smoothed", "coloured"],
)
def test_masks_are_read_whatever_marks_them(put, mask):
    path = put("mask.png", mask)
    np.testing.assert_array_equal(read_mask(path, (6, 8), of=Path("a")), TWO > 0)


def test_a_mask_of_few_greys_is_not_guessed_at(put):
    path = put("mask.png", np.where(TWO, 2, LABELLED).astype(np.uint8))
    with pytest.raises(ArgumentError, match=r"values 0, 2; .*one mask each"):
        read_mask(path, (6, 8), of=Path("a"))


def test_a_mask_of_16_bits_is_refused_before_it_reads_as_black(put):
    path = put("mask.png", (TWO // 255).astype(np.uint16))
    with pytest.raises(ArgumentError, match="more than 8 bits"):
        read_mask(path, (6, 8), of=Path("a"))


def test_a_mask_of_another_size_is_refused_by_both_names(tmp_path, put):
    put("photos/a.jpg", np.zeros((6, 9, 3), np.uint8))
    put("masks/a.png", TWO)
    with pytest.raises(ArgumentError, match=r"masks/a.png: .* 6 x 8 .*photos/a.jpg 6 x 9"):
        lesions(tmp_path)


def test_a_photo_is_upright_and_so_must_be_its_mask(tmp_path, put):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    put("photos/a.jpg", exif=exif)
    put("masks/a.png", np.ascontiguousarray(np.rot90(TWO, -1)))
    photo, found, _ = open_dataset(tmp_path)[0].read()
    assert photo.shape[:2] == found.shape == (8, 6)
    put("masks/a.png", TWO)
    with pytest.raises(ArgumentError, match="before its EXIF orientation"):
        lesions(tmp_path)


# --- tables -------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path, put):
    """Write a table, and the photos a and b with their masks."""
    for name in "ab":
        put(f"images/{name}.jpg")
        put(f"masks/{name}.png", TWO)

    def write(text, name="labels.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_table_says_split_group_and_label(tmp_path, table):
    table(
        "file,mask,label,split,patient_id\n"
        "images/b.jpg,masks/b.png,nevus,test,Ada\nimages/a.jpg,none,,val,\n"
    )
    first, second = open_dataset(tmp_path)
    assert (first.name, first.group, first.label, first.lesions) == ("images/a", None, "", ())
    assert (second.name, second.group, second.label) == ("images/b", "Ada", "nevus")
    np.testing.assert_array_equal(second.read()[1], LABELLED)
    assert names(tmp_path, split="val") == ["images/a"]
    with pytest.raises(ArgumentError, match=r"\['test', 'val'\]"):
        open_dataset(tmp_path, split="train")


def test_rows_of_one_file_are_its_lesions(tmp_path, table):
    table("file,mask,y0,x0,y1,x1\nimages/a.jpg,masks/a.png,,,,\nimages/a.jpg,,4,0,6,3\n")
    found = lesions(tmp_path)
    np.testing.assert_array_equal(found[:4] > 0, TWO[:4] > 0)
    assert set(found[TWO > 0].tolist()) == {1}
    assert (found == 2).sum() == 6
    assert (found[4:6, :3] == 2).all()


def test_each_lesion_of_a_photo_has_its_label(tmp_path, table):
    table(
        "file,mask,y0,x0,y1,x1,label\nimages/a.jpg,masks/a.png,,,,,nevus\n"
        "images/a.jpg,,4,0,6,3,melanoma\nimages/b.jpg,masks/b.png,,,,,nevus\n"
    )
    both, one = open_dataset(tmp_path)
    assert (both.label, both.label_of_each) == ("nevus, melanoma", ("nevus", "melanoma"))
    assert (one.labels, one.label_of_each) == ((), ("nevus",))
    _, found, ignored = both.seeking(["melanoma"]).read()
    assert np.count_nonzero(found) == 6
    assert (found[4:6, :3] == 1).all()
    np.testing.assert_array_equal(ignored, (TWO > 0) & (found == 0))
    with pytest.raises(ArgumentError, match="found 1 for 2 outlines"):
        replace(both, labels=("nevus",))


def test_what_the_pen_left_beside_an_ignored_lesion_is_ignored_too(tmp_path, put):
    mask = np.zeros((40, 40), np.uint8)
    mask[5:30, 5:30] = mask[35, 35] = 255
    put("photos/a.jpg", np.full((40, 40, 3), 200, np.uint8))
    put("masks/a.png", mask)
    (sample,) = open_dataset(tmp_path)
    np.testing.assert_array_equal(sample.seeking(["nevus"]).read()[2], mask > 0)


def test_lesions_of_one_photo_may_each_have_an_id(tmp_path, table):
    table(
        "file,mask,lesion_id,patient_id\nimages/a.jpg,masks/a.png,L1,\n"
        "images/a.jpg,masks/b.png,L2,\nimages/b.jpg,masks/b.png,L2,\n"
    )
    assert [sample.group for sample in open_dataset(tmp_path)] == [None, "L2"]
    table(
        "file,mask,lesion_id,patient_id\nimages/a.jpg,masks/a.png,L1,Ada\n"
        "images/a.jpg,masks/b.png,L2,Ada\nimages/b.jpg,none,,\n"
    )
    assert [sample.group for sample in open_dataset(tmp_path)] == ["Ada", None]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_columns_may_be_parted_by_other_marks_than_commas(tmp_path, table, mark):
    text = "file,y0,x0,y1,x1,label\nimages/a.jpg,1,2,3,4,nevus\n"
    table(text.replace(",", mark))
    (sample,) = open_dataset(tmp_path)
    assert (sample.label, sample.lesions[0].bbox) == ("nevus", (1, 2, 3, 4))


def test_a_table_that_is_passed_over_is_named(tmp_path, table):
    table("path,mask\nimages/a.jpg,none\n")
    with pytest.warns(SlidewinWarning, match=r"did not read labels\.csv.*CSV with a column 'file'"):
        assert names(tmp_path) == ["a", "b"]
    assert names(tmp_path, layout="folder") == ["a", "b"]


def test_a_row_that_names_its_lesion_is_one(tmp_path, table):
    table("file,mask,lesion_id\nimages/a.jpg,masks/a.png,7\n")
    assert lesions(tmp_path).max() == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("file,mask\nimages/a.jpg,\n", "neither mask nor box"),
     ("file\nimages/a.jpg\n", "neither mask nor box"),
     ("file,mask\nimages/a.jpg,none\nimages/a.jpg,masks/a.png\n", "beside another row"),
     ("file,mask\nimages/c.jpg,none\n", r"not there: .*c\.jpg"),
     ("file,mask\nimages/a.jpg,masks/c.png\n", r"not there: .*c\.png"),
     ("file,mask,group\nimages/a.jpg,masks/a.png,1\nimages/a.jpg,masks/b.png,2\n", "groups"),
     ("file,y0,x0,y1,x1\nimages/a.jpg,1,2,x,4\n", "numbers are needed")],
)  # fmt: skip
def test_a_table_that_does_not_say_what_is_true_is_refused(tmp_path, table, text, words):
    table(text)
    with pytest.raises(ArgumentError, match=words):
        open_dataset(tmp_path)


def test_of_two_tables_one_is_to_be_named(tmp_path, table):
    path = table("file,mask\nimages/a.jpg,none\n")
    table("file,mask\nimages/b.jpg,none\n", "more.csv")
    with pytest.raises(ArgumentError, match=r"labels\.csv, more\.csv"):
        open_dataset(tmp_path)
    assert names(path) == ["images/a"]


# --- COCO ---------------------------------------------------------------------------------------


@pytest.fixture
def coco(tmp_path, put):
    """Write a COCO file of one photo with these annotations."""
    put("images/a.jpg")

    def write(*annotations, name="labels.json", **image):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        numbered = [
            {"id": i, "image_id": 3, "category_id": 1, **one} for i, one in enumerate(annotations)
        ]
        data = {
            "images": [{"id": 3, "file_name": "a.jpg", "height": 6, "width": 8, **image}],
            "annotations": numbered,
            "categories": [{"id": 1, "name": "nevus"}],
        }
        path.write_text(json.dumps(data))
        return path

    return write


def test_coco_polygons_are_in_x_and_y_and_one_annotation_is_one_lesion(tmp_path, coco):
    left, right = [1, 1, 3, 1, 3, 4, 1, 4], [5, 1, 6, 1, 6, 2, 5, 2]
    coco({"segmentation": [left, right]}, group="Ada")
    (sample,) = open_dataset(tmp_path)
    assert (sample.name, sample.group, sample.label) == ("a", "Ada", "nevus")
    found = sample.read()[1]
    assert found.max() == 1
    assert np.argwhere(found == 1).tolist() == [
        [1, 1], [1, 2], [1, 5], [2, 1], [2, 2], [3, 1], [3, 2],
    ]  # fmt: skip


def test_coco_categories_are_labels_of_each_lesion(tmp_path, coco):
    known, other = {"bbox": [5, 1, 2, 3]}, {"bbox": [0, 0, 2, 2], "category_id": 9}
    coco(known, {"bbox": [3, 3, 1, 1], "iscrowd": 1}, other)
    (sample,) = open_dataset(tmp_path)
    assert (sample.label, sample.label_of_each) == ("nevus", ("nevus", ""))
    assert sample.seeking(["nevus"]).ignore[1:] == sample.lesions[1:]


def test_coco_images_of_one_number_are_refused(tmp_path, coco):
    path = coco({"bbox": [1, 1, 2, 2]})
    data = json.loads(path.read_text())
    data["images"].append({"id": 3, "file_name": "b.jpg"})
    path.write_text(json.dumps(data))
    with pytest.raises(ArgumentError, match=r"a\.jpg and b\.jpg under the number 3"):
        open_dataset(tmp_path)


def test_coco_boxes_stand_in_where_there_is_no_outline(tmp_path, coco):
    coco({"segmentation": [], "bbox": [5, 1, 2, 3]})
    found = lesions(tmp_path)
    assert (found[1:4, 5:7] == 1).all()
    assert found.sum() == 6


def test_coco_crowds_are_ignored_and_an_image_without_annotations_shows_none(tmp_path, coco):
    coco({"iscrowd": 1, "segmentation": {"counts": [0, 6, 42], "size": [6, 8]}})
    _, found, ignore = open_dataset(tmp_path)[0].read()
    assert not found.any()
    assert ignore[:, 0].all()
    assert ignore.sum() == 6
    coco()
    assert not lesions(tmp_path).any()


def test_coco_is_found_in_annotations_by_its_split(tmp_path, coco):
    coco(name="annotations/instances_val2017.json")
    coco(name="annotations/instances_train2017.json")
    assert names(tmp_path, split="val") == ["a"]
    with pytest.raises(ArgumentError, match=r"instances_train2017\.json, instances_val2017\.json"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [({}, "neither segmentation nor bbox"),
     ({"segmentation": [[1, 2, 3]]}, "pairs x, y"),
     ({"segmentation": [[20, 1, 30, 1, 30, 4]]}, "annotation 0: .*lies inside"),
     ({"bbox": [5, 1, 0, 3]}, "holds no pixel"),
     ({"bbox": [5, 1, 2]}, "not as COCO has it"),
     ({"segmentation": {"counts": [1, 2], "size": [6, 8]}}, "add up to 3 pixels"),
     ({"segmentation": {"counts": [48], "size": [8, 6]}}, "8 x 6 px; the photo has 6 x 8"),
     ({"segmentation": {"counts": [48], "size": [6, 8]}}, "marks no pixel"),
     ({"segmentation": {"counts": "0P", "size": [6, 8]}}, "cut short"),
     ({"segmentation": {"counts": "0!", "size": [6, 8]}}, "'!' is no part"),
     ({"image_id": 4}, "number 4")],
)  # fmt: skip
def test_a_coco_annotation_that_marks_nothing_is_refused(tmp_path, coco, annotation, words):
    coco(annotation)
    with pytest.raises(ArgumentError, match=words):
        lesions(tmp_path)


def test_a_coco_photo_that_was_turned_since_is_refused(tmp_path, coco):
    coco({"bbox": [0, 0, 2, 2]}, height=8, width=6)
    with pytest.raises(ArgumentError, match="before its EXIF orientation"):
        lesions(tmp_path)


def packed(counts):
    """COCO's string of run lengths, written from its description: the inverse of what is read."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 if more else bits))
    return text


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=12).filter(lambda c: sum(c[1::2])))
def test_packed_runs_are_those_that_were_packed(counts):
    size = (1, sum(counts))
    (plain,), _ = Runs(tuple(counts), size).masks(size)
    (unpacked,), _ = Runs(packed(counts), size).masks(size)
    np.testing.assert_array_equal(unpacked, plain)
    assert plain.sum() == sum(counts[1::2])


def test_runs_go_down_the_columns():
    (inside,), _ = Runs((1, 2, 3), (3, 2)).masks((3, 2))
    assert inside.tolist() == [[False, False], [True, False], [True, False]]


# --- layouts of public data sets ----------------------------------------------------------------


def test_isic(tmp_path, put):
    put("Training_Input/ISIC_0000001.jpg")
    put("Training_Input/ISIC_0000001_superpixels.png")
    put("Training_GroundTruth/ISIC_0000001_segmentation.png", TWO)
    put("Training_Input/ISIC_0000002.jpg")
    with pytest.warns(SlidewinWarning, match="left out 1 photos without a mask.*ISIC_0000002"):
        (sample,) = open_dataset(tmp_path)
    assert sample.name == "ISIC_0000001"
    assert sample.read()[1].max() == 1  # one lesion a picture, in pieces or not


@pytest.mark.parametrize("name", ["HAM10000_metadata.csv", "HAM10000_metadata"])
def test_ham10000(tmp_path, put, name):
    for part, number in ((1, 24306), (2, 29307)):
        put(f"HAM10000_images_part_{part}/ISIC_00{number}.jpg")
        put(f"HAM10000_segmentations_lesion_tschandl/ISIC_00{number}_segmentation.png", TWO)
    (tmp_path / name).write_text(
        "lesion_id,image_id,dx\nHAM_0000001,ISIC_0024306,mel\nHAM_0000001,ISIC_0029307,mel\n"
        "HAM_0000002,ISIC_0030000,nv\n"
    )
    first, second = open_dataset(tmp_path)
    assert (first.name, first.group, first.label) == ("ISIC_0024306", "HAM_0000001", "mel")
    assert second.group == first.group


def test_ph2(tmp_path, put):
    put("PH2 Dataset images/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp")
    put("PH2 Dataset images/IMD002/IMD002_lesion/IMD002_lesion.bmp", TWO)
    put("PH2 Dataset images/IMD002/IMD002_roi/IMD002_R1_Label3.bmp", TWO)
    (sample,) = open_dataset(tmp_path)
    assert sample.name == "IMD002"
    assert sample.read()[1].max() == 1


@pytest.mark.parametrize("mask", ["masks/PAT_8_15_820.png", "outlines/PAT_8_15_820_mask.png"])
def test_pad_ufes(tmp_path, put, mask):
    put("images/imgs_part_1/PAT_8_15_820.png")
    put("images/imgs_part_2/PAT_9_1_1.png")
    put(mask, TWO)
    (tmp_path / "metadata.csv").write_text(
        "patient_id,lesion_id,diagnostic,img_id\n"
        "PAT_8,15,BCC,PAT_8_15_820.png\nPAT_9,1,NEV,PAT_9_1_1.png\n"
    )
    with pytest.warns(SlidewinWarning, match="PAT_9_1_1"):
        (sample,) = open_dataset(tmp_path)
    assert (sample.name, sample.group, sample.label) == ("PAT_8_15_820", "PAT_8", "BCC")


def test_pad_ufes_without_any_mask_is_refused(tmp_path, put):
    put("images/PAT_8_15_820.png")
    (tmp_path / "metadata.csv").write_text("patient_id,img_id\nPAT_8,PAT_8_15_820.png\n")
    with pytest.raises(ArgumentError, match="1 photos and 0 masks"):
        open_dataset(tmp_path)


# --- whatever the layout ------------------------------------------------------------------------


def test_a_layout_can_be_named_where_there_are_two(tmp_path, table):
    table("file,mask\nimages/a.jpg,none\n")
    assert names(tmp_path) == ["images/a"]
    assert names(tmp_path, layout="folder") == ["a", "b"]
    with pytest.raises(ArgumentError, match=r"labels.csv, masks/; wanted is a JSON"):
        open_dataset(tmp_path, layout="coco")


def test_what_is_no_data_set_is_said_in_words(tmp_path):
    with pytest.raises(ArgumentError, match="an empty folder; wanted is") as caught:
        open_dataset(tmp_path)
    assert all(layout in str(caught.value) for layout in LAYOUTS)
    with pytest.raises(ArgumentError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="layout='voc'"):
        open_dataset(tmp_path, layout="voc")
    with pytest.raises(ArgumentTypeError, match="path is of type int"):
        open_dataset(3)


def test_a_lesion_under_another_is_on_top_unless_it_is_the_same(tmp_path, put):
    from slidewin.comparison.sample import Sample

    photo = put("a.png")
    large, small = Box((0, 0, 6, 8)), Box((1, 1, 3, 3))
    found = Sample("a", photo, (small, large)).read()[1]
    assert (found[1:3, 1:3] == 1).all()
    assert (found == 2).sum() == 44
    with pytest.raises(ArgumentError, match="hidden by the others"):
        Sample("a", photo, (small, small)).read()


def test_a_damaged_mask_is_an_error_and_not_a_photo_without_lesions(tmp_path, put):
    put("photos/a.jpg")
    put("masks/b.png")
    (tmp_path / "masks" / "b.png").rename(tmp_path / "masks" / "a.png")
    whole = (tmp_path / "masks" / "a.png").read_bytes()
    (tmp_path / "masks" / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageReadError, match=r"a\.png"):
        lesions(tmp_path)


def test_outlines_agree_on_one_square():
    rings = (((1.0, 2.0), (1.0, 4.0), (3.0, 4.0), (3.0, 2.0)),)
    square = [Polygons(rings), Box((1, 2, 3, 4)), Runs((13, 2, 4, 2, 27), (6, 8))]
    for outline in square:
        ((inside,), strays) = outline.masks((6, 8))
        assert np.argwhere(inside).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
        assert strays is None


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
@pytest.mark.parametrize(
    ("folder", "split", "n"),
    [("fusc_2021", "test", 119), ("pad_ufes_20", "test", 94), ("nci_moles", None, 5)],
)
def test_real_data_sets_open(folder, split, n):
    samples = open_dataset(SHARED / folder, split=split)
    assert len(samples) == n
    photo, found, _ = samples[0].read()
    assert photo.shape[:2] == found.shape
    assert found.max() >= 1


def test_a_whole_mask_is_one_lesion(put):
    path = put("mask.png", TWO)
    ((inside,), _) = MaskFile(path, path, whole=True).masks((6, 8))
    np.testing.assert_array_equal(inside, TWO > 0)
