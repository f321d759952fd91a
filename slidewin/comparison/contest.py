"""The contest: many localisers over many photos, in one call."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from slidewin.classifier import Classifier, load_classifier
from slidewin.comparison.entry import (
    TABLES,
    Dataset,
    check_count,
    check_labels,
    check_own,
    check_sweep,
    list_samples,
    look_through,
    refuse_leaks,
    refuse_other,
)
from slidewin.comparison.methods import (
    SWEEP,
    Localizer,
    Setup,
    choose_methods,
)
from slidewin.comparison.results import hash_file
from slidewin.comparison.run import run
from slidewin.comparison.table import Comparison, sort_rows
from slidewin.errors import ArgumentError
from slidewin.grid import LesionSize, check_size
from slidewin.output import make_folder, write_text
from slidewin.versions import versions
from slidewin.workers import count_workers

__all__ = ["MAX_PASSES", "compare"]

MAX_PASSES = 10_000
"""Most passes of the network that a comparison lets a method plan for a photo, unless told more."""


def compare(
    dataset: Dataset,
    classifier: Classifier | str | os.PathLike[str] | None = None,
    *,
    methods: str | Sequence[str] = "all",
    own: Mapping[str, Localizer] | None = None,
    validation: Dataset | None = None,
    target: str | None = None,
    labels: str | Sequence[str] | None = None,
    lesion_size: LesionSize | None = None,
    stride: float | None = None,
    attention: str | os.PathLike[str] | None = None,
    max_passes: int | None = MAX_PASSES,
    output: str | os.PathLike[str],
    overwrite: bool = False,
    n_draws: int = 1000,
    n_jobs: int | None = None,
    random_state: int = 0,
    verbose: int = 1,
) -> Comparison:
    """Compare the sweep with what else is called a heat map, on photos whose lesions are known.

    Every method is a localiser and gives a heat map; from there on all go one way. Raw maps enter
    as they are, stretched photo by photo, on one scale, and gated by the sweep.

    Parameters
    ----------
    dataset : path or sequence of Sample
        Photos with known lesions, as :func:`slidewin.comparison.open_dataset` opens them; without
        lesions, one or many.
    classifier : Classifier or path, optional
        From :func:`slidewin.load_classifier`, or what it takes; by default the embedded one.
    methods : str or sequence of str
        Names or patterns, such as ``"grad-cam@*"`` or ``"all"``. The sweep is always among them.
        A method of the CAM family looks at the last layer with a map, or at the one named after a
        colon: ``"grad-cam:19@levels"``.
    own : mapping of str to localiser, optional
        Others' methods by name: whatever has ``localize(photo)``, which returns a
        :class:`slidewin.HeatMap`. They travel to other processes, and so must pickle. Their maps
        are computed anew when what they hold or the source of their class has changed; of a change
        elsewhere, as in a function that they call, nothing is known: give them another name then.
    validation : path or sequence of Sample, optional
        Other photos, with lesions and without, of which scales, thresholds and the gate are chosen.
        Without them the figures that need these are absent, and the table says so.
    target : str, optional
        What is sought: a label, or ``"lesion"``; the classifier's own target by default.
    labels : str or sequence of str, optional
        Of which lesions are to be found, as the data sets label them, such as ``"melanoma"``. Those
        of other labels, or of none, are ignored: what is found there is neither right nor wrong.
        Photos that show those alone count as lesion-free outside of them. By default the lesions of
        all labels are to be found, whatever the target.
    lesion_size : float, str or pair of such, optional
        In photo pixels, or as ``"4%"`` of each photo's short side; one, or the smallest and the
        largest. By default 4 % to 40 %.
    stride : float, optional
        In lesion diameters, for what goes by windows; by default each method's own: half a lesion,
        and the sweep's a quarter where that costs no more.
    attention : path, optional
        What ``slidewin.saliency.AttentionPooling.save`` has saved, for the methods of that name.
        Lesion sizes and stride are those that it was fitted with.
    max_passes : int or None
        Methods that plan more passes of the network for a photo refuse it; None leaves each its
        own limit. With another limit, what was refused is tried again, and nothing else.
    output : path
        Folder for the maps and ``table.csv``, ``table.md``, ``table.json``. Maps that are there
        already, made with the same settings, are taken as they are: a comparison that was cut off
        goes on, and methods, validation photos or an attention may be added to one that is there.
    overwrite : bool
        Whether the tables of another comparison in that folder are replaced: of another classifier,
        target, labels, lesion size, stride, seed, or data, or with methods that this one leaves
        out. A classifier without a fingerprint may always be another.
    n_draws : int
        Draws of groups (patients, or photos) with replacement, for 95 % intervals.
    n_jobs : int, optional
        Methods at once, as for :class:`slidewin.SlidingWindow`. With more than one, seconds are
        those of a busy machine.
    random_state : int
        Seed of the draws and of methods that draw.
    verbose : int
        0 is silent.

    Returns
    -------
    Comparison

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is of no use, one of `own` does not pickle, no lesion has one of the labels,
        or a photo is in both sets.
    SlidewinError
        If the data or the classifier cannot be read, or the output not be written. A method that
        fails is a row of the table, with the reason.
    OutputExistsError
        If the folder has the tables of another comparison, and `overwrite` is false.

    Notes
    -----
    Each method runs in a process of its own, started for it: its seconds, its processor's seconds,
    and its memory beyond that of the process with the classifier loaded, are its own. Results of a
    classifier that has no fingerprint, such as a function, are not taken up again by a later call,
    which takes `overwrite` to write its tables to the same folder. Maps of a torch module are
    computed anew when the source of its classes has changed; of a change elsewhere, as in a
    function that its ``forward`` calls, nothing is known.

    The folder takes up to 4 bytes a pixel, method and photo; memory for scoring 16 kB a method,
    variant and photo, 30 bytes a pixel of the photo at hand, and 60 of the box round its lesions.

    References
    ----------
    Choe et al., "Evaluation for weakly supervised object localization: protocol, metrics, and
    datasets", IEEE TPAMI 2022, arXiv:2007.04178, on choosing with validation photos alone. Saporta
    et al., "Benchmarking saliency methods for chest X-ray interpretation", Nat. Mach. Intell. 4
    (2022), doi:10.1038/s42256-022-00536-x, on gating.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import slidewin
    >>> from slidewin.output import write_png
    >>> scene = slidewin.draw_scene((120, 160), lesion_size=16, random_state=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("photos", "masks"):
    ...         Path(folder, name).mkdir()
    ...     write_png(Path(folder, "photos", "a.png"), scene.photo)
    ...     write_png(Path(folder, "masks", "a.png"), scene.mask.astype(np.uint8) * 255)
    ...     compared = slidewin.compare(
    ...         folder, methods="baseline-uniform", lesion_size=16, output=f"{folder}/out",
    ...         verbose=0)
    >>> sorted(row.method for row in compared.rows if row.variant in ("as is", "raw"))
    ['baseline-uniform', 'sliding-window']
    """
    # What scores brings SciPy, which is slow to import and changes how Python warns.
    from slidewin.comparison.gallery import Gallery
    from slidewin.comparison.notes import how_done, verdict
    from slidewin.comparison.rows import make_rows
    from slidewin.comparison.score import score_maps

    if not isinstance(classifier, Classifier):
        classifier = load_classifier(classifier)
    classifier.target_columns(target)  # refuses a target that no class answers to
    lesion_size = check_size(lesion_size)
    n_draws = check_count("n_draws", n_draws, least=1)
    random_state = check_count("random_state", random_state, least=0)
    if max_passes is not None:
        max_passes = check_count("max_passes", max_passes, least=1)
    chosen = choose_methods(methods, own, classifier)
    check_own(own or {})
    # The sweep gates maps, and all are set against it.
    chosen = (SWEEP, *(name for name in chosen if name != SWEEP))
    setup = Setup(
        classifier,
        target=classifier.target if target is None else target,
        lesion_size=lesion_size,
        stride=stride,
        max_passes=max_passes,
        attention=None if attention is None else _existing(Path(attention)),
        random_state=random_state,
        own=dict(own or {}),
    )
    samples = list_samples(dataset, "dataset")
    held = () if validation is None else list_samples(validation, "validation")
    held = tuple(replace(one, name=f"validation/{one.name}") for one in held)
    refuse_leaks(samples, held)
    counting = check_labels(labels, samples)
    count_workers(n_jobs)  # refuses what is no number of workers
    shown = look_through(samples, "photos", n_jobs=n_jobs, verbose=verbose)
    chosen_on = look_through(held, "validation", n_jobs=n_jobs, verbose=verbose) if held else None
    check_sweep(setup, shown.shapes)
    if counting is not None:
        samples, held = (tuple(one.seeking(counting) for one in of) for of in (samples, held))
    asked = {
        "classifier": classifier.fingerprint(),
        "target": setup.target,
        "labels": counting,
        "lesion_size": lesion_size,
        "stride": stride,
        "max_passes": max_passes,
        "attention": None if setup.attention is None else hash_file(setup.attention),
        "random_state": random_state,
        "n_draws": n_draws,
        "photos": [sample.name for sample in samples],
        "dataset_sha256": shown.sha256,
        "validation": [sample.name for sample in held],
        "validation_sha256": None if chosen_on is None else chosen_on.sha256,
    }
    if not overwrite:
        refuse_other(Path(output), asked, chosen)
    folder = make_folder(output)

    made = run(
        chosen,
        (*samples, *held),
        setup,
        folder=folder / "maps",
        n_jobs=n_jobs,
        verbose=verbose,
    )
    scored = score_maps(made, chosen, samples, held, n_jobs=n_jobs, verbose=verbose)
    rows = make_rows(
        made, scored, chosen, samples, held, n_draws=n_draws, random_state=random_state
    )
    rows_sorted = sort_rows(rows)
    told = {
        **asked,
        "nms_radius": scored.radius,
        "gate": scored.gate,
        "scales": {name: scale.constant for name, scale in scored.scales.items()},
        "computed_maps": made.computed,
        "maps": len(made.paths),
        "versions": versions(),
    }
    compared = Comparison(
        rows_sorted,
        (
            *how_done(scored, samples, held, made, chosen, target=setup.target, labels=counting),
            *verdict(rows_sorted),
        ),
        told,
        Gallery(made, scored.scales, samples, scored.lesions, chosen),
    )
    texts = (compared.to_json(), compared.to_csv(), compared.to_markdown())
    for name, text in zip(TABLES, texts, strict=True):
        write_text(folder / name, text, overwrite=True)
    return compared


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ArgumentError(
            f"attention={str(path)!r}: no such file; give what AttentionPooling.save has saved"
        )
    return path
