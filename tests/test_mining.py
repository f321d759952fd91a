import numpy as np
import pytest
from toys import SIDE, dark_middle

from slidewin.classifier import load_classifier
from slidewin.training.mining import _thumbnail, mine
from slidewin.training.source import Background


@pytest.fixture
def photo():
    """White, with three dark squares that differ, and one that repeats the first."""
    image = np.full((240, 320, 3), 255, np.uint8)
    image[40:60, 40:60] = 0
    image[40:60, 140:160] = 0
    image[150:180, 50:60] = 0
    image[150:160, 200:240] = (80, 0, 0)
    return image


@pytest.fixture
def classifier():
    return load_classifier(dark_middle, classes=["background", "lesion"], input_size=SIDE)


def holds(place, row, col):
    return all(abs(x - y) <= place.side / 2 for x, y in zip(place.centre, (row, col), strict=True))


def test_what_looks_like_a_lesion_is_harvested_highest_first(photo, classifier):
    mined = mine(classifier, [Background(photo)])
    assert holds(mined[0], 50, 50) or holds(mined[0], 50, 150)
    assert any(holds(place, 155, 220) for place in mined)
    assert mine(classifier, [Background(np.full_like(photo, 255))]) == []


def test_windows_overlap_little_and_no_two_look_alike(photo, classifier):
    mined = mine(classifier, [Background(photo)], stride=0.5)
    for i, one in enumerate(mined):
        for other in mined[:i]:
            half = (one.side + other.side) / 2
            away = np.abs(np.subtract(one.centre, other.centre))
            common = np.prod(np.clip(half - away, 0, min(one.side, other.side)))
            assert common / (one.side**2 + other.side**2 - common) <= 0.31
        thumbnails = [_thumbnail(photo, *place.centre, place.side) for place in (one, *mined[:i])]
        assert all(thumbnails[0] @ thumbnail <= 0.98 for thumbnail in thumbnails[1:])


def test_places_to_keep_clear_of_are_not_harvested(photo, classifier):
    keep_clear = np.zeros(photo.shape[:2], bool)
    keep_clear[30:70] = True
    mined = mine(classifier, [Background(photo, keep_clear)])
    assert mined
    for place in mined:
        top = place.centre[0] - place.side / 2
        assert top >= 69


def test_no_window_is_taken_that_the_border_cuts():
    # Windows about the largest lesions sought are wider than the photo.
    about = {"classes": ["background", "lesion"], "input_size": SIDE, "context": 3}
    classifier = load_classifier(dark_middle, **about)
    small = np.full((60, 80, 3), 255, np.uint8)
    small[:20, :20] = 0
    small[30:42, 40:52] = 0
    mined = mine(classifier, [Background(small)])
    assert mined
    for place in mined:
        low, high = np.subtract(place.centre, place.side / 2), np.add(place.centre, place.side / 2)
        assert (low >= -0.01).all()
        assert (high <= np.array([60, 80]) + 0.01).all()


def test_no_more_are_taken_than_asked_for(photo, classifier):
    assert len(mine(classifier, [Background(photo)], per_photo=1)) == 1
