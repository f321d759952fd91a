import io
import json
import os
import pickle
import zipfile
from functools import partial

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skops.io import dump, dumps

from slidewin.classifier import load_classifier, save_file
from slidewin.classifier.estimator import EstimatorClassifier
from slidewin.errors import ClassifierError, ModelFileError, OutputExistsError
from slidewin.features import patch_classifier

SIDE = 8
PATCHES = np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), np.uint8)
PATCHES[::3] //= 4
LABELS = np.array(["melanoma", "background", "other_lesion"])[np.arange(60) % 3]


def fitted(estimator=None):
    estimator = HistGradientBoostingClassifier(max_iter=3) if estimator is None else estimator
    return patch_classifier(estimator).fit(PATCHES.reshape(60, -1), LABELS)


def classifier_of(estimator=None, **description):
    return EstimatorClassifier(fitted(estimator), **description)


@pytest.fixture(scope="module")
def boosted():
    return fitted()


@pytest.fixture
def saved(boosted, tmp_path):
    path = tmp_path / "small.skops"
    save_file(EstimatorClassifier(boosted), path)
    return path


def test_a_classifier_comes_back_as_it_was(boosted, tmp_path):
    classifier = EstimatorClassifier(
        boosted,
        context=1.5,
        target="lesion",
        thresholds={"melanoma": 0.7, "lesion": 0.25},
        about={"data": ["ä", 1, 0.1, None]},
    )
    save_file(classifier, tmp_path / "a.skops")
    back = load_classifier(tmp_path / "a.skops")
    assert repr(back) == repr(classifier)
    for name in ("target", "context", "thresholds", "about"):
        assert getattr(back, name) == getattr(classifier, name), name
    assert back.fingerprint() == classifier.fingerprint()
    assert back.share(SIDE // 2).saving == 4
    np.testing.assert_array_equal(back.predict_proba(PATCHES), classifier.predict_proba(PATCHES))


def test_calibration_is_kept_and_counts_for_windows_that_share_too(boosted, tmp_path):
    plain = EstimatorClassifier(boosted)
    classifier = EstimatorClassifier(boosted, temperature=2.0, bias=(0.0, -1.0, 0.5))
    powers = np.sqrt(plain.predict_proba(PATCHES)) * np.exp([0.0, -1.0, 0.5])
    by_hand = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(PATCHES), by_hand, atol=1e-6)
    image = np.concatenate(PATCHES[:4], axis=1)
    shared = classifier.share(SIDE).predict(image, [0], [0, SIDE, 2 * SIDE, 3 * SIDE])
    np.testing.assert_allclose(shared[0], by_hand[:4], atol=1e-6)
    assert classifier.fingerprint() != plain.fingerprint()
    save_file(classifier, tmp_path / "a.skops")
    back = load_classifier(tmp_path / "a.skops")
    assert (back.temperature, back.bias) == (classifier.temperature, classifier.bias)
    assert back.fingerprint() == classifier.fingerprint()


def test_names_given_to_classes_are_kept(boosted, tmp_path):
    save_file(EstimatorClassifier(boosted, classes=["skin", "mel", "nevus"]), tmp_path / "a.skops")
    assert load_classifier(tmp_path / "a.skops").classes_.tolist() == ["skin", "mel", "nevus"]


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=2000),
        make_pipeline(StandardScaler(), LogisticRegression()),
        *(
            CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=2), cv=2, method=method)
            for method in ("sigmoid", "isotonic", "temperature")
        ),
    ],
    ids=["linear", "scaled", "sigmoid", "isotonic", "temperature"],
)
def test_scikit_learn_s_own_steps_are_loaded_unasked(estimator, tmp_path):
    classifier = classifier_of(estimator)
    save_file(classifier, tmp_path / "a.skops")
    back = load_classifier(str(tmp_path / "a.skops"))
    np.testing.assert_array_equal(back.predict_proba(PATCHES), classifier.predict_proba(PATCHES))


# What cannot be saved.


