import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slidewin.errors import ArgumentError, ArgumentTypeError, SlidewinError
from slidewin.region import COLOUR, find_regions
from slidewin.report import Panel, draw_heatmap, draw_mask, draw_panels, draw_regions

SKIN = (210, 180, 160)  # no mixture of the label's ink and ground


def plain_photo(height, width):
    return np.full((height, width, 3), SKIN, dtype=np.uint8)


def square(shape, top, left, side):
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return find_regions(mask.astype(np.float32), mask)


def tags(picture):
    """Boxes of the labels on a plain photo: the changed pieces that are filled rectangles."""
    changed = (~has_colour(picture, SKIN)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(changed, connectivity=8)
    return [
        (top, left, top + height, left + width)
        for left, top, width, height, area in stats[1:].tolist()
        if area == width * height and width > 2 * height
    ]


def tag_size(picture):
    ((top, left, bottom, right),) = tags(picture)
    return bottom - top, right - left


def has_colour(picture, colour):
    return (picture == np.array(colour, dtype=np.uint8)).all(axis=2)


# -- regions on the photo


def test_without_regions_the_picture_is_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = draw_regions(photo, (), assessed=np.ones((90, 120), dtype=bool))
    np.testing.assert_array_equal(picture, photo)
    assert not np.shares_memory(picture, photo)


def test_the_photo_is_read_only_and_in_any_layout_gives_the_same_picture():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (200, 240, 3), dtype=np.uint8)
    assessed = rng.random((200, 240)) < 0.5
    regions = square((200, 240), 60, 70, 30)
    expected = draw_regions(photo, regions, assessed=assessed)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        given_photo, given_mask = layout(photo), layout(assessed)
        given_photo.flags.writeable = given_mask.flags.writeable = False
        picture = draw_regions(given_photo, regions, assessed=given_mask)
        np.testing.assert_array_equal(picture, expected)
        np.testing.assert_array_equal(given_photo, photo)


@pytest.mark.parametrize("shape", [(285, 428), (600, 500), (1500, 1200)])
def test_only_circle_outline_and_label_differ_from_the_photo(shape):
    side = shape[0] // 5
    regions = square(shape, shape[0] // 3, shape[1] // 3, side)
    photo = plain_photo(*shape)
    picture = draw_regions(photo, regions)
    assert picture.shape == photo.shape

    rows, cols = np.indices(shape) + 0.5
    distance = np.hypot(rows - regions[0].centre[0], cols - regions[0].centre[1])
    slack = max(12, min(shape) / 25)
    circle = (distance > regions[0].radius) & (distance < regions[0].radius + slack)
    top, left, bottom, right = regions[0].bbox
    outline = np.zeros(shape, dtype=bool)
    outline[top - 4 : bottom + 4, left - 4 : right + 4] = True
    outline[top + 4 : bottom - 4, left + 4 : right - 4] = False
    ((top, left, bottom, right),) = tags(picture)
    label = np.zeros(shape, dtype=bool)
    label[top:bottom, left:right] = True

    changed = (picture != photo).any(axis=2)
    assert not (changed & ~circle & ~outline & ~label).any()
    assert not (label & circle & has_colour(picture, COLOUR)).any()
    assert has_colour(picture, COLOUR)[circle].sum() > 2 * np.pi * regions[0].radius


def test_the_circle_is_drawn_about_the_centre_of_the_region_without_bias():
    picture = draw_regions(plain_photo(400, 400), square((400, 400), 150, 181, 41))
    bright = has_colour(picture, COLOUR)
    for label in tags(picture):
        bright[label[0] : label[2], label[1] : label[3]] = False
    rows, cols = np.nonzero(bright)
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(170.5, abs=0.5)
    assert (cols.min() + cols.max() + 1) / 2 == pytest.approx(201.5, abs=0.5)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([(285, 428), (428, 285), (120, 300)]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 60),
)
def test_a_label_is_whole_wherever_the_region_lies_and_clear_of_its_circle(
    shape, down, right, side
):
    top, left = round(down * (shape[0] - side)), round(right * (shape[1] - side))
    regions = square(shape, top, left, side)
    (tag,) = tags(draw_regions(plain_photo(*shape), regions))  # alone: the circle is elsewhere
    assert tag[0] >= 0
    assert tag[3] <= shape[1]


@pytest.mark.parametrize("corner", [(0, 0), (0, 388), (245, 0), (245, 388), (120, 200)])
def test_a_label_has_the_same_size_at_every_corner_of_the_photo(corner):
    middle = draw_regions(plain_photo(285, 428), square((285, 428), 130, 190, 40))
    picture = draw_regions(plain_photo(285, 428), square((285, 428), *corner, 40))
    assert tag_size(picture) == tag_size(middle)


