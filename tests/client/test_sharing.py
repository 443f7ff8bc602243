"""Pixels through shared memory to the real server, or over gRPC with a notice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import image_files
import numpy as np
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S
from served_digits import Pictures, logits

from resnet_client import Classifier, ModelError, UsageError
from resnet_client.sharing import KEY_HEADER
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision import endpoints

pytestmark = pytest.mark.triton

FOLDER = Path("/dev/shm")


class Regions:
    """What the server has mapped, as its administrator sees it."""

    def __init__(self, client: triton.InferenceServerClient, headers: dict[str, str]) -> None:
        self._client, self._headers = client, headers

    def names(self) -> list[str]:
        return list(self._client.get_system_shared_memory_status(headers=self._headers).regions)

    def forget(self, name: str) -> None:
        self._client.unregister_system_shared_memory(name, headers=self._headers)


@pytest.fixture
def key(server: Server) -> str:
    return server.endpoints.key


@pytest.fixture
def regions(server: Server, key: str) -> Iterator[Regions]:
    with triton.InferenceServerClient(server.grpc) as client:
        yield Regions(client, {KEY_HEADER: key})


def of(classifier: Classifier, pictures: Pictures) -> tuple[list[str], np.ndarray]:
    results = list(classifier.classify_many(pictures.paths[:60], top=10, batch_size=8))
    labels = [result.predictions[0].label for result in results]
    return labels, np.array([logits(result.predictions) for result in results])


def test_the_header_is_the_one_of_our_servers() -> None:
    assert f"triton-grpc-protocol-{endpoints.KEY_HEADER}" == KEY_HEADER


def test_the_same_predictions_as_over_grpc_and_nothing_is_left(
    url: str, key: str, pictures: Pictures, regions: Regions
) -> None:
    told: list[str] = []
    with Classifier(url, "resnet20", notice=told.append) as classifier:
        expected = of(classifier, pictures)
        with classifier.shared_memory(images=32, key=key) as fast:
            (name,) = regions.names()
            assert (FOLDER / name).stat().st_mode & 0o077 == 0
            found = of(fast, pictures)
            fast.classify(pictures.paths[3])
            written = np.frombuffer((FOLDER / name).read_bytes(), np.uint8)
        prepared = classifier.contract().prepare(pictures.paths[3])
        after = of(classifier, pictures)
    assert found[0] == expected[0] == after[0]
    assert np.abs(found[1] - expected[1]).max() < 1e-5
    np.testing.assert_array_equal(written[: prepared.size], prepared.ravel())
    assert (told, regions.names(), (FOLDER / name).exists()) == ([], [], False)


def test_normalised_planes_go_the_same_way(url: str, key: str) -> None:
    image = image_files.photograph()
    with Classifier(url, "means") as classifier, classifier.shared_memory(1, key=key) as fast:
        found = [list(each.predictions) for each in fast.classify_many([image] * 9, top=3)]
        assert found == [classifier.classify(image, top=3)] * 9


def test_an_error_in_the_block_leaves_nothing(url: str, key: str, regions: Regions) -> None:
    with Classifier(url, "resnet20") as classifier:
        with pytest.raises(LookupError), classifier.shared_memory(key=key) as fast:
            (name,) = regions.names()
            raise LookupError
        assert (regions.names(), (FOLDER / name).exists()) == ([], False)
        with pytest.raises(UsageError, match="after the end of its `with` block"):
            fast.classify(np.zeros((8, 8, 3), np.uint8))


def test_two_blocks_have_regions_of_their_own(url: str, key: str, regions: Regions) -> None:
    with Classifier(url, "resnet20") as classifier, classifier.shared_memory(key=key):
        with classifier.shared_memory(key=key):
            assert len(set(regions.names())) == 2
        assert len(regions.names()) == 1


def test_a_region_that_the_server_still_uses_is_unregistered_when_it_ends(
    url: str, key: str, pictures: Pictures, regions: Regions
) -> None:
    """As in the moment between the response of a request and its end in the server."""
    told: list[str] = []
    with (
        Classifier(url, "resnet20", notice=told.append) as classifier,
        triton.InferenceServerClient(url) as others,
    ):
        shape = (8, *classifier.contract().prepare(pictures.paths[0]).shape)
        pixels = triton.InferInput(classifier.contract().input, shape, "UINT8")
        ended: SimpleQueue[str] = SimpleQueue()
        with classifier.shared_memory(images=8, key=key):
            (name,) = regions.names()
            pixels.set_shared_memory(name, 8 * classifier.contract().image_bytes)
            for _ in range(8):
                others.async_infer(
                    "resnet20", [pixels], lambda result, error: ended.put(str(error))
                )
            first = ended.get(timeout=PATIENCE_S)  # by then the server has the others
        assert (regions.names(), told) == ([], [])
        assert [first, *(ended.get(timeout=PATIENCE_S) for _ in range(7))] == ["None"] * 8


def test_a_server_that_was_restarted_is_given_the_region_again(
    url: str, key: str, pictures: Pictures, regions: Regions
) -> None:
    told: list[str] = []
    with Classifier(url, "resnet20", notice=told.append) as classifier:
        expected = of(classifier, pictures)[0]
        with classifier.shared_memory(key=key) as fast:
            (name,) = regions.names()
            regions.forget(name)
            assert of(fast, pictures)[0] == expected
            assert (regions.names(), told) == ([name], [])


def test_a_region_that_the_server_cannot_open_is_announced(
    url: str, key: str, pictures: Pictures, regions: Regions
) -> None:
    told: list[str] = []
    with Classifier(url, "resnet20", notice=told.append) as classifier:
        expected = of(classifier, pictures)[0]
        with classifier.shared_memory(key=key) as fast:
            (name,) = regions.names()
            regions.forget(name)
            (FOLDER / name).unlink()
            assert of(fast, pictures)[0] == expected
    (line,) = told
    assert "over gRPC, not through shared memory: the server cannot open it" in line
    assert "another host, in a container or as another user" in line


@pytest.mark.parametrize(
    ("images", "given", "reason"),
    [
        (64, None, "the server restricts it, and no key was given"),
        (64, "wrong", "the server does not accept this key for shared memory"),
        (1 << 40, "right", "/dev/shm has no room for"),
    ],
)
def test_what_is_not_possible_goes_over_grpc_with_one_notice(
    url: str,
    key: str,
    pictures: Pictures,
    regions: Regions,
    images: int,
    given: str | None,
    reason: str,
) -> None:
    with Classifier(url, "resnet20") as classifier:
        expected = of(classifier, pictures)[0]
        with (
            pytest.warns(RuntimeWarning) as warned,
            classifier.shared_memory(images, key=key if given == "right" else given) as fast,
        ):
            assert regions.names() == []
            assert of(fast, pictures)[0] == expected
    (line,) = (str(each.message) for each in warned)
    assert line.startswith("pixels are sent over gRPC, not through shared memory: ")
    assert reason in line


def test_the_key_crosses_no_network(url: str, key: str, pictures: Pictures) -> None:
    told: list[str] = []
    elsewhere = url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    with (
        Classifier(elsewhere, "resnet20", notice=told.append) as classifier,
        classifier.shared_memory(key=key) as fast,
    ):
        assert fast.classify(pictures.paths[0])[0].label == pictures.labels[0]
    assert [line.rpartition(": ")[2] for line in told] == [
        f"{elsewhere} is not the loopback of this host"
    ]


def test_arguments_that_cannot_work_are_refused(url: str, key: str) -> None:
    with Classifier(url, "resnet20", decode="server") as classifier:  # noqa: SIM117
        with pytest.raises(UsageError, match=r"encoded images.*decode='client'"):
            with classifier.shared_memory(key=key):
                raise AssertionError
    with Classifier(url, "resnet20") as classifier:
        for wrong in ({"images": 0}, {"images": "4"}, {"key": ""}, {"key": 7}, {"key": "é"}):
            with pytest.raises(UsageError), classifier.shared_memory(**wrong):  # type: ignore[arg-type]
                raise AssertionError
    with Classifier(url, "unknown") as classifier, pytest.raises(ModelError):  # noqa: SIM117
        with classifier.shared_memory(key=key):
            raise AssertionError
