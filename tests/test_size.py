import numpy as np
import pytest

from slidewin.errors import ArgumentError, ArgumentTypeError, SlidewinError
from slidewin.grid import check_size, size_in_pixels


@pytest.mark.parametrize(
    ("given", "size", "pixels"),
    [
        (None, None, None),
        (np.int64(20), 20.0, 20.0),
        (np.float32(2.5), 2.5, 2.5),
        ("24", 24.0, 24.0),
        (["4%"], "4%", 8.0),
        (["4%", "40%"], ("4%", "40%"), (8.0, 80.0)),
        (("4%", 60), ("4%", 60.0), (8.0, 60.0)),
        (np.array([3, 4]), (3.0, 4.0), (3.0, 4.0)),
    ],
)
def test_a_size_has_one_form_whatever_it_is_given_as(given, size, pixels):
    assert check_size(given) == size
    assert size_in_pixels(given, 200) == pixels
    assert type(check_size(given)) is type(size)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ("big", ArgumentError, "give pixels, or per cent"),
        ("4%%", ArgumentError, "give pixels, or per cent"),
        ((1, 2, 3), ArgumentError, "one size is needed"),
        ([], ArgumentError, "one size is needed"),
        (-1, ArgumentError, "above 0"),
        ("0%", ArgumentError, "above 0"),
        (np.nan, ArgumentError, "above 0"),
        (True, ArgumentTypeError, "give pixels, or per cent"),
        ([4, None], ArgumentTypeError, "give pixels, or per cent"),
        (object(), ArgumentTypeError, "give pixels, or per cent"),
    ],
)
def test_what_is_no_size_is_refused(wrong, error, words):
    assert issubclass(error, SlidewinError)
    with pytest.raises(error, match=words):
        size_in_pixels(wrong, 200)
