"""What is wrong with a classifier, found and said."""

import re
import threading

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from torch import nn
from toys import SIDE, dark_middle

from slidewin.classifier import Checkup, Remark, check, checkup
from slidewin.features import patch_classifier

CLASSES = ["background", "lesion"]


def about(function, **description) -> Checkup:
    return check(function, **({"classes": CLASSES, "input_size": SIDE} | description))


def texts(report: Checkup, severity: str) -> str:
    return "\n".join(str(remark) for remark in report.remarks if remark.severity == severity)


def redness(patches):
    """A lesion is what is much redder than blue: none of the made patches is."""
    red, blue = (patches[..., channel].mean(axis=(1, 2)) / 255 for channel in (0, 2))
    found = np.clip(red - blue - 0.2, 0, 1)
    return np.stack([1 - found, found], axis=1)


def test_nothing_speaks_against_a_sound_classifier():
    report = about(redness)
    assert report.ok
    assert [remark.severity for remark in report.remarks] == ["note"]
    assert str(report).startswith("redness: can be swept\n- note: a window takes about")


def test_the_embedded_classifier_can_be_swept():
    report = check()
    assert report.ok, report
    assert report.subject == "the embedded default"
    assert not texts(report, "warning"), report


def one_at_a_time(patches):
    if len(patches) > 1:
        raise ValueError("one only")
    return redness(patches)


def squeezed(patches):
    return np.squeeze(redness(patches))


def scaled_by_the_batch(patches):
    found = dark_middle(patches)[:, 1]
    found = found / max(found.max(), 0.2)
    return np.stack([1 - found, found], axis=1)


def stretched(patches):
    grey = patches.mean(axis=3)
    low, high = grey.min(axis=(1, 2)), grey.max(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        found = (grey.mean(axis=(1, 2)) - low) / (high - low)
    return np.stack([1 - found, found], axis=1)


def refuses_flat_patches(patches):
    if np.ptp(patches, axis=(1, 2, 3)).min() == 0:
        raise ZeroDivisionError("no spread")
    return redness(patches)


def undecided(patches):
    noise = np.random.default_rng().uniform(0, 0.1, len(patches))
    return np.stack([1 - noise, noise], axis=1)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda x: redness(x)[:, 1], r"shape \(8,\) for 8 patches.*Return one column for each"),
        (lambda x: np.full((len(x), 3), 1 / 3), r"shape \(8, 3\).*name a class for each column"),
        (lambda x: redness(x) * 9 - 5, r"If these are logits, apply softmax"),
        (lambda x: redness(x) / 2, r"rows sum to 0.5"),
        (lambda x: np.log(redness(x) - 2), r"NaN for 8 of 8"),
        (lambda x: redness(x).astype(str), r"returned <U"),
        (lambda x: x.no_such_thing, r"AttributeError.*It is given patches of shape \(n, 16, 16"),
        (one_at_a_time, r"takes one patch at a time; 8 at once fail \(ValueError: one only\)"),
        (squeezed, r"fails on a batch of one patch \(ClassifierError.*shape \(2,\)"),
        (stretched, r"fails on some patches \(black, white, grey, skin\): .*NaN.*division"),
        (refuses_flat_patches, r"fails on some patches \(black, .*ZeroDivisionError: no spread"),
        (undecided, r"two calls with the same patches differ by up to 0\.0.*drawn at random"),
        (scaled_by_the_batch, r"change by up to .* with the others in its batch.*Batch norm"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_keeps_it_from_being_swept_is_an_error(function, complaint):
    report = about(function)
    assert not report.ok
    assert "cannot be swept as it is" in str(report)
    errors = texts(report, "error")
    assert errors.count("error:") == 1
    assert re.search(complaint, errors), errors


class NotInThreads:
    """Keeps what it is asked in one place, as badly wrapped libraries do."""

    def __init__(self):
        self.barrier = threading.Barrier(4)

    def __call__(self, patches):
        self.patches = patches
        if threading.current_thread() is not threading.main_thread():
            self.barrier.wait(10)  # until all four have written
        return redness(self.patches)


class Darkness:
    def __call__(self, patches):
        return dark_middle(patches)


def overwriting(patches):
    found = redness(patches)
    patches[:] = 0
    return found


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (NotInThreads(), "from several threads at once, it answers differ"),
        (overwriting, "writes to the patches"),
        (lambda x: np.full((len(x), 2), 0.5), "all get the same answer. It may be untrained"),
        (lambda x: np.eye(2)[(redness(x)[:, 1] > 0.05) * 1], "every answer is 0 or 1"),
        (Darkness(), "it takes for lesion: black (1.00)"),
    ],
)
def test_what_will_make_a_poor_sweep_is_a_warning(function, complaint):
    report = about(function)
    assert report.ok, report
    assert complaint in texts(report, "warning"), report


