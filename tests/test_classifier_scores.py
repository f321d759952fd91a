"""From scores to probabilities, with and without calibration."""

import json
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from slidewin.classifier import load_classifier, save_file
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ArgumentError, ArgumentTypeError, ClassifierError

LABELS = ["background", "other_lesion", "melanoma"]
PATCHES = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)


def network(**options) -> ModuleClassifier:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 3, 4), nn.Flatten())
    return ModuleClassifier(module, **({"classes": LABELS, "input_size": 4} | options))


def softmax(logits):
    powers = np.exp(np.asarray(logits, float))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_calibration_is_affine_in_the_logits():
    calibrated = network(temperature=2, bias=[0.0, np.log(3), 0.0])
    assert calibrated.temperature == 2.0
    assert calibrated.bias == (0.0, np.log(3), 0.0)
    np.testing.assert_allclose(
        calibrated.to_probabilities([[0.0, 0.0, 0.0], [2.0, 4.0, 0.0]]),
        [[0.2, 0.6, 0.2], softmax([1.0, 2 + np.log(3), 0.0])],
    )


def test_without_calibration_it_is_the_softmax():
    plain = network()
    assert (plain.temperature, plain.bias) == (1.0, (0.0, 0.0, 0.0))
    assert plain.fingerprint() == network(temperature=1, bias=(0, 0, 0)).fingerprint()
    logits = plain.module(plain.to_input(PATCHES)).detach().numpy()
    np.testing.assert_allclose(plain.predict_proba(PATCHES), softmax(logits), atol=1e-7)


def test_one_logit_is_calibrated_as_that_of_the_second_class_against_0():
    one = network(classes=["no", "yes"], temperature=2, bias=[1.0, -1.0])
    expected = softmax([[1.0, 3.0 / 2 - 1], [1.0, -1.0]])
    for scores in ([[3.0], [0.0]], [3.0, 0.0], [[0.0, 3.0], [0.0, 0.0]]):
        np.testing.assert_allclose(one.to_probabilities(scores), expected)


@settings(max_examples=40, deadline=None)
@given(
    logits=hnp.arrays(np.float32, (4, 3), elements=st.floats(-1e4, 1e4, width=32)),
    temperature=st.floats(0.01, 100),
    bias=st.tuples(*[st.floats(-20, 20)] * 3),
)
def test_calibrated_rows_are_probabilities_and_a_temperature_alone_keeps_the_order(
    logits, temperature, bias
):
    logits[:, 0] -= 7.5  # so that rows do not look like probabilities already
    found = network(temperature=temperature, bias=bias).to_probabilities(logits)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    ranked = np.take_along_axis(
        network(temperature=temperature).to_probabilities(logits), logits.argsort(axis=1), axis=1
    )
    assert (np.diff(ranked) >= 0).all()


def test_calibration_is_kept_in_the_file_and_counts_in_the_fingerprint(tmp_path):
    path = tmp_path / "calibrated.safetensors"
    calibrated = network(temperature=1.7, bias=(0.1, -0.2, 0.1))
    save_file(calibrated, path)
    back = load_classifier(path)
    assert (back.temperature, back.bias) == (1.7, (0.1, -0.2, 0.1))
    np.testing.assert_array_equal(back.predict_proba(PATCHES), calibrated.predict_proba(PATCHES))
    others = [network(), network(temperature=1.7), network(bias=(0.1, -0.2, 0.1)), back]
    assert len({classifier.fingerprint() for classifier in others}) == len(others)


def test_a_file_from_before_calibration_was_kept_is_not_calibrated(tmp_path):
    path = tmp_path / "old.safetensors"
    save_file(network(), path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"]["slidewin"])
    del description["temperature"], description["bias"]
    header["__metadata__"]["slidewin"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    assert load_classifier(path).fingerprint() == network().fingerprint()


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"temperature": 0}, ArgumentError, "temperature=0: one number above 0"),
        ({"temperature": -1.0}, ArgumentError, "temperature=-1.0"),
        ({"temperature": float("nan")}, ArgumentError, "temperature=nan"),
        ({"temperature": float("inf")}, ArgumentError, "temperature=inf"),
        ({"temperature": [1.0, 2.0, 3.0]}, ArgumentError, r"temperature=\[1.0, 2.0, 3.0\]"),
        ({"temperature": "hot"}, ArgumentError, "temperature='hot'"),
        ({"bias": 0.5}, ArgumentError, "bias=0.5: one finite number for each of 3 classes"),
        ({"bias": [0.5, 0.5]}, ArgumentError, r"bias=\[0.5, 0.5\]"),
        ({"bias": [0.0, 0.0, np.nan]}, ArgumentError, "bias=.*nan"),
        ({"bias": "abc"}, ArgumentError, "bias='abc'"),
        ({"logits": False, "temperature": 2}, ArgumentError, "these calibrate logits"),
        ({"logits": False, "bias": [1, 0, 0]}, ArgumentError, "these calibrate logits"),
        ({"logits": "no"}, ArgumentTypeError, "logits='no': True if"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(options, error, complaint):
    with pytest.raises(error, match=complaint):
        network(**options)


def test_a_calibration_that_cannot_be_is_not_saved(tmp_path):
    classifier = network()
    classifier.temperature = -1.0
    with pytest.raises(ArgumentError, match="temperature"):
        save_file(classifier, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALF)
def test_a_network_of_half_precision_that_ends_in_softmax_is_taken_at_its_word(dtype):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 7, 4), nn.Flatten(), nn.Softmax(dim=1)
    labels = [str(i) for i in range(7)]
    patches = np.random.default_rng(0).integers(0, 256, (200, 4, 4, 3), np.uint8)
    single = network(classes=labels, logits=False)
    single.module = nn.Sequential(*layers)
    expected = single.predict_proba(patches)
    single.module.to(dtype)
    found = single.predict_proba(patches)
    np.testing.assert_allclose(found, expected, atol=0.02)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("eps", [float(torch.finfo(dtype).eps) for dtype in HALF])
def test_in_half_precision_few_rows_do_not_tell_probabilities_from_logits(eps):
    row = np.float32([0.5, 0.25, 0.25])
    for n in (1, 7):
        found = network().to_probabilities([row] * n, eps=eps)
        np.testing.assert_allclose(found, [softmax(row)] * n)
    with pytest.raises(ClassifierError, match="probabilities already"):
        network().to_probabilities([row] * 8, eps=eps)
    with pytest.raises(ClassifierError, match="probabilities already"):
        network().to_probabilities([row], eps=1e-7)


def test_a_level_in_one_pass_is_judged_as_its_windows_are():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 3, 4)
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.copy_(torch.tensor([0.3, 0.3, 0.4]))
    classifier = network()
    classifier.module = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()).bfloat16()
    shared = classifier.share(1)
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ClassifierError, match="probabilities already"):
        shared.predict(image, [0, 1, 2], [0, 1, 2])


def test_what_is_known_must_be_a_mapping():
    with pytest.raises(ArgumentTypeError, match="about=5: a mapping is needed"):
        network(about=5)


def test_scores_of_another_shape_are_left_for_the_check_to_refuse():
    scores = np.zeros((2, 5, 1))
    np.testing.assert_array_equal(network().to_probabilities(scores), scores)
