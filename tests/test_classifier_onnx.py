"""ONNX files: made here by hand, so that every answer is known."""

import json
import pickle
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import slidewin
from slidewin.classifier import check, export_onnx, load_classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.classifier.onnx import OnnxClassifier
from slidewin.errors import ArgumentError, ClassifierError, ModelFileError, OutputExistsError

LABELS = ["background", "other_lesion", "melanoma"]
PATCHES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
MEANS = PATCHES.mean(axis=(1, 2)) / 255  # (5, 3)


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    path,
    shape=("n", 3, 4, 4),
    dtype=TensorProto.FLOAT,
    weights=None,
    extra_outputs=(),
    extra_inputs=(),
    softmax=False,
    declared="",
):
    """A network that returns each patch's mean red, green and blue, times weights (3, k)."""
    axes = (2, 3) if shape[1] == 3 or shape[3] != 3 else (1, 2)
    weights = np.eye(3, dtype=np.float32) if weights is None else np.float32(weights)
    nodes = [
        helper.make_node("Cast", ["patches"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    width = weights.shape[1] if declared == "" else declared
    output = "probabilities" if softmax else "scores"
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("patches", dtype, shape), *extra_inputs],
        [value(output, TensorProto.FLOAT, [shape[0], width]), *extra_outputs],
        [
            numpy_helper.from_array(np.array(axes, np.int64), "axes"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "shape", [("n", 3, 4, 4), ("n", 4, 4, 3), (1, 3, 4, 4), (2, 4, 4, 3), (8, 3, 4, 4), (None,) * 4]
)
def test_the_layout_and_the_batch_are_read_from_the_file(shape, tmp_path):
    path = write(tmp_path / "a.onnx", shape)
    classifier = load_classifier(path, classes=LABELS, input_size=4)
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), softmax(MEANS), atol=1e-6)
    assert classifier.input_size == 4


def test_the_input_size_is_read_from_the_file_where_it_says_one(tmp_path):
    path = write(tmp_path / "a.onnx")
    assert load_classifier(path, classes=LABELS).input_size == 4
    with pytest.raises(ArgumentError, match=r"input_size=8: a.onnx takes 4 x 4 pixels"):
        load_classifier(path, classes=LABELS, input_size=8)
    write(path, ("n", 3, "h", "w"))
    with pytest.raises(ArgumentError, match=r"input_size: a.onnx takes inputs of any size"):
        load_classifier(path, classes=LABELS)
    assert load_classifier(path, classes=LABELS, input_size=4).predict_proba(PATCHES).shape


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(TensorProto.FLOAT, 1e-6), (TensorProto.DOUBLE, 1e-6), (TensorProto.FLOAT16, 1e-3)],
)
def test_floats_are_normalised(dtype, tolerance, tmp_path):
    path = write(tmp_path / "a.onnx", dtype=dtype)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.5)
    classifier = load_classifier(path, classes=LABELS, mean=mean, std=std)
    expected = softmax((MEANS - mean) / np.array(std))
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), expected, atol=tolerance)


def test_whole_numbers_are_pixels_as_they_are(tmp_path):
    path = write(tmp_path / "a.onnx", dtype=TensorProto.UINT8, weights=np.eye(3) / 255)
    expected = softmax(MEANS)
    found = load_classifier(path, classes=LABELS).predict_proba(PATCHES)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ArgumentError, match="pixels as they are"):
        load_classifier(path, classes=LABELS, mean=0.5)
    write(path, weights=np.eye(3) / 255)
    found = load_classifier(path, classes=LABELS, std=1 / 255).predict_proba(PATCHES)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_column_speaks_for_the_second_class(tmp_path):
    path = write(tmp_path / "a.onnx", weights=[[1.0], [0.0], [0.0]])
    found = load_classifier(path, classes=["no", "yes"]).predict_proba(PATCHES)
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-MEANS[:, 0])), atol=1e-6)
    same = load_classifier(path, classes=["no", "yes"], logits=False).predict_proba(PATCHES)
    np.testing.assert_allclose(same[:, 1], MEANS[:, 0], atol=1e-6)