def test_a_failure_in_threads_alone_is_a_warning():
    def main_thread_only(patches):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("not here")
        return redness(patches)

    report = about(main_thread_only)
    assert "at once, it fails with RuntimeError: not here" in texts(report, "warning")


def test_a_classifier_without_background_is_warned_of():
    report = about(redness, classes=["nevus", "melanoma"])
    assert "no class is called 'background' among ['nevus', 'melanoma']" in str(report)


def test_a_slow_classifier_is_warned_of(monkeypatch):
    monkeypatch.setattr(checkup, "_SLOW_S", 0.0)
    assert "a window takes about" in texts(about(redness), "warning")


# Modules.


def chain(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *layers, nn.Flatten())


def test_an_input_size_that_does_not_fit_is_put_right():
    module = chain(nn.ReLU()).append(nn.Linear(4 * 32 * 32, 2))
    report = about(module, input_size=64)
    assert "fails on 64 x 64 pixels: RuntimeError" in texts(report, "error")
    assert "It takes input_size=32: pass" in texts(report, "error")
    assert about(module, input_size=32).ok


def test_a_module_is_told_its_mode_and_left_as_it_is():
    module = chain(nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveAvgPool2d(1)).append(nn.Linear(4, 2))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random_state = torch.get_rng_state()
    report = about(module.double())
    assert report.ok, report
    assert "in training mode" in texts(report, "note")
    assert "computes in torch.float64" in texts(report, "note")
    assert all(layer.training for layer in module.modules())
    torch.testing.assert_close(
        {name: value.to(before[name].dtype) for name, value in module.state_dict().items()}, before
    )
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_sigmoid_that_is_applied_twice_is_suspected():
    module = chain(nn.AdaptiveAvgPool2d(1)).append(nn.Linear(4, 1)).append(nn.Sigmoid())
    assert "lies between 0.5 and 0.731" in texts(about(module), "warning")
    assert "0.731" not in str(about(module, logits=False))


def test_a_batch_norm_in_training_mode_is_an_error():
    module = chain(nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)).append(nn.Linear(4, 2)).train()

    def ask(patches):
        with torch.no_grad():
            x = torch.tensor(patches).permute(0, 3, 1, 2) / 255
            return module(x).softmax(dim=1).numpy()

    assert "with the others in its batch" in texts(about(ask), "error")


# What is not even a classifier.


@pytest.mark.parametrize(
    ("source", "description", "complaint"),
    [
        (3, {}, "source: found int"),
        (redness, {}, "classes and input_size: needed for function"),
        (redness, {"classes": CLASSES, "input_size": 1}, "input_size=1"),
        ("absent.safetensors", {}, "no such file"),
        ("model.pkl", {}, "not opened"),
    ],
)
def test_what_cannot_be_loaded_is_reported_and_not_raised(source, description, complaint):
    report = check(source, **description)
    assert not report.ok
    assert complaint in str(report)


def test_whatever_keeps_a_file_from_being_loaded_is_reported(monkeypatch, tmp_path):
    def fails(*args, **kwargs):
        raise ZeroDivisionError("of another kind")

    monkeypatch.setattr(checkup, "load_classifier", fails)
    report = check(tmp_path / "a.onnx")
    assert str(report).startswith(f"{tmp_path / 'a.onnx'}: cannot be swept")
    assert "ZeroDivisionError: of another kind" in texts(report, "error")


def test_calibration_that_hides_the_features_is_noted():
    patches = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE, 3), np.uint8)
    rows, labels = patches.reshape(40, -1), np.array(CLASSES)[np.arange(40) % 2]
    linear = LogisticRegression(max_iter=5000, tol=1)
    outside = CalibratedClassifierCV(patch_classifier(linear), cv=2).fit(rows, labels)
    inside = patch_classifier(CalibratedClassifierCV(linear, cv=2)).fit(rows, labels)
    assert "goes round the whole pipeline" in texts(check(outside), "note")
    assert "pipeline" not in str(check(inside))


def test_errors_come_first():
    report = about(undecided, classes=["a", "b"])
    severities = [remark.severity for remark in report.remarks]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert len(severities) > 2
    assert Checkup("it", (Remark("note", "Found", "Do"),)).ok
