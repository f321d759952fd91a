import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from torch import nn
from toys import SIDE, dark_middle

import slidewin
from slidewin.classifier import Classifier, load_classifier
from slidewin.errors import ArgumentError, ArgumentTypeError, ClassifierError, ModelFileError

LABELS = ["background", "other_lesion", "melanoma"]
PATCHES = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
HONEST = [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def answering(returned, classes=LABELS, **description):
    """A classifier that answers this to whatever it is asked."""
    return load_classifier(lambda patches: returned, classes=classes, input_size=4, **description)


# What a classifier returns.


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        (None, r"shape \(\) for 3 patches; \(3, 3\) is needed"),
        ([0.5, 0.25, 0.25], r"shape \(3,\) for 3 patches"),
        (np.full((3, 2), 0.5), r"shape \(3, 2\) .* each of the classes \['background', 'other"),
        (np.full((2, 3), 1 / 3), r"shape \(2, 3\) for 3 patches"),
        (np.full((3, 3, 1), 1 / 3), r"shape \(3, 3, 1\)"),
        ([[0.5, 0.5, 0.0], [1.0, 0.0]], r"list, which is no array"),
        (torch.tensor(HONEST, requires_grad=True), r"Tensor, which is no array .*detach"),
        ([[2.0, -1.0, 0.0]] * 3, r"from -1 to 2; .*logits, apply softmax"),
        (np.multiply(HONEST, 100), r"from 0 to 100"),
        ([[1e300, 0.0, 0.0]] * 3, r"from 0 to 1e\+300"),
        ([[np.inf, 0.0, 0.0]] * 3, r"from 0 to inf"),
        ([HONEST[0], [np.nan, 0.5, 0.5], HONEST[2]], r"NaN for 1 of 3 patches"),
        (np.multiply(HONEST, 0.9), r"rows sum to 0.9 \.\.\. 0.9; .*must sum to 1"),
        (np.zeros((3, 3)), r"rows sum to 0 "),
        (np.full((3, 3), 255, np.uint8), r"from 255 to 255"),
        (np.eye(3, dtype=bool), r"returned bool; probabilities"),
        ([["a", "b", "c"]] * 3, r"returned <U1"),
        (np.array(HONEST, object), r"returned object"),
        (np.array(HONEST, complex), r"returned complex128"),
    ],
)
def test_anything_but_probabilities_is_refused_in_words(returned, complaint):
    with pytest.raises(ClassifierError, match=complaint):
        answering(returned).predict_proba(PATCHES)


@pytest.mark.parametrize(
    "returned",
    [
        HONEST,
        np.array(HONEST),
        np.array(HONEST, np.float16),
        np.asfortranarray(HONEST),
        torch.tensor(HONEST),
        np.eye(3, dtype=np.int64),
        np.eye(3, dtype=np.uint8),
    ],
)
def test_probabilities_of_any_type_come_out_as_float32(returned):
    probabilities = answering(returned).predict_proba(PATCHES)
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(probabilities, np.asarray(returned, np.float32))


def test_what_rounding_did_to_probabilities_is_forgiven():
    probabilities = answering([[1.0005, 0.0, -0.0003]] * 3).predict_proba(PATCHES)
    np.testing.assert_array_equal(probabilities, [[1, 0, 0]] * 3)


@given(
    parts=hnp.arrays(np.float64, (3, 2), elements=st.floats(0, 0.5)),
    error=hnp.arrays(np.float64, (3, 3), elements=st.floats(-1e-3, 1e-3) | st.floats()),
)
def test_what_is_let_through_is_probabilities(parts, error):
    returned = np.column_stack([1 - parts.sum(axis=1), parts]) + error
    try:
        probabilities = answering(returned).predict_proba(PATCHES)
    except ClassifierError:
        return
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=2e-3)


def test_what_a_classifier_raises_is_passed_on():
    def broken(patches):
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        load_classifier(broken, classes=LABELS, input_size=4).predict_proba(PATCHES)