def test_probabilities_are_not_taken_for_logits(tmp_path):
    path = write(tmp_path / "a.onnx", softmax=True)
    with pytest.raises(ClassifierError, match="probabilities already"):
        load_classifier(path, classes=LABELS).predict_proba(PATCHES)
    found = load_classifier(path, classes=LABELS, logits=False).predict_proba(PATCHES)
    np.testing.assert_allclose(found, softmax(MEANS), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "classes", "complaint"),
    [
        ({}, ["a", "b"], r"\['a', 'b'\]: a.onnx returns scores \['n', 3\].* must be \(n, 2\)"),
        ({"weights": np.ones((3, 1))}, LABELS, r"must be \(n, 3\)"),
        (
            {"shape": ("n", 1, 4, 4), "weights": np.ones((1, 3))},
            LABELS,
            r"\('n', 1, 4, 4\).*square colour patches",
        ),
        ({"shape": ("n", 3, 4, 5)}, LABELS, r"square colour patches"),
        ({"dtype": TensorProto.INT64}, LABELS, r"of int64; one of float32"),
        (
            {"extra_inputs": [value("age", TensorProto.FLOAT, ["n"])]},
            LABELS,
            r"age \['n'\]; one input is needed",
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_words(options, classes, complaint, tmp_path):
    path = write(tmp_path / "a.onnx", **options)
    with pytest.raises((ArgumentError, ClassifierError), match=complaint):
        load_classifier(path, classes=classes)


def test_of_several_outputs_the_one_with_a_column_for_each_class_is_taken(tmp_path):
    features = value("means", TensorProto.FLOAT, ["n", 3])
    path = write(tmp_path / "a.onnx", weights=np.eye(3)[:, :2], extra_outputs=[features])
    assert load_classifier(path, classes=["a", "b"]).output == "scores"
    with pytest.raises(ArgumentError, match="of which one must be"):
        load_classifier(write(path, extra_outputs=[features]), classes=LABELS)


def test_columns_that_are_not_declared_are_found_out(tmp_path):
    path = write(tmp_path / "a.onnx", declared="k")
    assert load_classifier(path, classes=LABELS).predict_proba(PATCHES).shape == (5, 3)


def test_classes_are_needed(tmp_path):
    with pytest.raises(ArgumentError, match=r"classes: needed for a\.onnx"):
        load_classifier(write(tmp_path / "a.onnx"))


@pytest.mark.parametrize("data", [b"", b"no model", pickle.dumps({"a": 1})])
def test_a_file_that_is_no_model_is_refused(data, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"a\.onnx: ONNX Runtime cannot open it"):
        load_classifier(path, classes=LABELS)
    with pytest.raises(ModelFileError, match=r"absent\.onnx: cannot be read"):
        load_classifier(tmp_path / "absent.onnx", classes=LABELS)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "{folder}/weights.bin"])
