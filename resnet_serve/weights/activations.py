"""The activation of a classifier: from the options, from its files, or from its images.

    --activation            as given
    the files say it        our metadata, transformers' `problem_type`, torchvision's own weights
    several labels an image sigmoid, an assumption
    several outputs         softmax, an assumption
    one output              not decided: the user is asked

With it come the thresholds and the two names of a network with one output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnet_serve.activation import Activation, Kind
from resnet_serve.activation.contract import THRESHOLD
from resnet_serve.errors import UsageError
from resnet_serve.weights import Weights, class_names, thresholds
from resnet_serve.weights.assumptions import Assumption, Subject

BINARY = ("negative", "positive")


@dataclass(frozen=True)
class Labelling:
    """How validation images are labelled: in `folders`, one per class, or with sets of labels.

    `several` says that some of them have no label, or more than one.
    """

    folders: tuple[str, ...] = ()
    several: bool = False


def decide(
    loaded: Weights,
    *,
    kind: str | None = None,
    threshold: str | None = None,
    images: Labelling | None = None,
) -> Weights:
    """The weights with their activation, and with what was assumed for it.

    `kind` and `threshold` are the options. Raises `UsageError` where nothing decides, and where the
    options do not fit the network.
    """
    classes = loaded.architecture.classes
    images = images or Labelling()
    found, assumed, notices = _kind(loaded, kind, images)
    named, assumed_names = _named(loaded, found, images)
    labels, negative = named
    given: tuple[float, ...] = ()
    if found is Kind.SIGMOID:
        kept = loaded.activation.thresholds
        given = thresholds.read(threshold, labels) if threshold else kept or (THRESHOLD,)
    elif threshold is not None:
        raise UsageError(
            f"--threshold is for sigmoids, and the activation is {found}",
            remedy="Add --activation sigmoid, or leave --threshold out.",
        )
    activation = Activation(found, given, negative)
    if not activation.fits(classes):
        raise _undecided(loaded, f"its activation cannot be {activation}")
    others = loaded.assumptions
    if assumed_names is not None:
        others = tuple(each for each in others if each.subject is not Subject.LABELS)
    return replace(
        loaded,
        labels=labels,
        activation=activation,
        activation_from=loaded.activation_from if kind is None else "--activation",
        assumptions=(*others, *(assumed_names or ()), *assumed),
        notices=(*loaded.notices, *notices),
    )


def _kind(
    loaded: Weights, given: str | None, images: Labelling
) -> tuple[Kind, tuple[Assumption, ...], tuple[str, ...]]:
    """The activation, what is assumed, and notices."""
    stated, source = loaded.activation.kind, loaded.activation_from
    classes = loaded.architecture.classes
    if given is not None:
        kind = Kind(given)
        notices: tuple[str, ...] = ()
        if source is not None and kind is not stated:
            notices = (f"--activation {kind} is used, although {source} says {stated}",)
        if kind is Kind.SOFTMAX and classes == 1:
            raise _undecided(loaded, "a softmax over one output is 100 % for every image")
        return _with_images(kind, "--activation", images), (), notices
    if source is not None:
        return _with_images(stated, source, images), (), ()
    if classes == 1:
        raise _undecided(loaded, "it has one output, and nothing says how that is to be read")
    if images.several:
        what = "sigmoid, because the validation images have several labels or none"
        return Kind.SIGMOID, (Assumption(Subject.ACTIVATION, what, "--activation sigmoid"),), ()
    if not loaded.trained:
        return Kind.SOFTMAX, (), ()
    because = (
        "the validation images have one class each"
        if images.folders
        else f"it has {classes:,} outputs"
    )
    what = f"softmax, because {because}"
    return Kind.SOFTMAX, (Assumption(Subject.ACTIVATION, what, "--activation softmax"),), ()


def _with_images(kind: Kind, source: str, images: Labelling) -> Kind:
    if kind is Kind.SOFTMAX and images.several:
        raise UsageError(
            f"the validation images have several labels or none, and {source} says softmax, "
            "which decides for one",
            remedy="Use --activation sigmoid, or images of one label each.",
        )
    return kind


def _named(
    loaded: Weights, kind: Kind, images: Labelling
) -> tuple[tuple[tuple[str, ...], str | None], tuple[Assumption, ...] | None]:
    """The labels, and of one output also the name of the negative; the assumptions, if replaced."""
    labels = loaded.labels
    if loaded.architecture.classes != 1:
        return (labels, None), None
    negative = loaded.activation.negative
    if kind is not Kind.SIGMOID:
        if len(labels) == 2:
            raise UsageError(
                f"two labels for one output, whose activation is {kind}",
                remedy="Give one label, or use --activation sigmoid.",
            )
        return (labels, None), None
    if len(labels) == 2:
        return (labels[1:], labels[0]), None
    if labels == class_names.default(1):
        if len(images.folders) == 2:
            names: Sequence[str] = images.folders
            what = f"{names[1]!r} is the positive, because its folder is the second of two"
        else:
            names, what = BINARY, "the two outcomes are called negative and positive"
        assumed = Assumption(Subject.LABELS, what, "--labels FILE (negative, then positive)")
        return (tuple(names[1:]), names[0]), (assumed,)
    if negative is None and len(images.folders) == 2 and labels[0] in images.folders:
        (negative,) = (each for each in images.folders if each != labels[0])
    return (labels, negative), None


def _undecided(loaded: Weights, what: str) -> UsageError:
    return UsageError(
        what,
        where=loaded.source,
        remedy="Use --activation sigmoid for a probability, or --activation none for a plain "
        "number.",
    )
