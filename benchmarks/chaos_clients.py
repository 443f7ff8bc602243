"""A client of the chaos benchmark: it classifies images without a pause and keeps every answer.

    python benchmarks/chaos_clients.py 127.0.0.1:8001 answers.jsonl --timeout 30

The right answer to each image is known for every version (tests/support/versioned.py). Half of the
threads send image files, the others prepare the pixels. Each answer, and each failure, is a line of
JSON with its times on the monotonic clock, which all processes of a host share. It ends when its
standard input is closed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import versioned

from resnet_client import Classifier, ClientError, UnavailableError
from resnet_client.contract import Decode
from resnet_client.prediction import Prediction
from resnet_client.transport.deadlines import may_pass

MODEL = "net"
WAYS: tuple[Decode, ...] = ("server", "client")
_PAUSE_S = 0.05  # the load is to be steady, and to leave cores for what is restarted


@dataclass(frozen=True)
class Answer:
    """What became of one image: the version that answered, 0 for a wrong answer, None for an error.

    `text` is the response that is wrong, or the error; `retryable` says whether the client calls
    the error one that may pass.
    """

    asked: float
    done: float
    decode: str
    version: int | None
    text: str = ""
    retryable: bool = False


def ask(classifier: Classifier, decode: str, level: int) -> Answer:
    """Classify the image of this level once."""
    asked = time.monotonic()
    try:
        found = classifier.classify(versioned.image(level), top=versioned.CLASSES)
    except ClientError as error:
        text = f"{type(error).__name__}: {error}"
        return Answer(asked, time.monotonic(), decode, None, text, retryable(error))
    done = time.monotonic()
    version = version_of(found, level)
    return Answer(asked, done, decode, version, "" if version else f"image {level}: {found}")


def version_of(predictions: Sequence[Prediction], level: int) -> int:
    """The version whose answer to this image it is, label by label; 0 where it is of none."""
    by_index = {each.index: each for each in predictions}
    if sorted(by_index) != list(range(versioned.CLASSES)):
        return 0
    version = round(by_index[0].logit / 10)
    expected = zip(versioned.labels_of(version), versioned.expected(version, level), strict=True)
    right = all(
        by_index[index].label == label and abs(by_index[index].logit - logit) < 1e-4
        for index, (label, logit) in enumerate(expected)
    )
    return version if right else 0


def retryable(error: BaseException) -> bool:
    """Whether the client says that the same call may succeed later: by its class or its cause."""
    cause = error.__cause__
    return isinstance(error, UnavailableError) or (
        isinstance(cause, grpc.RpcError) and may_pass(cause)
    )


def read(path: Path) -> Iterator[Answer]:
    """The lines in a file; the last line of a client that was killed may be incomplete."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield Answer(**json.loads(line))


def main() -> None:
    """Classify until standard input is closed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("output", type=Path)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    ended, writing = threading.Event(), threading.Lock()
    classifiers = [
        Classifier(chosen.url, MODEL, decode=decode, timeout_s=chosen.timeout) for decode in WAYS
    ]
    with chosen.output.open("a", encoding="utf-8", buffering=1) as file:

        def work(number: int) -> None:
            choose = random.Random(f"{chosen.seed} {number}")  # noqa: S311 - which image
            way = number % len(WAYS)
            while not ended.wait(choose.uniform(0, 2 * _PAUSE_S)):
                answer = ask(classifiers[way], WAYS[way], choose.choice(versioned.COLOURS))
                with writing:
                    file.write(json.dumps(dataclasses.asdict(answer)) + "\n")

        threads = [threading.Thread(target=work, args=(each,)) for each in range(chosen.threads)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        ended.set()
        for thread in threads:
            thread.join()
    for classifier in classifiers:
        classifier.close()


if __name__ == "__main__":
    main()