# Patches.


@pytest.mark.parametrize(
    ("patches", "found"),
    [
        (PATCHES[0], r"shape \(4, 4, 3\) of uint8"),
        (PATCHES.transpose(0, 3, 1, 2), r"shape \(3, 3, 4, 4\)"),
        (PATCHES[..., :1], r"shape \(3, 4, 4, 1\)"),
        (PATCHES[None], r"shape \(1, 3, 4, 4, 3\)"),
        (PATCHES[:, :3], r"shape \(3, 3, 4, 3\)"),
        (PATCHES / 255, r"of float64"),
        (PATCHES.astype(object), r"of object"),
        (PATCHES.tolist(), r"of int64"),
        ([PATCHES[0], PATCHES[0, :2]], r"no one array"),
        (PATCHES[:0, :3], r"shape \(0, 3, 4, 3\)"),
        (7, r"shape \(\)"),
        (None, r"of object"),
    ],
)
def test_other_patches_are_refused_with_what_was_found_and_what_is_taken(patches, found):
    with pytest.raises(ArgumentError, match=rf"{found}.*takes \(n, 4, 4, 3\) of uint8, RGB"):
        answering(HONEST).predict_proba(patches)


def test_no_patches_give_no_rows_and_ask_nobody():
    def never(patches):
        raise AssertionError

    none = load_classifier(never, classes=LABELS, input_size=4).predict_proba(PATCHES[:0])
    assert none.shape == (0, 3)
    assert none.dtype == np.float32


def layouts(patches: np.ndarray, folder: Path):
    frozen = patches.copy()
    frozen.flags.writeable = False
    np.save(folder / "patches.npy", patches)
    yield frozen
    yield np.asfortranarray(patches)
    yield patches[:, ::-1][:, ::-1]
    yield np.flip(np.flip(patches, 2).copy(), 2)  # negative strides
    yield np.load(folder / "patches.npy", mmap_mode="r")
    yield list(patches)


def test_how_patches_lie_in_memory_changes_nothing(network, tmp_path):
    patches = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    before = patches.copy()
    expected = network.predict_proba(patches)
    for same in layouts(patches, tmp_path):
        np.testing.assert_array_equal(network.predict_proba(same), expected)
    np.testing.assert_array_equal(patches, before)


# What a classifier says of itself.


def test_the_target_is_chosen_by_label():
    classifier = answering(HONEST)
    assert classifier.target == "melanoma"  # the last class
    assert classifier.target_columns() == [2]
    assert classifier.target_columns("background") == [0]
    assert answering(HONEST, target="other_lesion").target_columns() == [1]


def test_lesion_is_every_class_but_the_background():
    classifier = answering(HONEST, classes=["nevus", "background", "melanoma"], target="lesion")
    assert classifier.target_columns() == [0, 2]
    found = classifier.target_probability(classifier.predict_proba(PATCHES))
    np.testing.assert_array_equal(found, np.float32([0.75, 1, 1]))


def test_a_class_called_lesion_is_meant_by_its_name():
    classifier = answering(HONEST, classes=["background", "lesion", "ulcer"])
    assert classifier.target_columns("lesion") == [1]


def test_the_probability_of_a_target_is_at_most_1():
    parts = np.float32([[0.0, 0.3334, 0.6667]])
    assert answering(HONEST).target_probability(parts, "lesion") == 1


@pytest.mark.parametrize("target", ["nevus", "Melanoma", "", 2, ["melanoma"]])
def test_an_unknown_target_is_refused_with_the_choices(target):
    choices = r"choose one of background, other_lesion, melanoma, lesion"
    with pytest.raises(ArgumentError, match=choices):
        answering(HONEST, target=target)
    for ask in (answering(HONEST).target_columns, answering(HONEST).threshold):
        with pytest.raises(ArgumentError, match=choices):
            ask(target)


