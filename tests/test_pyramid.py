"""Levels are made as a photo is read, and as if it were whole."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import SIDE, dark_middle

import slidewin
from slidewin.errors import ArgumentError, SweepError
from slidewin.grid import Level, plan_grid
from slidewin.pyramid import _Pending, read_bands, resample
from slidewin.sweep import SlidingWindow

ALL = 10**6


class Stored:
    """What a zarr array looks like from outside, and what was asked of it."""

    def __init__(self, pixels, chunk=None):
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        if chunk:
            self.chunks = (chunk, 64, 3)
        self.asked = []

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(self.shape[0])
        self.asked.append((start, stop))
        return self.pixels[start:stop].copy()


@pytest.fixture
def chunk_by_chunk(monkeypatch):
    """However small chunks are: no more rows are read at a time than one has."""
    monkeypatch.setattr("slidewin.pyramid._READ", 1)


def level_of(photo_shape, shape, *, side=8, stride=4):
    return Level(photo_shape, 4.0 * photo_shape[0] / shape[0], shape, side, stride)


def picture(h, w, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def whole_levels(photo, levels):
    """Each level's image, whole; read at once."""
    images = [None] * len(levels)
    for band in read_bands(photo, levels, most_rows=ALL):
        assert band.rows == (0, band.level.lattice[0])
        images[band.index] = band.image
    return images


def planned(h, w, smallest, largest):
    return plan_grid((h, w), lesion_size=(smallest, largest), input_size=8).levels


plans = st.tuples(st.integers(1, 70), st.integers(1, 50), st.floats(1.5, 12), st.floats(1, 6)).map(
    lambda x: ((x[0], x[1]), planned(x[0], x[1], x[2], x[2] * x[3]))
)


# --- one level ----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.data())
def test_a_level_that_shrinks_is_the_photo_averaged_over_areas(data):
    h, w = data.draw(st.integers(1, 120)), data.draw(st.integers(1, 90))
    shape = data.draw(st.integers(1, h)), data.draw(st.integers(1, w))
    photo = picture(h, w, seed=h)
    made = resample(photo, level_of((h, w), shape, side=1, stride=1))
    wanted = cv2.resize(photo, shape[::-1], interpolation=cv2.INTER_AREA)
    assert made.shape == wanted.shape
    assert made.dtype == np.uint8
    assert np.abs(made.astype(int) - wanted).max() <= 1