def test_only_estimators_are_saved_as_skops(dark, network, tmp_path):
    for classifier in (dark, network):
        with pytest.raises(ClassifierError, match=r"Classifier cannot be saved as skops; only"):
            save_file(classifier, tmp_path / "a.skops")
    assert not list(tmp_path.iterdir())


def test_an_estimator_is_not_saved_as_safetensors(boosted, tmp_path):
    with pytest.raises(ClassifierError, match=r"estimator is saved to a path that ends in \.skops"):
        save_file(EstimatorClassifier(boosted), tmp_path / "a.safetensors")


def test_a_step_that_a_file_cannot_hold_is_refused_and_nothing_is_written(tmp_path):
    steps = make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression(max_iter=2000))
    with pytest.raises(ClassifierError, match=r"Pipeline cannot be saved as skops"):
        save_file(classifier_of(steps), tmp_path / "a.skops")
    assert not list(tmp_path.iterdir())


def test_what_is_known_must_be_json(boosted, tmp_path):
    with pytest.raises(ClassifierError, match=r"about: cannot be written as JSON"):
        save_file(EstimatorClassifier(boosted, about={"auc": np.float32(1)}), tmp_path / "a.skops")


def test_nothing_is_overwritten_unasked(saved, boosted):
    with pytest.raises(OutputExistsError, match="is already there"):
        save_file(EstimatorClassifier(boosted), saved)
    save_file(EstimatorClassifier(boosted, context=3), saved, overwrite=True)
    assert load_classifier(saved).context == 3


# What cannot be loaded.