def test_without_a_background_nothing_is_a_lesion_by_default():
    with pytest.raises(ArgumentError, match=r"choose one of nevus, melanoma$"):
        answering(HONEST, classes=["nevus", "melanoma"], target="lesion")


def test_each_target_has_a_threshold():
    classifier = answering(HONEST, thresholds={"melanoma": 0.75, "lesion": np.float32(0.25)})
    assert classifier.threshold() == 0.75
    assert classifier.threshold("lesion") == 0.25
    assert classifier.threshold("other_lesion") == 0.5
    assert answering(HONEST, target="lesion", thresholds={"lesion": 1}).threshold() == 1


@pytest.mark.parametrize(
    ("description", "error", "complaint"),
    [
        ({"classes": "abc"}, ArgumentTypeError, "classes='abc': give a sequence of labels"),
        ({"classes": 3}, ArgumentTypeError, "classes=3"),
        ({"classes": []}, ArgumentError, "two different labels"),
        ({"classes": ["melanoma"]}, ArgumentError, "two different labels"),
        ({"classes": ["a", "b", "a"]}, ArgumentError, "two different labels"),
        ({"classes": [1, "1"]}, ArgumentError, "two different labels"),
        ({"input_size": "64"}, ArgumentTypeError, "input_size='64'.*whole number such as 64"),
        ({"input_size": 64.0}, ArgumentTypeError, "input_size=64.0"),
        ({"input_size": True}, ArgumentTypeError, "input_size=True"),
        ({"input_size": (64, 64)}, ArgumentTypeError, "input_size"),
        ({"input_size": 1}, ArgumentError, "at least 2 pixels"),
        ({"context": 0.9}, ArgumentError, "context=0.9.*at least 1"),
        ({"context": float("nan")}, ArgumentError, "context=nan"),
        ({"context": float("inf")}, ArgumentError, "context=inf"),
        ({"context": "2"}, ArgumentTypeError, "context='2': a number"),
        ({"thresholds": 0.5}, ArgumentTypeError, "thresholds=0.5: give one for each target"),
        ({"thresholds": {"melanoma": "high"}}, ArgumentTypeError, r"thresholds\['melanoma'\]"),
        ({"thresholds": {"melanoma": 0}}, ArgumentError, r"thresholds\['melanoma'\]=0"),
        ({"thresholds": {"melanoma": 1.1}}, ArgumentError, r"probability in \(0, 1\]"),
        ({"thresholds": {"nevus": 0.5}}, ArgumentError, "nevus.*choose one of"),
    ],
)
def test_a_description_that_cannot_be_is_refused(description, error, complaint):
    given = {"classes": LABELS, "input_size": 4} | description
    with pytest.raises(error, match=complaint):
        load_classifier(dark_middle, **given)


def test_what_a_function_depends_on_cannot_be_told():
    assert answering(HONEST).fingerprint() is None


# Torch modules.


class Means(nn.Module):
    """Mean of each channel of the input: three numbers that can be worked out by hand."""

    def forward(self, x):
        return x.mean(dim=(2, 3))


class Answers(nn.Module):
    """A module that returns this for each patch, whatever it sees."""

    def __init__(self, returned, dtype=None):
        super().__init__()
        self.register_buffer("returned", torch.tensor(returned, dtype=dtype))

    def forward(self, x):
        return self.returned.expand(len(x), *self.returned.shape)


def of_module(module, classes=LABELS, **options):
    return load_classifier(module, classes=classes, input_size=4, **options)


def test_pixels_are_normalised_as_the_description_says():
    patch = np.empty((1, 4, 4, 3), np.uint8)
    patch[...] = 51, 102, 204  # 0.2, 0.4, 0.8 of full scale
    module = of_module(Means(), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.5))
    exponentials = np.exp([0.2, 0.8, 1.0])
    expected = exponentials / exponentials.sum()
    np.testing.assert_allclose(module.predict_proba(patch)[0], expected, atol=1e-6)


