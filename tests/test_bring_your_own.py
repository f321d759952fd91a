"""Anybody's classifier, from one call to a map: each map is what the classifier itself says."""

import os

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

import slidewin
from slidewin.classifier import check, export_onnx, load_classifier

CLASSES = ["background", "melanoma"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def photo():
    return slidewin.draw_scene((120, 160), random_state=3).photo


def windows(grid, photo):
    """The windows of a grid of one level, whose scale is the photo's own."""
    (level,) = grid.levels
    assert tuple(level.shape) == photo.shape[:2]
    side = level.side
    corners = [(top, left) for top in level.tops for left in level.lefts]
    return np.stack([photo[t : t + side, c : c + side] for t, c in corners]), level.lattice


def assert_mapped(classifier, photo, expected, atol=1e-6):
    """`locate` maps what `expected` answers for each window of the photo."""
    # Lesions as large as it was trained on: the photo need not be resampled.
    size = classifier.input_size / classifier.context
    found = slidewin.locate(photo, classifier, lesion_size=size, verbose=0)
    grid = slidewin.SlidingWindow(classifier, lesion_size=size).plan(photo.shape)
    patches, lattice = windows(grid, photo)
    heat = expected(patches)[:, classifier.target_columns()].sum(axis=1).reshape(lattice)
    (layer,) = found.heatmap.layers
    np.testing.assert_allclose(layer.values, heat, atol=atol)
    assert found.assessed.all()
    return found


class Block(nn.Module):
    """Two convolutions and a way round them: He et al., https://arxiv.org/abs/1512.03385."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.way_round = nn.Identity()
        if channels != out:
            self.way_round = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        return torch.relu(self.body(x) + self.way_round(x))


def resnet18(n_classes):
    stem = [nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers = [*stem, nn.MaxPool2d(3, 2, padding=1)]
    for channels, out in [(64, 64), (64, 128), (128, 256), (256, 512)]:
        layers += [Block(channels, out, 1 if channels == out else 2), Block(out, out, 1)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, n_classes)]
    return nn.Sequential(*layers)


def assert_module_is_mapped(module, photo):
    def expected(patches):
        x = (patches / 255 - np.array(MEAN)) / np.array(STD)
        x = torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float32)
        with torch.no_grad():
            return module.eval()(x).softmax(dim=1).numpy()

    classifier = load_classifier(module, classes=CLASSES, input_size=64, mean=MEAN, std=STD)
    assert check(classifier).ok
    assert_mapped(classifier, photo, expected, atol=1e-5)


def test_a_resnet_18(photo):
    torch.manual_seed(0)
    module = resnet18(len(CLASSES))
    assert sum(p.numel() for p in module.parameters()) == 11_177_538  # torchvision's, 2 classes
    assert_module_is_mapped(module, photo)


def test_a_timm_backbone(photo):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    assert_module_is_mapped(timm.create_model("resnet18", num_classes=2), photo)


def test_an_onnx_export_of_the_embedded_classifier(photo, tmp_path):
    classifier = load_classifier()
    export_onnx(classifier, tmp_path / "default.onnx")
    exported = load_classifier(tmp_path / "default.onnx")
    assert exported.threshold() == classifier.threshold()
    found = assert_mapped(exported, photo, classifier.predict_proba, atol=1e-5)
    # Windows of an ONNX file go one by one, so half a lesion apart.
    same = slidewin.locate(photo, classifier, lesion_size=32, stride=0.5, verbose=0)
    np.testing.assert_allclose(found.pixels, same.pixels, atol=1e-5)
    assert check(exported).ok


def test_a_keras_model(photo):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )

    def expected(patches):
        with torch.no_grad():
            return model((patches / 255).astype(np.float32), training=False).numpy()

    classifier = load_classifier(model, classes=CLASSES, logits=False)
    assert check(classifier).ok
    assert_mapped(classifier, photo, expected)


def test_a_scikit_learn_pipeline(photo):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 16 * 16 * 3), np.uint8)
    y = np.array(CLASSES)[rng.integers(0, 2, 60)]
    pipeline = make_pipeline(PCA(8, random_state=0), LogisticRegression()).fit(x, y)

    def expected(patches):
        return pipeline.predict_proba(patches.reshape(len(patches), -1))

    classifier = load_classifier(pipeline)
    assert check(classifier).ok
    assert_mapped(classifier, photo, expected)


def test_a_model_of_transformers_that_returns_an_object(photo):
    class Output(dict):
        logits = property(lambda self: self["logits"])

    class ForImageClassification(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 2, 16), nn.Flatten())

        def forward(self, pixel_values):
            return Output(loss=None, logits=self.layers(pixel_values))

    torch.manual_seed(0)
    model = ForImageClassification()
    classifier = load_classifier(model, classes=CLASSES, input_size=16)
    plain = load_classifier(model.layers, classes=CLASSES, input_size=16)
    assert_mapped(classifier, photo, plain.predict_proba)