class Canary:
    """Unpickled, it leaves a folder behind: what anyone's code could do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickled_file_under_another_name_is_not_run(tmp_path):
    model = tmp_path / "a.skops"
    model.write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(ModelFileError, match=r"a\.skops: not a whole skops file"):
        load_classifier(model)
    assert not (tmp_path / "canary").exists()


def test_types_that_slidewin_does_not_save_are_named_and_not_built(saved, tmp_path):
    def call(path):
        step = FunctionTransformer(partial(os.mkdir, str(tmp_path / "canary")))
        dump({"slidewin": "{}", "estimator": step}, path)

    call(saved)
    with pytest.raises(
        ModelFileError, match=r"small\.skops: holds .*mkdir, which .*trusted=True"
    ) as refused:
        load_classifier(saved)
    assert "partial" in str(refused.value)
    assert not (tmp_path / "canary").exists()


def test_other_types_are_loaded_when_trusted(tmp_path):
    classifier = classifier_of(ExtraTreesClassifier(3, random_state=0))
    save_file(classifier, tmp_path / "a.skops")
    with pytest.raises(ModelFileError, match=r"holds sklearn\.tree\._tree\.Tree, which"):
        load_classifier(tmp_path / "a.skops")
    back = load_classifier(tmp_path / "a.skops", trusted=True)
    np.testing.assert_array_equal(back.predict_proba(PATCHES), classifier.predict_proba(PATCHES))


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 10**6), ("right", 2**32 - 1), ("left", 0), ("feature_idx", 10**6)],
)
def test_a_tree_that_would_lead_out_of_memory_is_refused(field, value, tmp_path):
    estimator = fitted()
    nodes = estimator["classifier"]._predictors[0][0].nodes
    assert not nodes["is_leaf"][0]
    nodes[field][0] = value
    with pytest.raises(ModelFileError, match=r"a tree's branches lead nowhere"):
        load_classifier(written(estimator, tmp_path / "a.skops"))


def written(estimator, path):
    # Not with save_file, which looks at the answers first.
    content = {"slidewin": description_of(EstimatorClassifier(fitted())), "estimator": estimator}
    path.write_bytes(dumps(content))
    return path


def unlike_its_columns(step):
    def change(trees):
        trees.n_features_in_ = 2**30
        trees._predictors[0][0].nodes["feature_idx"][0] = 2**30 - 1
        trees._preprocessor = step

    return change


def as_if_in_fit(trees):
    trees._in_fit = True


def by_another_method(trees):
    trees._preprocess_X = np.positive


def behind_a_mask(trees):
    tree = trees._predictors[0][0]
    tree.nodes["feature_idx"][0] = 2**30
    tree.nodes = np.ma.MaskedArray(tree.nodes, mask=np.arange(len(tree.nodes)) == 0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            unlike_its_columns(FunctionTransformer()),
            r"holds .*FunctionTransformer, which .*trusted",
        ),
        (unlike_its_columns(StandardScaler()), r"trees of categories cannot be checked"),
        (as_if_in_fit, r"do not look at how many columns"),
        (by_another_method, r"HistGradientBoostingClassifier has another _preprocess_X"),
        (behind_a_mask, r"nodes are a MaskedArray"),
    ],
)
def test_a_tree_is_refused_where_nobody_looks_at_its_columns(change, complaint, tmp_path):
    estimator = fitted()
    change(estimator["classifier"])
    with pytest.raises(ModelFileError, match=complaint):
        load_classifier(written(estimator, tmp_path / "a.skops"))


def test_an_estimator_that_is_not_checked_needs_trust(tmp_path):
    path = tmp_path / "a.skops"
    save_file(classifier_of(GaussianNB()), path)
    for trusted in (False, None, 1, "yes"):
        with pytest.raises(ModelFileError, match=r"holds sklearn\.naive_bayes\.GaussianNB, which"):
            load_classifier(path, trusted=trusted)
    assert load_classifier(path, trusted=True).predict_proba(PATCHES).shape == (60, 3)


def description_of(classifier, **changes):
    names = ("input_size", "context", "target", "thresholds", "temperature", "bias", "about")
    description = {
        "format": "slidewin-skops-1",
        "version": "0",
        "classes": classifier.classes_.tolist(),
        **{name: getattr(classifier, name) for name in names},
    }
    return json.dumps(description | changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "slidewin-skops-9"}, r"'slidewin-skops-9', where .*update slidewin"),
        ({"classes": ["a", "other_lesion"]}, r"2 labels for an estimator of 3 classes"),
        ({"classes": "abc"}, r"classes='abc'"),
        ({"temperature": 0}, r"temperature=0"),
        ({"bias": [0]}, r"bias=\[0\]"),
        ({"input_size": 9}, r"input_size=9"),
        ({"input_size": "8"}, r"TypeError"),
        ({"input_size": 10**9}, r"input_size 1000000000"),
        ({"context": 0}, r"context=0"),
        ({"target": "nevus"}, r"target='nevus'"),
        ({"thresholds": {"melanoma": 7}}, r"thresholds\['melanoma'\]=7"),
        ({"about": 3}, r"TypeError"),
    ],
)
def test_a_description_that_does_not_fit_is_one_error_that_names_the_file(
    changes, complaint, boosted, tmp_path
):
    text = description_of(EstimatorClassifier(boosted), **changes)
    dump({"slidewin": text, "estimator": boosted}, tmp_path / "a.skops")
    with pytest.raises(ModelFileError, match=rf"(?s)a\.skops: its description.*{complaint}"):
        load_classifier(tmp_path / "a.skops")


@pytest.mark.parametrize("content", [{}, [1], {"slidewin": "{"}, LogisticRegression()])
def test_a_skops_file_of_something_else_is_refused(content, tmp_path):
    dump(content, tmp_path / "a.skops")
    with pytest.raises(ModelFileError, match=r"a\.skops: its description"):
        load_classifier(tmp_path / "a.skops")


@pytest.mark.parametrize("name", ["absent.skops", "folder.skops"])
def test_a_file_that_is_not_there_is_named(name, tmp_path):
    (tmp_path / "folder.skops").mkdir()
    with pytest.raises(ModelFileError, match=rf"{name}: no such file"):
        load_classifier(tmp_path / name)


def test_a_damaged_file_is_refused_or_harmless(saved):
    data = saved.read_bytes()
    rng = np.random.default_rng(0)
    for length in (0, 1, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match="not a whole skops file"):
            load_classifier(saved)
    refused = 0
    for _ in range(40):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        try:
            load_classifier(saved)
        except ModelFileError:
            refused += 1
    assert refused


def test_files_are_compressed(saved):
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
