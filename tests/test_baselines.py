import numpy as np
import pytest

from slidewin.comparison import baselines
from slidewin.comparison.baselines import (
    CentreGaussian,
    Darkness,
    Edges,
    LocalDarkness,
    RandomMap,
    Uniform,
)
from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.metrics import count_pixels, find_candidates
from slidewin.scene import draw_scene

SKIN = (205, 160, 140)
ALL = [getattr(baselines, name) for name in baselines.__all__]


def skin(shape, *spots, colour=(90, 55, 45)):
    """Skin with dark discs: (row, col, radius)."""
    photo = np.full((*shape, 3), SKIN, np.uint8)
    rows, cols = np.indices(shape) + 0.5
    inside = np.zeros(shape, bool)
    for row, col, radius in spots:
        inside |= np.hypot(rows - row, cols - col) <= radius
    photo[inside] = colour
    return photo, inside


@pytest.mark.parametrize("baseline", ALL)
@pytest.mark.parametrize("shape", [(7, 5), (150, 210), (30, 1300)])
def test_every_pixel_is_assessed_on_a_raw_scale_and_nothing_is_written(baseline, shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    photo.flags.writeable = False
    heat = baseline().localize(photo)
    pixels = heat.to_pixels()
    assert heat.unit == "raw"
    assert heat.method == f"baseline: {baseline.method}"
    assert pixels.shape == shape
    assert not np.isnan(pixels).any()
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    np.testing.assert_array_equal(baseline().localize(photo.copy()).to_pixels(), pixels)


@pytest.mark.parametrize("baseline", ALL)
def test_what_is_no_photo_is_refused(baseline):
    with pytest.raises(ArgumentTypeError):
        baseline().localize([[1, 2]])


def test_uniform_ranks_nothing():
    photo, lesion = skin((60, 80), (20, 30, 8))
    counts = count_pixels(Uniform().localize(photo).to_pixels(), lesion, exact=True)
    assert counts.average_precision == pytest.approx(lesion.mean())


def test_the_centre_is_one_place_and_falls_off_alike_on_all_sides():
    pixels = CentreGaussian().localize(np.zeros((41, 81, 3), np.uint8)).to_pixels()
    assert np.argwhere(pixels == pixels.max()).tolist() == [[20, 40]]
    np.testing.assert_allclose(pixels, pixels[::-1, ::-1], atol=1e-6)
    # At the middle of a side it is one standard deviation away.
    assert pixels[0, 40] / pixels[20, 40] == pytest.approx(np.exp(-0.5), abs=0.02)


def test_noise_differs_from_photo_to_photo_and_seed_to_seed():
    photo, _ = skin((64, 64))
    one = RandomMap().localize(photo).to_pixels()
    assert not (RandomMap(random_state=1).localize(photo).to_pixels() == one).all()
    photo[0, 0] = 0
    assert not (RandomMap().localize(photo).to_pixels() == one).all()
    with pytest.raises(ArgumentError, match="random_state=-1"):
        RandomMap(random_state=-1)


def test_noise_is_unbiased_over_photos():
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)
    mean = np.mean([RandomMap().localize(photo).to_pixels() for photo in photos], axis=0)
    assert abs(mean - 0.5).max() < 0.1


def test_edges_light_up_where_a_lesion_ends_and_not_in_it():
    photo, _ = skin((80, 80), (40, 40, 16))
    pixels = Edges().localize(photo).to_pixels()
    assert pixels[40, 23:26].max() > 0.2
    assert pixels[40, 40] == pixels[5, 5] == 0


def test_darkness_is_of_skin_alone():
    photo, lesion = skin((120, 160), (60, 50, 9))
    photo[:, 110:] = (20, 30, 90)  # dark cloth
    pixels = Darkness(lesion_size=(10, 30)).localize(photo).to_pixels()
    assert pixels[lesion].min() > pixels[:, :100][~lesion[:, :100]].max()
    assert (pixels[:, 125:] == 0).all()


def test_a_photo_without_skin_is_assessed_and_dark_nowhere():
    photo = np.full((50, 60, 3), (20, 30, 90), np.uint8)
    for baseline in (Darkness, LocalDarkness):
        assert (baseline().localize(photo).to_pixels() == 0).all()


def test_local_darkness_points_at_the_lesion_where_a_shadow_is_darker():
    photo, lesion = skin((160, 200), (60, 60, 8), colour=(130, 90, 75))
    shade = np.linspace(1, 0.45, 200)[None, :, None]
    photo = (photo * shade).astype(np.uint8)
    dark, local = (
        one(lesion_size=(12, 24)).localize(photo).to_pixels() for one in (Darkness, LocalDarkness)
    )
    assert not lesion[np.unravel_index(dark.argmax(), dark.shape)]
    best = find_candidates(local, radius=8)[0]
    assert lesion[int(best.row), int(best.col)]


@pytest.mark.parametrize("radius", [3, 6, 12, 24])
def test_local_darkness_finds_lesions_of_all_sizes_that_are_sought(radius):
    photo, lesion = skin((160, 200), (70, 90, radius))
    pixels = LocalDarkness(lesion_size=(6, 50)).localize(photo).to_pixels()
    assert lesion[np.unravel_index(pixels.argmax(), pixels.shape)]


def test_darkness_beats_chance_on_a_drawn_scene():
    scene = draw_scene((240, 320), random_state=1)
    for baseline in (Darkness, LocalDarkness):
        pixels = baseline(lesion_size=scene.lesion_size).localize(scene.photo).to_pixels()
        counts = count_pixels(pixels, scene.mask, exact=True)
        assert counts.average_precision > 5 * counts.prevalence


@pytest.mark.parametrize("size", ["4%", (1, 2, 3), 0, (5, 3), (2, np.inf)])
@pytest.mark.parametrize("baseline", [Darkness, LocalDarkness])
def test_a_size_that_is_none_is_refused(baseline, size):
    with pytest.raises(ArgumentError, match="lesion_size="):
        baseline(lesion_size=size).localize(np.zeros((8, 8, 3), np.uint8))