def test_one_mean_and_std_hold_for_all_channels():
    one = of_module(Means(), mean=0.5, std=np.float32(0.25))
    three = of_module(Means(), mean=[0.5] * 3, std=np.full(3, 0.25))
    assert (one.mean, one.std) == ((0.5,) * 3, (0.25,) * 3)
    np.testing.assert_array_equal(one.predict_proba(PATCHES), three.predict_proba(PATCHES))


def test_rows_stay_rows_and_channels_come_first():
    seen = of_module(Means()).to_input(PATCHES)
    assert seen.shape == (3, 3, 4, 4)
    assert seen.dtype == torch.float32
    for n, row, col, channel in np.ndindex(PATCHES.shape):
        assert seen[n, channel, row, col] == PATCHES[n, row, col, channel] / np.float32(255)


@pytest.mark.parametrize(
    "options",
    [
        {"mean": (0.5, 0.5)},
        {"mean": "grey"},
        {"mean": [[0.5] * 3]},
        {"mean": []},
        {"mean": (0.5, None, 0.5)},
        {"mean": ((0.5,), (0.5, 0.5))},
        {"std": float("nan")},
        {"std": (0.5, 0.5, float("inf"))},
    ],
)
def test_a_mean_or_std_that_is_not_three_numbers_is_refused(options):
    (name,) = options
    with pytest.raises(ArgumentError, match=rf"{name}=.*one finite number for each of red"):
        of_module(Means(), **options)


@pytest.mark.parametrize("std", [0, (0.5, 0.5, -0.5)])
def test_a_std_that_is_not_positive_is_refused(std):
    with pytest.raises(ArgumentError, match=r"std=.*above 0"):
        of_module(Means(), std=std)


@pytest.mark.parametrize("logit", [-30.0, -1.0, 0.0, 2.5, 30.0])
def test_one_logit_two_logits_and_a_probability_say_the_same(logit):
    sigmoid = 1 / (1 + np.exp(-logit))
    two = ["background", "melanoma"]
    for returned, options in [
        ([logit], {}),
        (logit, {}),  # a batch of shape (n,)
        ([0.0, logit], {}),
        ([7.0, logit + 7.0], {}),
        ([sigmoid], {"logits": False}),
        (sigmoid, {"logits": False}),
        ([1 - sigmoid, sigmoid], {"logits": False}),
    ]:
        module = of_module(Answers(returned, torch.float32), two, **options)
        np.testing.assert_allclose(
            module.predict_proba(PATCHES), [[1 - sigmoid, sigmoid]] * 3, atol=1e-6
        )