@settings(max_examples=40)
@given(st.data())
def test_a_level_that_grows_is_the_photo_between_its_pixels(data):
    h, w = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    shape = data.draw(st.integers(h, 3 * h)), data.draw(st.integers(w, 3 * w))
    photo = picture(h, w, seed=h)
    made = resample(photo, level_of((h, w), shape, side=1, stride=1))
    wanted = cv2.resize(photo, shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(made.astype(int) - wanted).max() <= 1


def test_a_level_as_large_as_the_photo_is_the_photo():
    photo = picture(30, 20)
    np.testing.assert_array_equal(resample(photo, level_of((30, 20), (30, 20))), photo)


def test_rows_are_averaged_by_their_share():
    photo = np.repeat(np.array([0, 90, 30], np.uint8)[:, None], 2, axis=1)[..., None].repeat(3, 2)
    made = resample(photo, level_of((3, 2), (2, 2), side=2, stride=1))
    assert made[:, 0, 0].tolist() == [30, 50]  # (0 + 90 / 2) / 1.5 and (90 / 2 + 30) / 1.5


@pytest.mark.parametrize("shape", [(5, 7), (3, 60), (60, 3), (1, 1), (7, 8)])
def test_a_photo_smaller_than_a_window_is_padded_by_its_mirror_image(shape):
    photo, level = picture(*shape), level_of(shape, shape)
    assert level.is_padded
    wanted = np.pad(photo, (*level.padding, (0, 0)), mode="reflect")
    np.testing.assert_array_equal(resample(photo, level), wanted)
    for band in read_bands(photo, [level], most_rows=2):
        first, last = level.tops[band.rows[0]], level.tops[band.rows[1] - 1]
        np.testing.assert_array_equal(band.image, wanted[first : last + 8])


# --- bands --------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(
    plan=plans,
    most_rows=st.integers(1, 9),
    chunk=st.none() | st.integers(1, 80),
    read=st.integers(1, 9000),
)
def test_every_row_of_every_level_comes_once_and_in_order_as_from_the_whole(
    plan, most_rows, chunk, read
):
    shape, levels = plan
    photo = picture(*shape)
    wholes = whole_levels(photo, levels)
    done = [0] * len(levels)
    source = Stored(photo, chunk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slidewin.pyramid._READ", read)
        bands = list(read_bands(source, levels, most_rows=most_rows))
    for band in bands:
        assert band.level is levels[band.index]
        start, stop = band.rows
        assert start == done[band.index]
        assert start < stop <= start + most_rows
        done[band.index] = stop
        rows = slice(band.level.tops[start], band.level.tops[stop - 1] + band.level.side)
        np.testing.assert_array_equal(band.image, wholes[band.index][rows])
    assert done == [level.lattice[0] for level in levels]
    # The photo was read once, from top to bottom.
    assert [start for start, _ in source.asked] == [0, *(stop for _, stop in source.asked[:-1])]
    assert source.asked[-1][1] == shape[0]


@pytest.mark.parametrize("read", [1, 100, 5000])
def test_rows_that_are_fed_in_pieces_make_the_same_levels(read, monkeypatch):
    photo, levels = picture(90, 31), planned(90, 31, 3, 20)
    wholes = whole_levels(photo, levels)
    monkeypatch.setattr("slidewin.pyramid._READ", read)
    for source in (photo, Stored(photo, 37), np.asfortranarray(photo)):
        for made, whole in zip(whole_levels(source, levels), wholes, strict=True):
            np.testing.assert_array_equal(made, whole)


def test_bands_come_as_soon_as_their_rows_are_read(chunk_by_chunk):
    photo = picture(400, 20)
    source, levels = Stored(photo, 10), planned(400, 20, 4, 4)
    assert levels[0].shape == (400, 20)
    for band in read_bands(source, levels, most_rows=5):
        below = levels[0].tops[band.rows[1] - 1] + 8
        assert source.asked[-1][1] == min(400, -(-below // 10) * 10)


@pytest.mark.parametrize("chunk", [None, 50, 500])
def test_no_more_rows_are_kept_than_a_band_and_what_is_read_at_a_time(chunk, monkeypatch):
    """Photos of 2000 and of 8000 rows, at five levels: what is held is the same."""
    monkeypatch.setattr("slidewin.pyramid._READ", 3 * 16 * 64)  # 64 rows
    kept = []
    add = _Pending.add

    def noted(pending, rows):
        add(pending, rows)
        kept.append(sum(len(part) for part in pending._parts))

    monkeypatch.setattr(_Pending, "add", noted)
    for height in (2000, 8000):
        source = Stored(picture(height, 16), chunk)
        for _ in read_bands(source, planned(height, 16, 4, 16), most_rows=20):
            pass
        assert max(stop - start for start, stop in source.asked) == (chunk or 64)
    # 20 rows of windows of 8 px every 2 px are 46 px; 16 rows of a level at most 1.5 times as many
    # of its parent; and pieces of 64 rows.
    assert max(kept) <= 46 + 64 + 24


# --- what a chain of levels keeps ---------------------------------------------------------------


@settings(max_examples=40)
@given(plan=plans, value=st.integers(0, 255))
def test_constant_photos_stay_constant(plan, value):
    shape, levels = plan
    for image in whole_levels(np.full((*shape, 3), value, np.uint8), levels):
        assert (image == value).all()


@pytest.mark.parametrize("shape", [(250, 40), (239, 40), (211, 33)])
def test_a_ramp_keeps_its_geometry_at_every_level_of_a_chain(shape):
    ramp = np.arange(shape[0], dtype=np.uint8)[:, None, None]
    photo = np.broadcast_to(ramp, (*shape, 3))
    levels = planned(*shape, 4, 32)
    assert len(levels) == 7
    for image, level in zip(whole_levels(photo, levels), levels, strict=True):
        rows, _ = level.to_photo(np.arange(image.shape[0]) + 0.5, 0.0)
        errors = image[:, 0, 0] - (rows - 0.5)
        # Three tenths of the level's pixels, and rounding: half a pixel would be another geometry.
        assert np.abs(errors).max() <= 0.3 * shape[0] / level.shape[0] + 0.5
        assert abs(errors.mean()) <= 0.1


def test_nothing_drifts_down_a_chain():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(8):
        shape = tuple(int(n) for n in rng.integers(150, 260, 2))
        centre = rng.uniform(65, 85, 2)
        rows, cols = np.indices(shape) + 0.5
        far = ((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2) / (2 * 12.0**2)
        photo = np.repeat(np.rint(220 * np.exp(-far)).astype(np.uint8)[..., None], 3, axis=2)
        levels = planned(*shape, 4.0, 32.0)
        for image, level in zip(whole_levels(photo, levels), levels, strict=True):
            mass = image[..., 0].astype(float)
            row = (mass.sum(axis=1) @ (np.arange(image.shape[0]) + 0.5)) / mass.sum()
            col = (mass.sum(axis=0) @ (np.arange(image.shape[1]) + 0.5)) / mass.sum()
            errors.append((level.lesion_size, *(np.array(level.to_photo(row, col)) - centre)))
    for size in {size for size, *_ in errors}:
        found = np.array([error for s, *error in errors if s == size])
        assert np.abs(found.mean(axis=0)).max() <= 0.1
        assert np.abs(found).max() <= 0.5


def test_levels_that_grow_are_all_made_from_the_photo():
    """Not from one another: what lies between pixels would be blurred once more."""
    photo, levels = picture(30, 25), planned(30, 25, 1.5, 6)
    assert [level.shape > photo.shape[:2] for level in levels] == [True, True, True, False, False]
    for image, level in zip(whole_levels(photo, levels)[:4], levels[:4], strict=True):
        np.testing.assert_array_equal(image, resample(photo, level))


# --- what photos may be -------------------------------------------------------------------------


@pytest.fixture(params=["windows", "shared"])
def sweep(request, network):
    """Over several levels, one of them larger than the photo."""
    return SlidingWindow(network, lesion_size=(25.0, 60.0), engine=request.param)


def test_every_kind_of_photo_gives_the_same_map(sweep, noise, tmp_path):
    np.save(tmp_path / "photo.npy", noise)
    mapped = np.load(tmp_path / "photo.npy", mmap_mode="r")
    flipped = np.ascontiguousarray(noise[::-1])[::-1]
    read_only = noise.copy()
    read_only.flags.writeable = False
    whole = sweep.probabilities(noise)
    kinds = [mapped, np.asfortranarray(noise), flipped, read_only, Stored(noise), Stored(noise, 32)]
    for photo in kinds:
        for found, wanted in zip(sweep.probabilities(photo), whole, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_a_stored_photo_is_mapped_as_an_array_is(noise, dark):
    sweep = SlidingWindow(dark, lesion_size=(9, 30))
    stored, plain = sweep.localize(Stored(noise, 40)), sweep.localize(noise)
    assert stored.settings == plain.settings
    np.testing.assert_array_equal(stored.to_pixels(), plain.to_pixels())


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((9, 8), np.uint8), r"photo is a Stored of shape \(9, 8\) and dtype uint8"),
        (np.zeros((9, 8, 4), np.uint8), r"Stored of shape \(9, 8, 4\)"),
        (np.zeros((3, 9, 8), np.uint8), r"Stored of shape \(3, 9, 8\)"),
        (np.zeros((0, 8, 3), np.uint8), r"Stored of shape \(0, 8, 3\)"),
        (np.zeros((9, 8, 3), np.float32), "dtype float32; wanted is .* uint8"),
        (np.zeros((9, 8, 3), np.uint16), "dtype uint16; wanted is .* uint8"),
    ],
)
def test_what_is_no_photo_is_refused_in_words_and_not_read(pixels, words, dark):
    source = Stored(pixels)
    with pytest.raises(ArgumentError, match=words):
        SlidingWindow(dark, lesion_size=4).localize(source)
    assert source.asked == []


def test_a_photo_that_cannot_be_read_to_its_end_is_reported(dark, chunk_by_chunk):
    class Torn(Stored):
        def __getitem__(self, rows):
            if rows.start >= 40:
                raise OSError("chunk 2 is missing")
            return super().__getitem__(rows)

    with pytest.raises(SweepError, match=r"photo not be read \(chunk 2 is missing\)"):
        SlidingWindow(dark, lesion_size=8).localize(Torn(picture(90, 60), 20))


def test_a_photo_is_read_while_it_is_swept_not_before(chunk_by_chunk):
    """The first windows are classified when only the first chunks were read."""
    source, read = Stored(picture(3000, SIDE), 100), []

    def watched(patches):
        read.append(source.asked[-1][1])
        return dark_middle(patches)

    classifier = slidewin.load_classifier(
        watched, classes=["background", "lesion"], input_size=SIDE
    )
    SlidingWindow(classifier, lesion_size=SIDE / 2).localize(source)
    assert read[0] <= 300
    assert read[-1] == 3000
