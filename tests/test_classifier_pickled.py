"""Files that can run code, and what it takes to have them opened."""

import os
import pickle
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from slidewin.classifier import load_classifier
from slidewin.errors import ArgumentError, ModelFileError

LABELS = ["background", "other_lesion", "melanoma"]
PATCHES = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
SUFFIXES = [".pt", ".pth", ".ts", ".torchscript", ".pkl", ".pickle", ".joblib"]


class Canary:
    """Unpickled, it leaves a folder behind: what anyone's code could do."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 3, 4), nn.Dropout(), nn.Flatten())


@pytest.mark.parametrize(
    "suffix", [*SUFFIXES, ".safetensors", ".skops", ".onnx", ".ckpt", ".bin", ""]
)
@pytest.mark.parametrize("write", [pickle.dump, joblib.dump, torch.save])
def test_a_malicious_pickle_does_not_run_under_any_name(suffix, write, tmp_path):
    canary, model = tmp_path / "canary", tmp_path / f"model{suffix}"
    with model.open("wb") as file:
        write(Canary(canary), file)
    with pytest.raises(
        ModelFileError, match=r"model.*(can run anything|not a (whole|skops)|cannot open)"
    ):
        load_classifier(model, **({"classes": LABELS} if suffix == ".onnx" else {}))
    assert not canary.exists()


def test_only_trusted_true_opens_a_pickle(tmp_path):
    canary, model = tmp_path / "canary", tmp_path / "model.pkl"
    model.write_bytes(pickle.dumps(Canary(canary)))
    for trusted in (False, None, 0, 1, "yes"):
        with pytest.raises(ModelFileError, match=r"not opened.*pass trusted=True"):
            load_classifier(model, trusted=trusted)
    assert not canary.exists()
    with pytest.raises(ModelFileError, match="holds a NoneType, no model"):  # but it has run
        load_classifier(model, trusted=True, classes=LABELS)
    assert canary.exists()  # so the tests above can fail


@pytest.mark.parametrize("suffix", [".safetensors", ".skops", ".onnx", ".ckpt", ""])
def test_trust_does_not_make_pickles_of_other_files(suffix, tmp_path):
    canary, model = tmp_path / "canary", tmp_path / f"model{suffix}"
    model.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ModelFileError):
        load_classifier(model, trusted=True, **({"classes": LABELS} if suffix == ".onnx" else {}))
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".PT"])
def test_a_trusted_module_is_used_as_if_it_had_been_passed(suffix, network, tmp_path):
    path = tmp_path / f"model{suffix}"
    torch.save(network, path)
    opened = load_classifier(path, trusted=True, classes=LABELS, input_size=4, mean=0.5)
    passed = load_classifier(network, classes=LABELS, input_size=4, mean=0.5)
    assert opened.fingerprint() == passed.fingerprint()
    with pytest.raises(ArgumentError, match="classes and input_size: needed for Sequential"):
        load_classifier(path, trusted=True)


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib"])
@pytest.mark.parametrize("write", [pickle.dump, joblib.dump])
def test_a_trusted_estimator_is_used_as_if_it_had_been_passed(suffix, write, tmp_path):
    rows = PATCHES.reshape(3, -1)
    estimator = LogisticRegression().fit(rows, ["a", "b", "b"])
    path = tmp_path / f"model{suffix}"
    with path.open("wb") as file:
        write(estimator, file)
    found = load_classifier(path, trusted=True).predict_proba(PATCHES)
    np.testing.assert_array_equal(found, estimator.predict_proba(rows).astype(np.float32))


def test_an_estimator_of_another_version_is_refused(tmp_path, monkeypatch):
    estimator = LogisticRegression().fit(PATCHES.reshape(3, -1), ["a", "b", "b"])
    path = tmp_path / "model.joblib"
    with monkeypatch.context() as patch:
        patch.setattr(sklearn.base, "__version__", "1.2.3")
        joblib.dump(estimator, path)
    with pytest.raises(
        ModelFileError, match=r"model\.joblib: LogisticRegression was fitted with .* 1\.2\.3"
    ):
        load_classifier(path, trusted=True)


# torch deprecates TorchScript; people's files will be around for longer.
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".pt", ".ts", ".torchscript"])
def test_a_trusted_torchscript_answers_as_its_module_did(suffix, network, tmp_path):
    path = tmp_path / f"model{suffix}"
    torch.jit.script(network.train()).save(str(path))
    with pytest.raises(ModelFileError, match="not opened"):
        load_classifier(path, classes=LABELS, input_size=4)
    opened = load_classifier(path, trusted=True, classes=LABELS, input_size=4)
    expected = load_classifier(network, classes=LABELS, input_size=4).predict_proba(PATCHES)
    np.testing.assert_allclose(opened.predict_proba(PATCHES), expected, atol=1e-6)
    assert opened.module.training
    sent = cloudpickle.loads(cloudpickle.dumps(opened))
    np.testing.assert_allclose(sent.predict_proba(PATCHES), expected, atol=1e-6)


def test_weights_without_their_network_are_refused(network, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    with pytest.raises(
        ModelFileError, match=r"holds a OrderedDict \(0.weight, 0.bias, .*load_classifier\(module"
    ):
        load_classifier(path, trusted=True, classes=LABELS, input_size=4)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_trusted_file_that_is_damaged_or_missing_is_named(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    with pytest.raises(ModelFileError, match=r"model.*: no such file"):
        load_classifier(path, trusted=True)
    path.write_bytes(b"\x80\x04no pickle")
    with pytest.raises(ModelFileError, match=r"model.*: cannot be opened"):
        load_classifier(path, trusted=True)
