import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file as save_tensors
from torch import nn

from slidewin.classifier import load_classifier, save_file, storage
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ClassifierError, ModelFileError, OutputExistsError

CLASSES = ["background", "melanoma"]
SIDE = 8


def patches(n: int = 4, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


def small(**description) -> ModuleClassifier:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 2, 3),
        nn.Flatten(),
    )
    return of(module, **description)


def of(module, **description):
    return load_classifier(module, classes=CLASSES, input_size=SIDE, **description)


def kept(classifier, folder: Path):
    path = folder / "kept.safetensors"
    save_file(classifier, path, overwrite=True)
    return load_classifier(path)


def rewritten(path: Path, change) -> Path:
    """A model file with its description changed and its weights left alone."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"]["slidewin"])
    description = change(description) or description
    header["__metadata__"]["slidewin"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "small.safetensors"
    save_file(small(), path)
    return path


def test_a_classifier_comes_back_as_it_was(network, tmp_path):
    network.module.train()
    network.target, network.context = "other_lesion", 1.5
    network.thresholds = {"melanoma": 0.7, "lesion": 0.25}
    network.about = {"data": ["ä", 1, 0.1, None], "versions": {"torch": "2"}}
    back = kept(network, tmp_path)
    assert repr(back) == repr(network)
    for name in ("target", "context", "thresholds", "about", "mean", "std", "logits"):
        assert getattr(back, name) == getattr(network, name), name
    assert back.fingerprint() == network.fingerprint()
    expected = network.predict_proba(patches(side=64))
    np.testing.assert_array_equal(back.predict_proba(patches(side=64)), expected)
    assert network.module.training
    assert not back.module.training


@pytest.mark.parametrize("options", [{"logits": False}, {"mean": (0.1, 0.2, 0.3), "std": 0.1}])
def test_how_a_patch_becomes_probabilities_is_kept(options, tmp_path):
    chain = nn.Sequential(nn.Conv2d(3, 2, SIDE), nn.Flatten())
    if "logits" in options:
        chain.append(nn.Softmax(dim=1))
    classifier = of(chain, **options)
    expected = classifier.predict_proba(patches())
    np.testing.assert_array_equal(kept(classifier, tmp_path).predict_proba(patches()), expected)


POINTWISE = st.sampled_from(
    [
        nn.ReLU(inplace=True),
        nn.LeakyReLU(0.2),
        nn.ELU(0.5),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Dropout(0.5),
        nn.Dropout2d(0.5, inplace=True),
    ]
)


@st.composite
def chains(draw) -> nn.Sequential:
    """Chains of layers that can be stored, with their options, from 3 channels to 2 logits."""
    layers: list[nn.Module] = []
    channels = 3
    for _ in range(draw(st.integers(0, 3))):
        out = draw(st.sampled_from([2, 4]))
        kernel = draw(st.sampled_from([1, 3, (3, 1)]))
        mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
        conv = nn.Conv2d(
            channels,
            out,
            kernel,
            padding=draw(st.sampled_from([0, 1, "same"])),
            padding_mode=mode,
            bias=draw(st.booleans()),
            groups=draw(st.sampled_from([1, 2])) if channels % 2 == 0 else 1,
        )
        layers += [conv, draw(POINTWISE)]
        channels = out
    if draw(st.booleans()):
        layers.append(nn.BatchNorm2d(channels, eps=1e-3, affine=draw(st.booleans())))
    pool = [
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
        nn.AvgPool2d((2, 1), ceil_mode=True, divisor_override=3),
        nn.MaxPool2d(2, stride=1, ceil_mode=True),
        nn.AdaptiveAvgPool2d((None, 2)),
    ]
    layers += [draw(st.sampled_from(pool)), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers.append(nn.Linear(channels, 2, bias=draw(st.booleans())))
    start = draw(st.integers(0, 2))
    named = {
        f"layer{i}" if draw(st.booleans()) else str(i + start): x for i, x in enumerate(layers)
    }
    chain = nn.Sequential()
    for name, layer in named.items():
        chain.add_module(name, layer)
    return chain.to(draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16])))


@settings(max_examples=60, deadline=None)
@given(chain=chains())
def test_every_chain_of_plain_layers_comes_back(chain, tmp_path_factory):
    classifier = of(chain)
    back = kept(classifier, tmp_path_factory.mktemp("chain"))
    assert back.fingerprint() == classifier.fingerprint()
    assert str(back.module) == str(chain)
    np.testing.assert_array_equal(
        back.predict_proba(patches()), classifier.predict_proba(patches())
    )


def test_a_layer_that_stands_in_a_chain_twice_comes_back_as_two(tmp_path):
    conv, relu = nn.Conv2d(3, 3, 3), nn.ReLU()
    chain = nn.Sequential(conv, relu, conv, relu, nn.Conv2d(3, 2, 4), nn.Flatten())
    expected = of(chain).predict_proba(patches())
    back = kept(of(chain), tmp_path)
    np.testing.assert_array_equal(back.predict_proba(patches()), expected)
    assert len(list(back.module.parameters())) == 6


def test_weights_that_are_a_view_of_others_come_back(tmp_path):
    chain = nn.Sequential(nn.Conv2d(3, 2, SIDE), nn.Flatten())
    chain[0].weight = nn.Parameter(torch.randn(SIDE, SIDE, 3, 4).permute(3, 2, 0, 1)[:2])
    np.testing.assert_array_equal(
        kept(of(chain), tmp_path).predict_proba(patches()), of(chain).predict_proba(patches())
    )


# What cannot be saved.


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 2, SIDE), nn.Flatten())

    def forward(self, x):
        return self.layers(x)


class Chain(nn.Sequential):
    def forward(self, x):
        return -super().forward(x)


class Conv2d(nn.Conv2d):
    """By its name a plain layer."""


class Last(nn.Module):
    def forward(self, x):
        return x.flatten(1)


def pruned() -> nn.Sequential:
    chain = nn.Sequential(nn.Conv2d(3, 2, SIDE), nn.Flatten())
    chain[0].weight_mask = nn.Parameter(torch.ones(2))
    return chain


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (Plain(), r"Plain cannot be saved without its code; only a torch.nn.Sequential of these"),
        (Chain(nn.Conv2d(3, 2, SIDE), nn.Flatten()), r"Chain cannot be saved without its code"),
        (nn.Conv2d(3, 2, SIDE), r"Conv2d cannot be saved without its code"),
        (nn.Sequential(nn.Conv2d(3, 2, SIDE), Last()), r"the layer Last cannot .*these can: Adap"),
        (nn.Sequential(Conv2d(3, 2, SIDE), nn.Flatten()), r"the layer Conv2d cannot be saved"),
        (nn.Sequential(nn.Sequential(), nn.Flatten()), r"the layer Sequential cannot be saved"),
        (nn.Sequential(nn.Conv2d(3, 2, SIDE), nn.LayerNorm(1)), r"the layer LayerNorm cannot"),
        (pruned(), r"would not come back from a file as it is"),
    ],
)
def test_a_module_that_needs_its_code_is_refused_and_nothing_is_written(
    module, complaint, tmp_path
):
    with pytest.raises(ClassifierError, match=complaint):
        save_file(of(module), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_function_is_not_saved(dark, tmp_path):
    with pytest.raises(ClassifierError, match=r"FunctionClassifier cannot be saved"):
        save_file(dark, tmp_path / "a.safetensors")


def test_what_is_known_must_be_json(tmp_path):
    classifier = small()
    for value, complaint in ((np.float32(0.9), "float32"), (float("nan"), "not JSON compliant")):
        classifier.about = {"auc": value}
        with pytest.raises(
            ClassifierError, match=rf"about: cannot be written as JSON .*{complaint}"
        ):
            save_file(classifier, tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["a.pt", "a.onnx", "a", "a.safetensors.zip"])
def test_other_suffixes_are_refused_before_anything_is_written(name, tmp_path):
    with pytest.raises(ModelFileError, match=r"kept in \.safetensors files"):
        save_file(small(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(saved):
    before = saved.read_bytes()
    with pytest.raises(OutputExistsError, match=r"is already there"):
        save_file(small(mean=0.5), saved)
    assert saved.read_bytes() == before
    save_file(small(mean=0.5), saved, overwrite=True)
    assert load_classifier(saved).mean == (0.5, 0.5, 0.5)


def test_the_same_classifier_gives_the_same_file(saved, tmp_path):
    save_file(small(), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


# What cannot be loaded.


@pytest.mark.parametrize("name", ["absent.safetensors", "folder.safetensors"])
def test_a_file_that_is_not_there_is_named(name, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(ModelFileError, match=rf"{name}: no such file"):
        load_classifier(tmp_path / name)


def test_a_file_cut_anywhere_is_refused(saved):
    data = saved.read_bytes()
    for length in {*range(0, len(data), 37), 1, 7, 8, 9, len(data) - 1}:
        saved.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"small.safetensors: not a whole safetensors"):
            load_classifier(saved)
    saved.write_bytes(data + b"\0")
    with pytest.raises(ModelFileError, match=r"not a whole safetensors file"):
        load_classifier(saved)


def test_a_damaged_header_is_refused_or_harmless(saved):
    rng = np.random.default_rng(0)
    data = saved.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(8 + length)] = rng.integers(256)
        saved.write_bytes(damaged)
        try:
            assert isinstance(load_classifier(saved), ModuleClassifier)
        except ModelFileError:
            refused += 1
    assert refused > 100


def test_weights_alone_are_not_enough(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_tensors(nn.Conv2d(3, 2, 8).state_dict(), path)
    with pytest.raises(ModelFileError, match=r"weights alone; .*load_classifier\(module, classes"):
        load_classifier(path)


def put(*keys, value):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = value

    return change


def of_three_classes(description):
    description["classes"] = ["a", "b", "melanoma"]
    description["bias"] = [0.0, 0.0, 0.0]


def drop(*keys):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        del description[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            put("format", value="slidewin-9"),
            r"'slidewin-9', where 'slidewin-1' is read; slidewin .* wrote it, .*update slidewin",
        ),
        (drop("format"), r"KeyError: 'format'"),
        (drop("classes"), r"KeyError: 'classes'"),
        (drop("layers", 0, "kind"), r"KeyError: 'kind'"),
        (drop("layers", 0, "in_channels"), r"in_channels"),
        (put("layers", 0, "kind", value="Bilinear"), r"unknown layer 'Bilinear'; known are Adapt"),
        (put("layers", 0, "kind", value="__import__"), r"unknown layer '__import__'"),
        (put("layers", 0, "kind", value=["Conv2d"]), r"TypeError"),
        (put("layers", 0, "out_channels", value=5), r"size mismatch for 0.weight"),
        (put("layers", 0, "out_channels", value=10**12), r"size mismatch for 0.weight"),
        (put("layers", 0, "out_channels", value=10**20), r"Error"),
        (put("layers", 0, "groups", value=0), r"groups"),
        (put("layers", 0, "bias", value=True), r"Missing key.*0.bias"),
        (put("layers", 3, "bias", value=False), r"Unexpected key.*3.bias"),
        (put("layers", 0, "name", value="a.b"), r"KeyError"),
        (put("layers", 0, "name", value="forward"), r"KeyError"),
        (put("layers", 0, "name", value=3), r"TypeError"),
        (put("layers", value=[]), r"Unexpected key"),
        (put("layers", value=7), r"TypeError"),
        (put("layers", value={"kind": "ReLU"}), r"TypeError"),
        (put("classes", value="ab"), r"classes='ab'"),
        (put("classes", value=["melanoma"]), r"two different labels"),
        (put("input_size", value="64"), r"input_size='64'"),
        (put("input_size", value=None), r"input_size=None"),
        (put("input_size", value=6), r"its layers do not take 6 x 6 pixels"),
        (put("input_size", value=9), r"shape \(1, 8\) for 1 patches; \(1, 2\) is needed"),
        (put("input_size", value=10**6), r"input_size 1000000, where at most 4096"),
        (put("classes", value=["a", "b", "melanoma"]), r"bias=.*one finite number for each of 3"),
        (of_three_classes, r"shape \(1, 2\) .*each of the classes \['a', 'b', 'melanoma'\]"),
        (put("temperature", value=0), r"temperature=0"),
        (put("bias", value=[0.5]), r"bias=\[0.5\]"),
        (put("context", value=10**400), r"OverflowError"),
        (put("context", value=0), r"context=0"),
        (put("target", value="nevus"), r"target='nevus'"),
        (put("thresholds", value=[0.5]), r"thresholds=\[0.5\]"),
        (put("thresholds", value={"melanoma": 7}), r"thresholds\['melanoma'\]=7"),
        (put("mean", value=[0.5, 0.5]), r"mean="),
        (put("std", value=0), r"std="),
        (put("about", value=3), r"TypeError"),
        (lambda description: [description], r"TypeError"),
        (lambda description: "slidewin-1", r"TypeError"),
    ],
)
def test_a_description_that_does_not_fit_is_one_error_that_names_the_file(change, complaint, saved):
    with pytest.raises(ModelFileError, match=rf"(?s)small.safetensors: its descr.*{complaint}"):
        load_classifier(rewritten(saved, change))


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 10**5, '{"format": "slidewin-1"}'])
def test_a_description_that_is_no_description_is_refused(text, tmp_path):
    path = tmp_path / "a.safetensors"
    save_tensors({"0.weight": torch.zeros(1)}, path, metadata={"slidewin": text})
    with pytest.raises(ModelFileError, match=r"a\.safetensors: its description"):
        load_classifier(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is counted otherwise")
def test_sizes_that_a_file_merely_claims_are_not_allocated(saved):
    import resource

    def peak_megabytes():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = peak_megabytes()
    change = put("layers", 0, "out_channels", value=10_000_000)  # a gigabyte of weights
    with pytest.raises(ModelFileError, match="size mismatch"):
        load_classifier(rewritten(saved, change))
    assert peak_megabytes() - before < 200


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        (nn.Conv2d(3, 2, 3, padding=10**5), r"padding \[?\(?100000"),
        (nn.AdaptiveAvgPool2d(10**5), r"a map of shape \(1, 3, 100000, 100000\)"),
    ],
)
def test_a_layer_whose_output_would_fill_the_memory_is_refused(layer, complaint, tmp_path):
    path = tmp_path / "a.safetensors"
    description = {
        "format": "slidewin-1",
        "layers": storage._describe(nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten())),
        "classes": CLASSES,
        "input_size": SIDE,
        "context": 2.0,
        "target": None,
        "thresholds": {},
        "mean": 0,
        "std": 1,
        "logits": True,
        "about": {},
    }
    tensors = {f"0.{name}": tensor for name, tensor in layer.state_dict().items()}
    save_tensors(tensors, path, metadata={"slidewin": json.dumps(description)})
    with pytest.raises(ModelFileError, match=rf"its description.*{complaint}"):
        load_classifier(path)


def test_a_file_from_before_an_option_was_kept_is_read_as_it_was_meant(saved):
    def change(description):
        for layer in description["layers"]:
            layer.pop("inplace", None)
            layer.pop("padding_mode", None)

    np.testing.assert_array_equal(
        load_classifier(rewritten(saved, change)).predict_proba(patches()),
        small().predict_proba(patches()),
    )
