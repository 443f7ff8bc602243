"""An assumption says what it is about, what is assumed and how to state it."""

from resnet_serve.weights.assumptions import Assumption, Subject


def test_an_assumption_is_one_line_with_its_remedy() -> None:
    labels = Assumption(Subject.LABELS, "ImageNet-1k's, for 1,000 classes", "--labels FILE")
    assert str(labels) == (
        "labels assumed: ImageNet-1k's, for 1,000 classes; state it with --labels FILE"
    )