def test_probabilities_stay_as_they_are():
    module = of_module(Answers([0.7, 0.2, 0.1]), logits=False)
    np.testing.assert_array_equal(module.predict_proba(PATCHES), np.float32([[0.7, 0.2, 0.1]] * 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_probabilities_are_not_taken_for_logits(dtype):
    module = nn.Sequential(nn.Conv2d(3, 3, 4), nn.Flatten(), nn.Softmax(dim=1)).to(dtype)
    with pytest.raises(ClassifierError, match=r"probabilities already.*pass logits=False"):
        of_module(module).predict_proba(np.repeat(PATCHES, 3, axis=0))


@pytest.mark.parametrize("logits", [[0.5, 0.2, 0.1], [1.5, -0.4, -0.1], [3.0, 2.0, 1.0]])
def test_logits_that_only_resemble_probabilities_are_logits(logits):
    expected = np.exp(logits) / np.exp(logits).sum()
    found = of_module(Answers(logits)).predict_proba(PATCHES)
    np.testing.assert_allclose(found, [expected] * 3, atol=1e-6)


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(ClassifierError, match="logits, apply softmax"):
        of_module(Answers([3.0, -2.0, 0.0]), logits=False).predict_proba(PATCHES)


class Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda x: (x.mean((2, 3)), x), "returned tuple; a tensor"),
        (lambda x: {"logits": x.mean((2, 3))}, "returned dict; a tensor"),
        (lambda x: x.mean((2, 3)).numpy(), "returned ndarray; a tensor"),
        (lambda x: None, "returned NoneType; a tensor"),
        (lambda x: x, r"shape \(3, 3, 4, 4\) for 3 patches"),
        (lambda x: x.mean((2, 3))[:, :2], r"shape \(3, 2\)"),
        (lambda x: x.mean((1, 2, 3)), r"shape \(3, 1\)"),  # one number cannot speak for three
        (lambda x: x.mean((2, 3))[:2], r"shape \(2, 3\)"),
        (lambda x: x.mean(), r"shape \(\)"),
        (lambda x: x.mean((2, 3)) * float("nan"), "NaN for 3 of 3 patches"),
    ],
)
def test_a_module_that_returns_no_logits_is_refused_in_words(function, complaint):
    with pytest.raises(ClassifierError, match=complaint):
        of_module(Returns(function)).predict_proba(PATCHES)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-6), (torch.float16, 5e-3), (torch.bfloat16, 5e-2)],
)
def test_a_module_computes_in_its_own_precision(dtype, tolerance):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 3, 4), nn.Flatten())
    expected = of_module(module).predict_proba(PATCHES)
    classifier = of_module(module.to(dtype))
    assert classifier.to_input(PATCHES).dtype == dtype
    found = classifier.predict_proba(PATCHES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance)
    assert {p.dtype for p in module.parameters()} == {dtype}


def test_a_module_without_weights_is_asked_in_single_precision():
    assert of_module(Means()).predict_proba(PATCHES).shape == (3, 3)


def test_a_module_with_buffers_alone_is_asked_in_their_precision():
    module = nn.Sequential(nn.BatchNorm2d(3, affine=False), Means()).double()
    assert of_module(module).to_input(PATCHES).dtype == torch.float64


def test_weights_that_are_whole_numbers_do_not_set_the_precision():
    module = Means()
    module.register_buffer("table", torch.arange(3))
    assert of_module(module).to_input(PATCHES).dtype == torch.float32


def state_of(module: nn.Module):
    return (
        [layer.training for layer in module.modules()],
        [p.requires_grad for p in module.parameters()],
        [None if p.grad is None else p.grad.clone() for p in module.parameters()],
        {name: value.clone() for name, value in module.state_dict().items()},
        torch.get_rng_state(),
        [len(layer._forward_hooks) for layer in module.modules()],
    )


def in_the_middle_of_training() -> nn.Sequential:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(0.5),
        nn.Conv2d(8, 3, 2),
        nn.Flatten(),
    )
    module(torch.randn(4, 3, 4, 4)).sum().backward()
    module[1].eval()  # frozen statistics, as people do
    module[0].weight.requires_grad_(False)
    return module


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_is_left_as_it_was_layer_by_layer(fails):
    module = in_the_middle_of_training()
    if fails:
        module.append(nn.Linear(1, 1))  # does not fit
    before = state_of(module)
    classifier = of_module(module)
    if fails:
        with pytest.raises(RuntimeError):
            classifier.predict_proba(PATCHES)
    else:
        first = classifier.predict_proba(PATCHES)
        np.testing.assert_array_equal(first, classifier.predict_proba(PATCHES))  # no dropout
    after = state_of(module)
    torch.testing.assert_close(after[2:], before[2:], rtol=0, atol=0)
    assert after[:2] == before[:2]
    assert [layer.training for layer in module] == [i != 1 for i in range(len(module))]