def test_labels_of_crowded_regions_do_not_cover_each_other_and_stop_at_the_best_twenty():
    shape = (600, 600)
    pixels = np.zeros(shape, dtype=np.float32)
    for number in range(25):
        row, col = divmod(number, 5)
        pixels[40 + 120 * row : 46 + 120 * row, 40 + 120 * col : 46 + 120 * col] = 1 - number / 100
    regions = find_regions(pixels, pixels > 0)
    assert len(tags(draw_regions(plain_photo(*shape), regions))) == 20
    assert len(tags(draw_regions(plain_photo(*shape), regions[:3]))) == 3


def test_thousands_of_regions_are_drawn_without_delay():
    mask = np.zeros((300, 300), dtype=bool)
    mask[::4, ::4] = True
    regions = find_regions(mask.astype(np.float32), mask)
    assert len(regions) == 5625
    assert has_colour(draw_regions(plain_photo(300, 300), regions), COLOUR).any()


def test_a_photo_too_small_for_words_still_has_its_circle():
    picture = draw_regions(plain_photo(24, 24), square((24, 24), 8, 8, 6))
    assert tags(picture) == []
    assert has_colour(picture, COLOUR).any()


def test_a_region_larger_than_the_photo_has_its_label_within_it():
    (tag,) = tags(draw_regions(plain_photo(300, 300), square((300, 300), 0, 0, 300)))
    assert tag[0] >= 0


def test_lines_and_words_grow_with_the_photo():
    small, large = (
        draw_regions(plain_photo(s, s), square((s, s), s // 2, s // 2, s // 10))
        for s in (300, 2400)
    )
    assert tag_size(large)[0] > 4 * tag_size(small)[0]
    assert has_colour(large, COLOUR).mean() == pytest.approx(
        has_colour(small, COLOUR).mean(), rel=0.5
    )


def test_what_was_not_assessed_is_hatched_on_the_photo_and_the_rest_is_left_alone():
    photo = plain_photo(100, 140)
    assessed = np.ones((100, 140), dtype=bool)
    assessed[20:60, 30:90] = False
    picture = draw_regions(photo, (), assessed=assessed)
    np.testing.assert_array_equal(picture[assessed], photo[assessed])
    assert (picture[~assessed] != photo[~assessed]).all()
    assert len(np.unique(picture[~assessed])) > 1  # stripes, not a flat grey


@pytest.mark.parametrize(
    ("photo", "assessed"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 4), np.uint8), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.float32), None),
        (np.zeros((4, 4, 3), np.uint8), np.ones((4, 5), bool)),
        (np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8)),
    ],
)
def test_what_is_no_photo_or_does_not_fit_it_is_refused(photo, assessed):
    with pytest.raises(SlidewinError, match=r"photo|assessed") as caught:
        draw_regions(photo, (), assessed=assessed)
    assert isinstance(caught.value, ArgumentError | ArgumentTypeError)


# -- heat maps


def test_the_scale_of_a_heat_map_is_absolute():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[np.newaxis]
    colours = draw_heatmap(ramp)
    assert (np.diff(colours.astype(int).sum(axis=2)[0]) >= 0).mean() > 0.95  # dark to bright
    for value in (0.0, 0.2, 0.6, 1.0):  # a map by itself is not stretched to the scale
        alone = draw_heatmap(np.full((1, 1), value, np.float32))
        np.testing.assert_array_equal(alone[0, 0], colours[0, round(255 * value)])


def test_values_beyond_the_scale_get_the_colour_of_its_end():
    pixels = np.array([[-np.inf, -3e38, 2.0], [5.0, 3e38, np.inf]], dtype=np.float32)
    picture = draw_heatmap(pixels, low=2.0, high=5.0)
    ends = draw_heatmap(np.array([[0.0, 1.0]]))[0]
    np.testing.assert_array_equal(picture[0], np.stack([ends[0]] * 3))
    np.testing.assert_array_equal(picture[1], np.stack([ends[1]] * 3))


@settings(max_examples=30)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
        elements=st.one_of(st.just(np.float32(np.nan)), st.floats(-1, 2, width=32)),
    )
)
def test_no_value_looks_like_not_assessed(pixels):
    before = pixels.copy()
    pixels.flags.writeable = False
    picture = draw_heatmap(pixels).astype(int)
    np.testing.assert_array_equal(pixels, before)
    is_grey = (picture == picture[:, :, :1]).all(axis=2) & (picture[:, :, 0] > 8)
    np.testing.assert_array_equal(is_grey, np.isnan(pixels))


@pytest.mark.parametrize("shape", [(40, 60), (300, 428), (2000, 1600)])
def test_hatching_is_striped_at_every_size(shape):
    picture = draw_heatmap(np.full(shape, np.nan, dtype=np.float32))
    assert (picture.min(), picture.max()) == (112, 208)
    np.testing.assert_array_equal(picture[1:, :-1], picture[:-1, 1:])  # diagonal
    stripes = np.count_nonzero(np.diff((picture[0, :, 0] > 160).astype(int)) == 1)
    assert 5 <= stripes <= 60