def test_weights_in_other_files_are_not_read(location, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    path = write(folder / "a.onnx")
    for place in (folder, tmp_path):
        np.eye(3, dtype=np.float32).tofile(place / "weights.bin")
    model = onnx.load(path)
    weights = model.graph.initializer[1]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location.format(folder=folder)
    path.write_bytes(model.SerializeToString())
    monkeypatch.chdir(folder)
    with pytest.raises(ModelFileError, match=r"a\.onnx: keeps weights in other files"):
        load_classifier(path, classes=LABELS)


def test_it_travels_as_its_path_and_refuses_another_file(tmp_path):
    path = write(tmp_path / "a.onnx")
    classifier = load_classifier(path, classes=LABELS, target="lesion")
    sent = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(sent.predict_proba(PATCHES), classifier.predict_proba(PATCHES))
    assert repr(sent) == repr(classifier)
    waiting = pickle.loads(pickle.dumps(classifier))
    write(path, weights=-np.eye(3))
    with pytest.raises(ModelFileError, match="another file than when the classifier was made"):
        waiting.predict_proba(PATCHES)
    assert load_classifier(path, classes=LABELS).fingerprint() != classifier.fingerprint()


def test_the_fingerprint_is_that_of_the_file_and_its_description(tmp_path):
    path = write(tmp_path / "a.onnx")
    copy = write(tmp_path / "b.onnx")
    one = load_classifier(path, classes=LABELS).fingerprint()
    assert load_classifier(copy, classes=LABELS, target="lesion").fingerprint() == one
    assert load_classifier(path, classes=LABELS, mean=0.5).fingerprint() != one
    assert load_classifier(path, classes=LABELS[::-1]).fingerprint() != one


def test_a_worker_computes_with_its_share_of_the_threads(tmp_path):
    from slidewin.workers import cap_threads, thread_counts_kept

    classifier = load_classifier(write(tmp_path / "a.onnx"), classes=LABELS)
    expected = classifier.predict_proba(PATCHES)
    first = classifier._session()
    assert classifier._session() is first
    with thread_counts_kept():
        cap_threads(3)
        three = classifier._session()
        assert three.get_session_options().intra_op_num_threads == 3
        assert classifier._session() is three
        np.testing.assert_array_equal(classifier.predict_proba(PATCHES), expected)


def test_a_sweep_is_the_same_with_any_number_of_workers(tmp_path, noise):
    classifier = load_classifier(write(tmp_path / "a.onnx"), classes=LABELS)
    one = slidewin.SlidingWindow(classifier, lesion_size=20, n_jobs=1).probabilities(noise)
    two = slidewin.SlidingWindow(classifier, lesion_size=20, n_jobs=2).probabilities(noise)
    np.testing.assert_array_equal(one, two)


def test_onnxruntime_is_imported_when_a_file_is_opened():
    code = "import sys, slidewin; slidewin.load_classifier; import slidewin.classifier; "
    code += "print([n for n in ('onnxruntime', 'onnx', 'keras', 'torch') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


# Export.


def exported(module, path, **options) -> tuple[ModuleClassifier, OnnxClassifier]:
    classifier = load_classifier(module, classes=LABELS, input_size=4, **options)
    export_onnx(classifier, path, overwrite=True)
    return classifier, load_classifier(path)


def test_what_is_exported_answers_as_before_and_describes_itself(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 3, 4), nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten())
    module(torch.randn(8, 3, 4, 4))
    options = {"mean": 0.4, "std": (0.2, 0.3, 0.4), "target": "lesion", "context": 1.5}
    path = tmp_path / "a.onnx"
    classifier = ModuleClassifier(
        module,
        classes=LABELS,
        input_size=4,
        temperature=1.5,
        bias=(0.5, 0.0, -0.5),
        thresholds={"lesion": 0.25},
        about={"data": "noise"},
        **options,
    )
    export_onnx(classifier, path)
    assert module.training
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]
    back = load_classifier(path)
    for name in ("input_size", "context", "target", "thresholds", "mean", "std", "logits"):
        assert getattr(back, name) == getattr(classifier, name), name
    for name in ("temperature", "bias", "about"):
        assert getattr(back, name) == getattr(classifier, name), name
    for n in (1, 2, 5):
        np.testing.assert_allclose(
            back.predict_proba(PATCHES[:n]), classifier.predict_proba(PATCHES[:n]), atol=1e-6
        )
    with pytest.raises(ArgumentError, match=r"context: a\.onnx has its own description"):
        load_classifier(path, context=2)
    with pytest.raises(OutputExistsError):
        export_onnx(classifier, path)


