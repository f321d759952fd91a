"""Keras models, run by torch."""

import os
import pickle

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is first imported
keras = pytest.importorskip("keras")

from slidewin.classifier import load_classifier  # noqa: E402
from slidewin.classifier.keras import KerasClassifier  # noqa: E402
from slidewin.errors import ArgumentError, ClassifierError  # noqa: E402

LABELS = ["background", "other_lesion", "melanoma"]
PATCHES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
MEANS = PATCHES.mean(axis=(1, 2)) / 255  # (5, 3)


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def means(*layers, shape=(4, 4, 3), **options):
    """A model that returns each patch's mean red, green and blue."""
    pooling = keras.layers.GlobalAveragePooling2D(
        data_format="channels_first" if shape[-1] != 3 else "channels_last"
    )
    return keras.Sequential([keras.Input(shape, **options), pooling, *layers])


@pytest.mark.parametrize(
    ("options", "description"),
    [
        ({}, {}),
        ({"shape": (None, None, 3)}, {"input_size": 4}),
        ({"shape": (3, 4, 4)}, {}),
        ({"batch_size": 2}, {}),
    ],
)
def test_the_layout_and_the_batch_are_read_from_the_model(options, description):
    classifier = load_classifier(means(**options), classes=LABELS, **description)
    assert isinstance(classifier, KerasClassifier)
    assert classifier.input_size == 4
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), softmax(MEANS), atol=1e-6)


def test_pixels_are_normalised_as_described():
    classifier = load_classifier(means(), classes=LABELS, mean=(0.1, 0.2, 0.3), std=0.5)
    expected = softmax((MEANS - (0.1, 0.2, 0.3)) / 0.5)
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), expected, atol=1e-6)


def test_a_model_that_scales_its_input_itself_gets_0_to_255():
    model = means(keras.layers.Rescaling(1 / 255))
    classifier = load_classifier(model, classes=LABELS, std=1 / 255)
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), softmax(MEANS), atol=1e-5)


def test_whole_numbers_are_pixels_as_they_are():
    model = means(keras.layers.Rescaling(1 / 255), dtype="uint8")
    found = load_classifier(model, classes=LABELS).predict_proba(PATCHES)
    np.testing.assert_allclose(found, softmax(MEANS), atol=0.01)
    for scaling in ({"mean": 0.5}, {"std": 1 / 255}):
        with pytest.raises(ArgumentError, match="Sequential takes pixels as they are"):
            load_classifier(model, classes=LABELS, **scaling)
    with pytest.raises(ClassifierError, match="of int32; one of float32"):
        load_classifier(means(dtype="int32"), classes=LABELS)


def test_probabilities_and_one_column():
    model = means(keras.layers.Softmax())
    with pytest.raises(ClassifierError, match="probabilities already"):
        load_classifier(model, classes=LABELS).predict_proba(PATCHES)
    found = load_classifier(model, classes=LABELS, logits=False).predict_proba(PATCHES)
    np.testing.assert_allclose(found, softmax(MEANS), atol=1e-6)
    one = means(keras.layers.Dense(1, kernel_initializer="ones", activation="sigmoid"))
    found = load_classifier(one, classes=["no", "yes"], logits=False).predict_proba(PATCHES)
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-MEANS.sum(axis=1))), atol=1e-6)


def test_dropout_and_batch_norm_are_those_of_inference():
    layers = [keras.layers.BatchNormalization(epsilon=0.0), keras.layers.Dropout(0.5)]
    model = means(*layers)
    before = [w.value.detach().numpy().copy() for w in model.variables]
    classifier = load_classifier(model, classes=LABELS)
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), softmax(MEANS), atol=1e-6)
    after = [w.value.detach().numpy().copy() for w in model.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


class Subclassed(keras.Model):
    def __init__(self, several=False):
        super().__init__()
        self.pooling = keras.layers.GlobalAveragePooling2D()
        self.several = several

    def call(self, x, training=False):
        pooled = self.pooling(x)
        return {"scores": pooled} if self.several else pooled


def test_a_model_that_does_not_declare_its_input_needs_the_size():
    with pytest.raises(ArgumentError, match="input_size: Subclassed takes inputs of any size"):
        load_classifier(Subclassed(), classes=LABELS)
    classifier = load_classifier(Subclassed(), classes=LABELS, input_size=4)
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), softmax(MEANS), atol=1e-6)


def test_a_model_that_does_not_fit_is_refused_in_words():
    with pytest.raises(ArgumentError, match="classes: needed for Sequential"):
        load_classifier(means())
    with pytest.raises(ArgumentError, match="input_size=8: Sequential takes 4 x 4 pixels"):
        load_classifier(means(), classes=LABELS, input_size=8)
    with pytest.raises(ClassifierError, match=r"shape \(5, 3\) for 5 patches; \(5, 2\)"):
        load_classifier(means(), classes=["a", "b"]).predict_proba(PATCHES)
    with pytest.raises(ClassifierError, match="square colour patches"):
        load_classifier(means(shape=(4, 4, 1)), classes=LABELS)
    several = load_classifier(Subclassed(several=True), classes=LABELS, input_size=4)
    with pytest.raises(ClassifierError, match="returned dict; one tensor"):
        several.predict_proba(PATCHES)
    inputs = [keras.Input((4, 4, 3)), keras.Input((1,))]
    pooled = keras.layers.GlobalAveragePooling2D()(inputs[0])
    two = keras.Model(inputs, keras.layers.Concatenate()([pooled, inputs[1]]))
    with pytest.raises(ClassifierError, match=r"Functional takes \[.*one input is needed"):
        load_classifier(two, classes=LABELS)


def test_a_model_in_a_function_does_as_well():
    model = means()

    def ask(patches):
        import torch

        with torch.no_grad():
            return softmax(np.asarray(model(patches / np.float32(255), training=False)))

    classifier = load_classifier(ask, classes=LABELS, input_size=4)
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), softmax(MEANS), atol=1e-6)


# Keras converts torch's tensors in a way that NumPy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_fingerprint_is_that_of_weights_and_description():
    model = means(keras.layers.Dense(3))
    classifier = load_classifier(model, classes=LABELS)
    before = classifier.fingerprint()
    assert load_classifier(model, classes=LABELS, target="lesion").fingerprint() == before
    assert load_classifier(model, classes=LABELS, mean=0.5).fingerprint() != before
    sent = pickle.loads(pickle.dumps(classifier))
    assert sent.fingerprint() == before
    np.testing.assert_allclose(sent.predict_proba(PATCHES), classifier.predict_proba(PATCHES))
    model.layers[-1].bias.assign([1.0, 0.0, 0.0])
    assert classifier.fingerprint() != before


def test_a_file_of_keras_is_to_be_opened_by_its_owner(tmp_path):
    with pytest.raises(ArgumentError, match=r"m\.keras: .*keras\.saving\.load_model\(path\)"):
        load_classifier(tmp_path / "m.keras", classes=LABELS)