@pytest.mark.parametrize(("low", "high"), [(1, 0), (0.5, 0.5), (np.nan, 1), (-np.inf, 1)])
def test_a_scale_without_extent_is_refused(low, high):
    with pytest.raises(ArgumentError, match="low < high"):
        draw_heatmap(np.zeros((2, 2), np.float32), low=low, high=high)


def test_a_heat_map_that_cannot_hold_nan_is_refused():
    with pytest.raises(ArgumentTypeError, match="pixels"):
        draw_heatmap(np.zeros((2, 2), np.uint8))


# -- masks


def test_a_mask_has_one_grey_for_each_of_flagged_not_flagged_and_not_assessed():
    mask = np.array([[True, False, True, False]])
    assessed = np.array([[True, True, False, False]])
    picture = draw_mask(mask, assessed)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[255, 0, 128, 128]]
    assert mask.tolist() == [[True, False, True, False]]


def test_a_mask_and_what_was_assessed_must_have_one_shape():
    with pytest.raises(ArgumentError, match=r"assessed.*\(2, 3\)"):
        draw_mask(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


# -- figures


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (height, width, 3), dtype=np.uint8)


def place_of(image, figure):
    """Top and left of the one place in the figure that is the image."""
    found = np.lib.stride_tricks.sliding_window_view(figure, image.shape)[:, :, 0]
    (place,) = np.argwhere((found[:, :, ::9, ::9] == image[::9, ::9]).all(axis=(2, 3, 4)))
    return place.tolist()


def test_pictures_stand_side_by_side_at_one_height():
    images = [noise(64, 64, 1), noise(64, 100, 2), noise(64, 80, 3)]
    figure = draw_panels([Panel(i, "A title", "A note") for i in images], height=64)
    places = [place_of(image, figure) for image in images]
    assert len({top for top, _ in places}) == 1
    assert places[0][1] + 64 < places[1][1] < places[1][1] + 100 < places[2][1]
    assert figure.shape[1] > places[2][1] + 80
    assert (figure[0] == 255).all()
    assert (figure[:, 0] == 255).all()
    assert (figure[-1] == 255).all()
    assert (figure[:, -1] == 255).all()


def test_pictures_of_any_size_are_scaled_to_the_height_asked_for():
    tall, wide = (
        draw_panels([Panel(np.zeros(s, np.uint8), "")], height=120)
        for s in ((300, 300, 3), (30, 60, 3))
    )
    for figure, width in ((tall, 120), (wide, 240)):
        rows, cols = np.nonzero(has_colour(figure, (0, 0, 0)))
        assert np.ptp(rows) + 1 == 120
        assert np.ptp(cols) + 1 == width


def test_a_colour_bar_runs_from_the_lowest_colour_to_the_highest_over_the_panels_width():
    image = noise(200, 200)
    plain = draw_panels([Panel(image, "Sweep")], height=200)
    barred = draw_panels([Panel(image, "Sweep", scale=(0.0, 1.0))], height=200)
    top, left = place_of(image, barred)
    assert place_of(image, plain) == [top, left]
    assert barred.shape[0] > plain.shape[0]
    ramp = draw_heatmap(np.linspace(0, 1, 200)[np.newaxis])[0]
    rows = [row for row in barred[top + 200 :, left : left + 200] if (row == ramp).all()]
    assert len(rows) >= 6


def test_the_numbers_of_a_colour_bar_are_those_of_its_scale():
    image = noise(200, 200)
    figures = [draw_panels([Panel(image, "", scale=s)], height=200) for s in ((0, 1), (0, 2))]
    changed = np.nonzero((figures[0] != figures[1]).any(axis=2))
    _, left = place_of(image, figures[0])
    assert changed[1].min() > left + 150  # the number at the right end, and nothing else


def test_words_take_room_of_their_own():
    panel = Panel(noise(100, 100), "One")
    bare = draw_panels([panel], height=100)
    assert draw_panels([panel], height=100, title="Title").shape[0] > bare.shape[0]
    assert draw_panels([panel], height=100, caption="Caption").shape[0] > bare.shape[0]
    long = Panel(panel.image, "A title of many words that cannot stand in one line")
    wrapped = draw_panels([long], height=100)
    assert wrapped.shape[0] > bare.shape[0]
    assert wrapped.shape[1] == bare.shape[1]
    assert (wrapped[:, -4:] == 255).all()


def test_a_narrow_picture_keeps_room_for_its_words():
    figure = draw_panels([Panel(noise(400, 20), "Narrow", scale=(0, 1))], height=200)
    assert figure.shape[1] > 120


@pytest.mark.parametrize(
    ("panels", "height"),
    [
        ([], 480),
        ([Panel(np.zeros((9, 9, 3), np.uint8), "")], 10),
        ([Panel(np.zeros((9, 9), np.uint8), "")], 480),
        ([Panel(np.zeros((9, 9, 3), np.float32), "")], 480),
        ([Panel(np.zeros((9, 9, 3), np.uint8), "", scale=(1, 0))], 480),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(panels, height):
    with pytest.raises(SlidewinError, match=r"panels|height"):
        draw_panels(panels, height=height)
