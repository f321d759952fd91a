"""Small classifiers and photos that several test files share."""

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from toys import SIDE, dark_middle

import slidewin
from slidewin.classifier import Classifier

# No test asserts a time: machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def dark() -> Classifier:
    return slidewin.load_classifier(dark_middle, classes=["background", "lesion"], input_size=SIDE)


@pytest.fixture
def network() -> Classifier:
    """The default network, untrained, with its batch statistics set to something."""
    import torch

    from slidewin.network import window_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = window_network(3, width=8)
        module(torch.randn(32, 3, 64, 64))
    return slidewin.load_classifier(
        module.eval(),
        classes=["background", "other_lesion", "melanoma"],
        input_size=64,
        mean=0.5,
        std=0.25,
    )


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (150, 210, 3), dtype=np.uint8)