def test_a_description_of_another_version_is_refused(tmp_path):
    path = write(tmp_path / "a.onnx")
    model = onnx.load(path)
    for text, complaint in [
        (json.dumps({"format": "slidewin-onnx-9"}), "'slidewin-onnx-9', where 'slidewin-onnx-1'"),
        (json.dumps({"format": "slidewin-onnx-1"}), "KeyError: 'classes'"),
        ("[]", "TypeError"),
        ("{", "JSONDecodeError"),
    ]:
        helper.set_model_props(model, {"slidewin": text})
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelFileError, match=rf"a\.onnx: its description .*{complaint}"):
            load_classifier(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"about": 5}, "about=5: a mapping is needed"),
        ({"input_size": "4"}, "input_size='4'"),
        ({"input_size": 8}, "takes 4 x 4 pixels"),
        ({"input_size": 10**6}, "input_size 1000000, where at most 4096"),
        ({"classes": ["a", "b"]}, r"must be \(n, 2\)"),
        ({"thresholds": 3}, "thresholds=3"),
        ({"logits": False}, "values from"),  # found by the one patch that is tried
    ],
)
def test_a_description_that_does_not_fit_is_one_error_that_names_the_file(
    change, complaint, tmp_path
):
    path = write(tmp_path / "a.onnx")
    description = {
        "format": "slidewin-onnx-1",
        "classes": LABELS,
        "input_size": 4,
        "context": 2.0,
        "target": None,
        "thresholds": {},
        "mean": 0.5,
        "std": 0.1,
        "logits": True,
        "temperature": 1.0,
        "bias": None,
        "about": {},
    }
    model = onnx.load(path)
    for changed in ({}, change):
        helper.set_model_props(model, {"slidewin": json.dumps(description | changed)})
        path.write_bytes(model.SerializeToString())
        if not changed:
            assert load_classifier(path).mean == (0.5, 0.5, 0.5)
    with pytest.raises(ModelFileError, match=rf"a\.onnx: its description .*{complaint}"):
        load_classifier(path)
    report = check(path)
    assert report.subject == str(path)
    assert "its description" in str(report)


def test_whole_numbers_are_no_scores_and_a_column_for_each_class_comes_first(tmp_path):
    path = write(tmp_path / "a.onnx", weights=np.eye(3)[:, :2])
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Cast", ["scores"], ["whole"], to=TensorProto.INT64))
    model.graph.node.append(helper.make_node("ReduceMax", ["scores"], ["highest"], keepdims=1))
    model.graph.output.insert(0, value("whole", TensorProto.INT64, ["n", 2]))
    model.graph.output.insert(0, value("highest", TensorProto.FLOAT, [1, 1]))
    path.write_bytes(model.SerializeToString())
    assert load_classifier(path, classes=["a", "b"]).output == "scores"


def test_what_json_does_not_hold_is_refused_before_anything_is_exported(tmp_path, monkeypatch):
    module = nn.Sequential(nn.Conv2d(3, 3, 4), nn.Flatten())
    monkeypatch.delattr(torch.onnx, "export")
    for known in ({"auc": np.float32(1)}, {"auc": float("nan")}):
        classifier = ModuleClassifier(module, classes=LABELS, input_size=4, about=known)
        with pytest.raises(ClassifierError, match="about: cannot be written as JSON"):
            export_onnx(classifier, tmp_path / "a.onnx")


def test_what_cannot_be_exported_is_refused(dark, tmp_path):
    with pytest.raises(ClassifierError, match="FunctionClassifier cannot be exported"):
        export_onnx(dark, tmp_path / "a.onnx")
    module = load_classifier(nn.Flatten(), classes=LABELS, input_size=4)
    with pytest.raises(ModelFileError, match=r"ends in \.onnx"):
        export_onnx(module, tmp_path / "a.pt")

    class Branches(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))

    with pytest.raises(ClassifierError, match="torch cannot export this module"):
        export_onnx(load_classifier(Branches(), classes=LABELS, input_size=4), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