def test_what_a_module_keeps_from_a_forward_pass_can_still_be_trained_on():
    class Remembers(Means):
        def forward(self, x):
            if not hasattr(self, "offset"):
                self.offset = torch.arange(3.0)
            return x.mean((2, 3)) * self.offset

    module = Remembers()
    of_module(module).predict_proba(PATCHES)
    x = torch.randn(1, 3, 4, 4, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None


class Waits(nn.Module):
    """Notes its mode at the end of a forward pass that ends when another has come and gone."""

    def __init__(self):
        super().__init__()
        self.entered = [threading.Event(), threading.Event()]
        self.first_is_done = threading.Event()
        self.modes = []

    def forward(self, x):
        second = self.entered[0].is_set()
        self.entered[second].set()
        (self.first_is_done if second else self.entered[1]).wait(10)
        self.modes.append(self.training)
        return x.mean((2, 3))


@pytest.mark.parametrize("shared", [True, False], ids=["one classifier", "two of one module"])
def test_a_thread_that_is_done_does_not_take_the_mode_from_another(shared):
    module = Waits().train()
    first = of_module(module)
    second = first if shared else of_module(module, target="lesion")

    def ask_first():
        first.predict_proba(PATCHES)
        module.first_is_done.set()

    def ask_second():
        module.entered[0].wait(10)
        second.predict_proba(PATCHES)

    threads = [threading.Thread(target=ask) for ask in (ask_first, ask_second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert module.modes == [False, False]
    assert module.training


def test_a_classifier_on_loan_can_be_sent_to_another_process():
    classifier = of_module(in_the_middle_of_training())
    with classifier.borrowed():
        sent = cloudpickle.loads(cloudpickle.dumps(classifier))
        np.testing.assert_array_equal(
            sent.predict_proba(PATCHES), classifier.predict_proba(PATCHES)
        )
    assert classifier.module.training


def test_the_fingerprint_changes_with_all_that_answers_depend_on(network):
    def made(module=network.module, **changes):
        description = {"classes": LABELS, "input_size": 64, "mean": 0.5, "std": 0.25}
        return load_classifier(module, **(description | changes)).fingerprint()

    class Other(nn.Sequential):
        pass

    nudged = cloudpickle.loads(cloudpickle.dumps(network.module))
    with torch.no_grad():
        nudged[1].running_mean[0] += 1e-6
    others = [
        made(nudged),
        made(Other(*network.module)),
        made(mean=0.4),
        made(std=0.2),
        made(logits=False),
        made(classes=LABELS[::-1]),
        made(input_size=72),
    ]
    assert made() == network.fingerprint()
    assert len({network.fingerprint(), *others}) == 1 + len(others)


def test_the_fingerprint_stays_with_what_answers_do_not_depend_on(network):
    description = {"classes": LABELS, "input_size": 64, "mean": 0.5, "std": 0.25}
    other = load_classifier(
        cloudpickle.loads(cloudpickle.dumps(network.module)).train(),
        target="lesion",
        context=1.5,
        thresholds={"lesion": 0.9},
        **description,
    )
    assert other.fingerprint() == network.fingerprint()


def test_every_module_with_its_state_in_tensors_has_a_fingerprint():
    layer = nn.Conv2d(3, 3, 4)
    modules = [Means(), nn.Sequential(layer, nn.Flatten()), Answers([0.0, 1.0, 2.0])]
    prints = {of_module(module).fingerprint() for module in modules}
    prints.add(of_module(nn.Sequential(layer.bfloat16(), nn.Flatten())).fingerprint())
    assert len(prints) == 4
    assert all(len(print_) == 64 for print_ in prints)


def test_state_outside_tensors_cannot_be_hashed():
    class Extra(Means):
        def get_extra_state(self):
            return {"anything": object()}

    assert of_module(Extra()).fingerprint() is None


# Scikit-learn estimators.


def labelled_patches(labels):
    """Dark patches of the second label, light ones of the first."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 40)
    patches = rng.integers(0, 128, (40, 4, 4, 3)) + 127 * (1 - y)[:, None, None, None]
    return patches.astype(np.uint8), np.array(labels)[y]


def fitted(labels, estimator=None):
    patches, y = labelled_patches(labels)
    estimator = estimator or make_pipeline(StandardScaler(), LogisticRegression())
    return estimator.fit(patches.reshape(len(patches), -1), y)


def test_an_estimator_brings_its_classes_and_input_size():
    estimator = fitted(["background", "melanoma"])
    classifier = load_classifier(estimator, context=1.5)
    assert classifier.input_size == 4
    assert classifier.classes_.tolist() == ["background", "melanoma"]
    np.testing.assert_array_equal(
        classifier.predict_proba(PATCHES),
        estimator.predict_proba(PATCHES.reshape(3, -1)).astype(np.float32),
    )


def test_a_class_is_found_by_its_label_wherever_its_column_is():
    found = []
    for labels, classes in [
        (["background", "melanoma"], None),
        (["z_background", "melanoma"], ["melanoma", "background"]),  # sorted by the estimator
        ([0, 1], ["background", "melanoma"]),
        ([1, 0], ["melanoma", "background"]),
        ([False, True], ("background", "melanoma")),
    ]:
        estimator = fitted(labels, LogisticRegression(max_iter=1000))
        classifier = load_classifier(estimator, classes=classes, target="melanoma")
        patches, y = labelled_patches([0, 1])
        probability = classifier.target_probability(classifier.predict_proba(patches))
        assert ((probability > 0.5) == y).all(), (labels, classes)
        found.append(probability)
    np.testing.assert_allclose(found, [found[0]] * len(found), atol=1e-5)


def test_numbered_classes_get_their_numbers_as_labels():
    assert load_classifier(fitted([0, 1]), target="1").target_columns() == [1]


@pytest.mark.parametrize(
    ("estimator", "options", "error", "complaint"),
    [
        (LogisticRegression(), {}, ClassifierError, "LogisticRegression has no classes_; fit it"),
        (make_pipeline(LogisticRegression()), {}, ClassifierError, "Pipeline has no classes_"),
        (LogisticRegression, {}, ArgumentTypeError, "the class LogisticRegression; .*instance"),
        (SVC(), {}, ArgumentTypeError, "found SVC; .*fitted estimator with predict_proba"),
        (fitted([0, 1]), {"classes": ["a", "b", "c"]}, ArgumentError, "3 labels .* of 2 classes"),
        (fitted([0, 1]), {"classes": "ab"}, ArgumentTypeError, "classes='ab'"),
        (fitted([0, 1]), {"input_size": 5}, ArgumentError, "have 75 values.* was fitted on 48"),
        (fitted([0, 1]), {"input_size": "4"}, ArgumentTypeError, "input_size='4'"),
        (fitted([0, 1]), {"mean": 0.5}, ArgumentError, "mean: only for torch modules"),
        (fitted([0, 1]), {"logits": False}, ArgumentError, "logits: only for torch modules"),
    ],
)
def test_an_estimator_that_does_not_fit_its_description_is_refused(
    estimator, options, error, complaint
):
    with pytest.raises(error, match=complaint):
        load_classifier(estimator, **options)


def test_features_that_are_no_pixels_are_refused():
    patches, y = labelled_patches([0, 1])
    estimator = LogisticRegression().fit(patches.reshape(40, -1)[:, :10], y)
    with pytest.raises(ArgumentError, match=r"fitted on 10 features.*not S \* S \* 3"):
        load_classifier(estimator)


def test_an_estimator_that_does_not_know_its_features_needs_the_input_size():
    class Even:
        classes_ = ("background", "melanoma")

        def predict_proba(self, rows):
            assert rows.shape == (3, 48)
            return np.full((3, 2), 0.5)

    with pytest.raises(ArgumentError, match="input_size: Even does not say"):
        load_classifier(Even())
    assert load_classifier(Even(), input_size=4).predict_proba(PATCHES).shape == (3, 2)


def test_an_estimator_that_cannot_be_pickled_has_no_fingerprint():
    first = FunctionTransformer(lambda rows: rows / 255)
    estimator = fitted([0, 1], make_pipeline(first, LogisticRegression()))
    assert load_classifier(estimator).fingerprint() is None


def test_the_fingerprint_of_an_estimator_is_that_of_its_state():
    def fingerprint(estimator, **options):
        return load_classifier(estimator, **options).fingerprint()

    estimator = fitted([0, 1])
    copy = pickle.loads(pickle.dumps(estimator))
    load_classifier(estimator).predict_proba(PATCHES)
    assert fingerprint(copy) == fingerprint(estimator)
    copy[-1].coef_[0, 0] += 1e-6
    assert fingerprint(copy) != fingerprint(estimator)
    assert fingerprint(estimator, classes=["a", "b"]) != fingerprint(estimator)


# The one door.


def test_a_classifier_passes_through(dark):
    assert load_classifier(dark) is dark


@pytest.mark.parametrize("option", ["classes", "context", "mean", "logits", "target", "thresholds"])
def test_a_saved_classifier_has_its_own_description(option, dark):
    value = {"classes": LABELS, "context": 2, "mean": 0, "logits": False}.get(option, "lesion")
    for source in (None, "model.safetensors", Path("model.safetensors"), dark):
        with pytest.raises(ArgumentError, match=rf"{option}: a saved classifier .* has its own"):
            load_classifier(source, **{option: value})


@pytest.mark.parametrize("source", [dark_middle, Means()])
def test_functions_and_modules_must_be_described(source):
    name = type(source).__name__
    with pytest.raises(ArgumentError, match=rf"classes and input_size: needed for {name}, e\.g\."):
        load_classifier(source)
    with pytest.raises(ArgumentError, match=rf"^input_size: needed for {name}"):
        load_classifier(source, classes=LABELS)


@pytest.mark.parametrize("source", [3, object(), b"model.safetensors", [dark_middle], np.zeros(3)])
def test_what_cannot_classify_is_refused(source):
    with pytest.raises(ArgumentTypeError, match=r"source: found .*give the path of a \.safetens"):
        load_classifier(source, classes=LABELS, input_size=4)


def test_a_class_of_modules_is_no_module():
    with pytest.raises(ArgumentTypeError, match="found the class Means; give an instance"):
        load_classifier(Means, classes=LABELS, input_size=4)


class Canary:
    """Unpickled, it leaves a file behind: what anyone's code could do."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.PKL", "a.joblib", "a.ckpt", "a.bin", "a"])
def test_pickled_files_are_refused_without_being_opened(name, tmp_path):
    canary, model = tmp_path / "canary", tmp_path / name
    model.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ModelFileError, match=r"kept in \.safetensors.*can run anything"):
        load_classifier(model)
    assert not canary.exists()
    pickle.loads(model.read_bytes())
    assert canary.exists()  # so the test can fail


def test_a_pickled_file_under_another_name_is_not_run(tmp_path):
    model = tmp_path / "a.safetensors"
    model.write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(ModelFileError, match=r"a\.safetensors: not a whole safetensors file"):
        load_classifier(str(model))
    assert not (tmp_path / "canary").exists()


def test_torch_is_left_alone_by_functions_and_estimators():
    code = """
import sys, numpy as np, slidewin
from sklearn.linear_model import LogisticRegression
def half(patches):
    return np.full((len(patches), 2), 0.5)
x = np.arange(96, dtype=np.uint8).reshape(2, 48)
for classifier in (
    slidewin.load_classifier(half, classes=["background", "lesion"], input_size=4),
    slidewin.load_classifier(LogisticRegression().fit(x, [0, 1])),
):
    print(classifier.predict_proba(x.reshape(2, 4, 4, 3)).shape, "torch" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout == "(2, 2) False\n" * 2


def test_a_function_sees_patches_as_they_are(dark):
    patches = np.random.default_rng(2).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(
        dark.predict_proba(patches), dark_middle(patches).astype(np.float32)
    )
    assert isinstance(dark, Classifier)
    assert slidewin.load_classifier is load_classifier
