"""The inputs of a conversion: the weights that a request names, and its two sets of images."""

from __future__ import annotations

from resnet_convert import validation
from resnet_convert.head import HEADS
from resnet_convert.request import Request, loading
from resnet_convert.stage_log import Progress
from resnet_serve.datasets import Images, open_images, survey
from resnet_serve.datasets.decided import SPLIT
from resnet_serve.datasets.file_limits import limited
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.weights import Weights, activations


def load_weights(request: Request, progress: Progress, *, header: bool = False) -> Weights:
    """The weights that a request names, with the activation of their logits.

    With `header`, those of a hub have no values. Raises `UsageError`, `InputFileError` and
    `HostError`.
    """
    loaded = loading.load_weights(request, progress.advance, header=header)
    if not request.classifies:
        return loaded
    return activations.decide(
        loaded,
        kind=request.activation,
        threshold=request.threshold,
        images=validation.labelling(request.validation),
    )


def open_sets(request: Request, loaded: Weights) -> tuple[Images | None, Images]:
    """Calibration and validation images; synthetic ones replace missing validation images only.

    Raises `InputFileError` for a folder that cannot be used, `UsageError` for labels that the
    classifier cannot decide about.
    """
    return open_calibration(request, loaded), open_validation(request, loaded)


def open_calibration(request: Request, loaded: Weights | None) -> Images | None:
    """Calibration images, where some are given; raises as `open_sets`."""
    if request.calibration is None:
        return None
    given = open_images(request.calibration, None, split="calibration")
    chosen = spread(given, request.calibration_images)
    return chosen if loaded is None else limited(chosen, loaded.preprocessing.limits)


def open_validation(request: Request, loaded: Weights) -> Images:
    """Validation images, or synthetic ones; raises as `open_sets`."""
    if request.validation is None:
        return SyntheticImages(side=max(loaded.preprocessing.crop))
    # Of images that are only to be embedded, the folders need not be the network's classes.
    given = (
        validation.open_validation(request.validation, loaded.labels, loaded.activation)
        if request.classifies
        else open_images(request.validation, None, split=SPLIT)
    )
    return spread(limited(given, loaded.preprocessing.limits), request.validation_images)


def image_notices(
    request: Request, loaded: Weights, calibration: Images | None, given: Images | None
) -> tuple[str, ...]:
    """What a user should know of the two sets: skipped files, classes without images, and so on.

    Raises `ImageError` for files that cannot be opened.
    """
    names = validation.decided_names(loaded.labels, loaded.activation) if request.classifies else ()
    return survey.notices(given, names, calibration=calibration)


def untrained(request: Request, loaded: Weights) -> str | None:
    """What random weights are good for; None for trained ones."""
    if loaded.trained:
        return None
    outputs = "decisions" if request.classifies else HEADS[request.head]
    return (
        f"{loaded.architecture.name} is UNTRAINED: good for speed only, its {outputs} mean nothing"
    )


def weights_summary(loaded: Weights) -> str:
    """What was loaded, in one line: of an absolute path, its last part."""
    architecture, source = loaded.architecture, loaded.source
    source = source.rpartition("/")[2] if source.startswith("/") else source
    assumed = ", ".join(each.subject for each in loaded.assumptions)
    return (
        f"{architecture.name}, {architecture.parameters:,} parameters, "
        f"{_outputs(loaded)}, from {source}" + (f"; assumed: {assumed}" if assumed else "")
    )


def _outputs(loaded: Weights) -> str:
    """The classes, and how they are decided unless for one of them."""
    count, activation = loaded.architecture.classes, loaded.activation
    if activation.decides_classes:
        return f"{count} classes"
    return f"{count} output{'' if count == 1 else 's'} ({activation})"
