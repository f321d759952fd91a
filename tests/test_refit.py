from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from toys import SIDE, dark_middle

from slidewin.classifier import load_classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.network import window_network
from slidewin.training.refit import _balanced, _cut, refit_head
from slidewin.training.source import STORED_DIAMETER, Background, Lesion
from slidewin.training.windows import WindowSource

COLOURS = (150, 80, 60), (90, 90, 130), (70, 120, 70)
PICTURE = 3 * STORED_DIAMETER


def lesion(label, i, *, look=None):
    """A noisy disc of its class's colour; some hang over the border of their pictures."""
    rng = np.random.default_rng((label, i))
    image = rng.normal((210, 170, 150), 12, (PICTURE, PICTURE, 3))
    mask = np.zeros((PICTURE, PICTURE), np.uint8)
    row, col = (STORED_DIAMETER // 2, PICTURE // 2) if i % 3 == 0 else (PICTURE // 2,) * 2
    cv2.circle(mask, (col, row), STORED_DIAMETER // 2, 1, -1)
    colour = rng.normal(COLOURS[(look or label) - 1], 15)
    image[mask > 0] = rng.normal(colour, 12, (np.count_nonzero(mask), 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    return Lesion(image, mask.astype(bool), label, Background.all_skin(image, mask * 255))


def source_of(lesions):
    ground = Background(np.random.default_rng(0).integers(60, 200, (200, 200, 3), dtype=np.uint8))
    n_classes = 1 + max(x.label for x in lesions)
    return WindowSource(lesions, [ground], [ground], n_classes, 64, 2.0, distortions=())


def sources_of(n_kinds, *, looks=None):
    looks = looks or {}
    of_kinds = range(1, 1 + n_kinds)
    return {
        "train": source_of([lesion(c, i) for c in of_kinds for i in range(12)]),
        "val": source_of(
            [lesion(c, 50 + i, look=looks.get(c)) for c in of_kinds for i in range(9)]
        ),
    }


@pytest.fixture(scope="module")
def sources():
    return sources_of(2)


def untrained(n_kinds=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = window_network(1 + n_kinds, width=4).eval()
    names = ["background", "other_lesion", "melanoma", "wart"][: 1 + n_kinds]
    return ModuleClassifier(network, classes=names, input_size=64, context=2.0, mean=0.5, std=0.25)


def turned(sources):
    """A network whose head takes each class of lesions for the other."""
    classifier = untrained()
    assert refit_head(classifier, sources, n_windows=200)["done"]
    head = classifier.module[-3]
    with torch.no_grad():
        head.weight[1:] = head.weight[1:].flip(0)
        head.bias[1:] = head.bias[1:].flip(0)
    return classifier


def logits_of(classifier):
    patches = np.random.default_rng(5).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        return classifier.module(classifier.to_input(patches)).numpy()


def test_a_head_that_points_the_wrong_way_is_turned_round(sources):
    record = refit_head(turned(sources), sources, n_windows=200)
    assert record["done"]
    assert set(record["before"]) == {"melanoma"}
    for figure in ("auc_close_ups", "auc_close_ups_padding_balanced", "auc_windows"):
        assert record["before"]["melanoma"][figure] < 0.2
        assert record["after"]["melanoma"][figure] > 0.8


@pytest.mark.parametrize("n_kinds", [2, 3])
def test_only_differences_between_lesions_change(n_kinds):
    classifier = untrained(n_kinds)
    before = logits_of(classifier)
    record = refit_head(classifier, sources_of(n_kinds), n_windows=200)
    after = logits_of(classifier)
    assert record["done"]
    assert len(record["after"]) == (1 if n_kinds == 2 else 3)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    np.testing.assert_allclose(after[:, 1:].mean(1), before[:, 1:].mean(1), atol=1e-5)
    assert np.abs(after[:, 1:] - before[:, 1:]).max() > 0.01


def test_what_the_record_says_is_what_the_network_does(sources):
    """A close-up's logits, worked out by the network, against those of the record's fit."""
    classifier = untrained()
    after = refit_head(classifier, sources, n_windows=200)["after"]
    again = refit_head(classifier, sources, n_windows=200)["before"]
    for name, figure in after["melanoma"].items():
        assert again["melanoma"][name] == pytest.approx(figure, abs=1e-3)


def test_the_same_seed_gives_the_same_head_and_leaves_random_state_and_mode(sources):
    classifiers = [untrained(), untrained()]
    classifiers[0].module.train()
    state = torch.random.get_rng_state()
    for classifier in classifiers:
        refit_head(classifier, sources, n_windows=200, random_state=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(layer.training for layer in classifiers[0].module.modules())
    heads = [classifier.module[-3].weight for classifier in classifiers]
    assert torch.equal(*heads)
    assert all(weight.requires_grad for weight in heads)


def test_what_tells_validation_lesions_no_better_is_not_kept(sources):
    classifier = untrained()
    misleading = sources_of(2, looks={1: 2, 2: 1})
    # A head that the validation lesions agree with, and the others do not.
    refit_head(classifier, {"train": misleading["val"], "val": misleading["val"]}, n_windows=200)
    weights = classifier.fingerprint()
    record = refit_head(classifier, {**sources, "val": misleading["val"]}, n_windows=200)
    assert not record["done"]
    assert "no better" in record["why"]
    assert (
        record["after"]["melanoma"]["auc_close_ups"] < record["before"]["melanoma"]["auc_close_ups"]
    )
    assert classifier.fingerprint() == weights


def test_a_network_without_such_a_head_is_left_alone(sources):
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    linear = torch.nn.Sequential(*layers, torch.nn.Linear(4, 3))
    padded = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Conv2d(3, 3, 3, padding=1), *layers[1:])
    for module in (linear, padded):
        classifier = ModuleClassifier(
            module, classes=["background", "other_lesion", "melanoma"], input_size=64, context=2.0
        )
        weights = classifier.fingerprint()
        record = refit_head(classifier, sources, n_windows=10)
        assert record == {
            "done": False,
            "why": "the network does not end in a convolution as large as its last features",
        }
        assert classifier.fingerprint() == weights


def test_what_is_no_network_or_knows_one_kind_of_lesion_is_left_alone(sources):
    function = load_classifier(dark_middle, classes=["background", "lesion"], input_size=SIDE)
    assert refit_head(function, sources, n_windows=10)["why"] == "the classifier is no network"
    record = refit_head(untrained(1), sources_of(1), n_windows=10)
    assert (record["done"], "two classes" in record["why"]) == (False, True)


def test_classes_that_share_no_stratum_of_padding_are_not_told_by_it():
    every = sources_of(2)
    inside = [x for i, x in enumerate(every["train"].lesions) if x.label == 1 and i % 3]
    over_the_border = [lesion(2, 3 * i) for i in range(6)]
    train = source_of([*inside, *over_the_border])
    record = refit_head(untrained(), {**every, "train": train}, n_windows=10)
    assert record == {
        "done": False,
        "why": "in no stratum of padding are there lesions of every class",
    }


def test_classes_weigh_the_same_in_every_stratum():
    """Three and one without padding; two and two with the same; all others of one class."""
    labels = np.array([0, 0, 0, 1, 0, 0, 1, 1, *[1] * 16])
    padding = np.array([0.0] * 4 + [0.1] * 4 + [0.3] * 16)
    weights = _balanced(labels, padding)
    np.testing.assert_allclose(weights[:4], [2 / 3, 2 / 3, 2 / 3, 2])
    np.testing.assert_allclose(weights[4:8], 1)
    np.testing.assert_array_equal(weights[8:], 0)


def test_a_close_up_is_about_the_lesion_and_mirrored_at_the_border():
    """A lesion about row 32 and column 96; pictures whose pixels say in which row or column."""
    rows, cols = np.indices((PICTURE, PICTURE), np.uint8)
    of_rows, of_cols = (
        _cut(replace(lesion(1, 0), image=x[..., None].repeat(3, axis=2)), 128.0, 64)
        for x in (rows, cols)
    )
    assert of_rows.shape == (64, 64, 3)
    # From row -32 and column 32 on, two pixels of the picture for one of the window.
    np.testing.assert_allclose(of_rows[16:, 7, 0], 2 * np.arange(48) + 0.5, atol=0.6)
    np.testing.assert_allclose(of_rows[:16, 7, 0][::-1], 2 * np.arange(16) + 1.5, atol=0.6)
    np.testing.assert_allclose(of_cols[9, :, 0], 32 + 2 * np.arange(64) + 0.5, atol=0.6)
