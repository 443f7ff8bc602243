"""The HTTP API against a real Triton: forms of an image, what is refused, and what it says."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter

import pytest
import shades
from hostile_images import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S, until
from web_servers import Answer, Web, serving

from resnet_serve.web.places import Places
from resnet_serve.web.settings import Settings

pytestmark = pytest.mark.triton
LIGHT = shades.image(shades.LIGHT)
AT = "/classify?model=shades"


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A multipart form of these dispositions and contents."""
    body = b"".join(
        b"--limit\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), content)
        for head, content in parts
    )
    return body + b"--limit--\r\n", {"Content-Type": "multipart/form-data; boundary=limit"}


def labels(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [each["label"] for each in answer.json["predictions"]]


# --- the forms --------------------------------------------------------------------------------


def test_every_form_of_an_image_gives_the_same(web: Web) -> None:
    text = base64.b64encode(LIGHT).decode()
    body, headers = form(('name="image"; filename="light.png"', LIGHT))
    answers = [
        web.post(AT, LIGHT),
        web.post(AT, LIGHT, Content_Type="image/png"),
        web.ask("POST", AT, body, headers),
        web.send(AT, {"image": text}),
        web.send(AT, {"image": f"data:image/png;base64,{text}"}),
        web.send(AT, {"image": base64.encodebytes(LIGHT).decode()}),
        web.send("/classify", {"image": text, "model": "shades", "top": 3}),
        web.post("/classify?model=shades&version=1&top=3", LIGHT),
    ]
    found = [{**each.json, "ms": None} for each in answers]
    assert found[0]["predictions"][0]["label"] == "light"
    assert all(each == found[0] for each in found[1:])
    assert [each["label"] for each in found[0]["predictions"]] == ["light", "medium", "dark"]
    assert found[0]["schema_version"] == 1
    assert (found[0]["model"], found[0]["version"]) == ("shades", "1")
    total = sum(each["probability"] for each in found[0]["predictions"])
    assert total == pytest.approx(1)


def test_options_of_a_form_are_used(web: Web) -> None:
    body, headers = form(
        ('name="model"', b"shades"),
        ('name="top"', b"1"),
        ('name="any"; filename="x"', shades.image(shades.DARK, kind="JPEG")),
    )
    assert labels(web.ask("POST", "/classify", body, headers)) == ["dark"]


def test_curl_sends_it_as_documented(web: Web, tmp_path) -> None:
    curl = shutil.which("curl") or pytest.skip("curl is not installed")
    (tmp_path / "photo.png").write_bytes(LIGHT)
    at = f"{web.url}classify?model=shades"
    for words in (["-F", "image=@photo.png"], ["-T", "photo.png", "-X", "POST"]):
        done = subprocess.run(
            [curl, "--silent", "--fail-with-body", *words, at],
            cwd=tmp_path, capture_output=True, timeout=PATIENCE_S, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["predictions"][0]["label"] == "light"


def test_compare_finds_the_version_that_decides_otherwise(web: Web) -> None:
    answer = web.post("/compare", shades.image(shades.DISPUTED)).json
    assert answer["agree"] is False
    first, second = answer["columns"]
    assert first["predictions"][0]["label"] == "medium"
    assert "agrees" not in first
    assert second["predictions"][0]["label"] == "light"
    assert second["agrees"] is False
    agreeing = web.post("/compare?model=shades-int8", LIGHT).json
    assert agreeing["agree"] is True
    assert [each["model"] for each in agreeing["columns"]] == ["shades", "shades-int8"]
    assert all(each["ms"] > 0 for each in agreeing["columns"])


def test_labels_at_their_threshold_are_a_decision_too(web: Web) -> None:
    both = web.post("/compare?model=tones", LIGHT).json
    assert "agree" not in both  # one version has these labels
    (column,) = both["columns"]
    found = {each["label"]: each["above_threshold"] for each in column["predictions"]}
    assert found == {"high": True, "middle": True, "low": False}
    assert labels(web.post("/classify?model=tones", LIGHT)) == ["high", "middle"]
    assert labels(web.post("/classify?model=tones", shades.image(shades.DARK))) == []
    assert len(labels(web.post("/classify?model=tones&top=2", shades.image(shades.DARK)))) == 2


def test_what_passports_say_is_listed(web: Web) -> None:
    answer = web.get("/models").json
    assert (answer["secured"], answer["live"]) == (False, True)
    first, second, tones = answer["models"]
    assert (tones["model"], tones["activation"]) == ("tones", "sigmoid")
    assert tones["labels"] != first["labels"]
    assert first["labels"] == second["labels"]
    assert (first["precision"], second["precision"]) == ("fp32", "int8")
    assert first["speedup"] == 2.0
    assert first["size_bytes"] > 100
    passport = web.get(first["passport"]).json
    assert passport["name"] == "shades"
    report = web.get(first["report"])
    assert report.body == shades.REPORT.encode()
    assert "sandbox" in report.headers["content-security-policy"]
    assert "script-src" not in report.headers["content-security-policy"]
    examples = [web.get(f"/models/shades/1/examples/{at}") for at in range(first["examples"])]
    assert [labels(web.post(AT, each.body))[0] for each in examples][:2] == ["dark", "medium"]
    assert examples[0].headers["content-type"] == "image/png"


def test_folders_are_matched_with_the_labels(web: Web) -> None:
    answer = web.send("/folders", {"names": ["dark", "light", "../light", "Dark"]}).json
    assert answer["classes"] == {
        "dark": {"index": 0, "label": "dark"},
        "light": {"index": 2, "label": "light"},
    }
    assert set(answer["unknown"]) == {"../light", "Dark"}
    web.send("/folders", {"names": "dark"}).refused(400)
    web.send("/folders", {"names": ["dark"], "other": 1}).refused(400)


def test_triton_counts_what_was_sent(web: Web) -> None:
    before = web.get("/live").json["models"]["shades"]["images"]
    for _ in range(3):
        labels(web.post(AT, LIGHT))
    assert until(lambda: web.get("/live").json["models"]["shades"]["images"] >= before + 3)
    found = web.get("/live").json["models"]["shades"]
    assert {"images", "waiting", "rejected", "failed"} <= set(found)
    assert found["p99_ms"] > 0


# --- what is refused --------------------------------------------------------------------------

NO_IMAGE = b"this is a text, whatever its name says"
CUT = LIGHT[: len(LIGHT) // 2]
HUGE = b"P6 9000 9000 255\n" + bytes(100)


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "says"),
    [
        (AT, NO_IMAGE, "image/jpeg", 415, "image"),
        (AT, CUT, "image/png", 400, "image"),
        (AT, b"", "image/png", 400, "empty"),
        (AT, HUGE, "image/x-portable-pixmap", 413, "pixels"),
        (AT, LIGHT, "text/plain", 415, "--data-binary"),
        (AT, LIGHT, "application/x-www-form-urlencoded", 415, "octet-stream"),
        (AT, b"[", "application/json", 400, "not JSON"),
        (AT, b"[" * 100_000, "application/json", 400, "not JSON"),
        (AT, b"[]", "application/json", 400, "not an object"),
        (AT, b"{}", "application/json", 400, "base64"),
        (AT, b'{"image": 1}', "application/json", 400, "base64"),
        (AT, b'{"image": "?!"}', "application/json", 400, "not base64"),
        (AT, b'{"image": "\\u00e9"}', "application/json", 400, "not base64"),
        (AT, b'{"image": "aGk=", "size": 1}', "application/json", 400, "no option 'size'"),
        (AT, b'{"image": "aGk=", "top": 1.5}', "application/json", 400, "whole number"),
        (AT, b'{"image": "aGk=", "model": "x"}', "application/json", 400, "twice"),
        (AT, b'{"image": "aGk="}', "application/json", 415, "image"),
        (AT, b"--x", "multipart/form-data; boundary=x", 400, "form"),
        (AT, b"nothing", "multipart/form-data", 400, "form"),
        ("/classify", LIGHT, "image/png", 400, "?model=shades"),
        ("/classify?model=other", LIGHT, "image/png", 404, "shades, shades-int8"),
        ("/classify?model=shades&version=7", LIGHT, "image/png", 404, "version 7"),
        ("/classify?model=shades&version=a", LIGHT, "image/png", 400, "not a number"),
        ("/classify?model=shades&top=0", LIGHT, "image/png", 400, "1 to 1000"),
        ("/classify?model=shades&top=-1", LIGHT, "image/png", 400, "1 to 1000"),
        ("/classify?model=shades&top=%C2%B2", LIGHT, "image/png", 400, "1 to 1000"),
        ("/classify?model=shades&k=1", LIGHT, "image/png", 400, "model, version, top"),
        ("/compare?version=1", LIGHT, "image/png", 400, "Give the model too"),
        ("/compare?model=other", LIGHT, "image/png", 404, "shades"),
        ("/nothing", LIGHT, "image/png", 404, "/docs"),
        ("/models", LIGHT, "image/png", 405, "POST is not a method of /models. Use GET or HEAD"),
        ("/static/main.js", LIGHT, "image/png", 405, "Use GET or HEAD"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    web: Web, path: str, body: bytes, kind: str, status: int, says: str
) -> None:
    assert says in web.post(path, body, Content_Type=kind).refused(status)


def test_another_method_is_told_which_there_are(web: Web) -> None:
    answer = web.get("/classify")
    assert answer.refused(405) == (
        "GET is not a method of /classify. Use POST; /docs lists what there is."
    )
    assert answer.headers["allow"] == "POST"
    assert web.ask("PUT", "/models").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("name", ["1,000 scans", "strips", "tile", "EXIF in JPEG", "TIFF tags"])
def test_an_image_that_is_made_to_cost_much_is_refused(web: Web, name: str) -> None:
    make, pattern = HOSTILE[name]
    answer = web.post(AT, make())
    assert answer.status in (400, 413, 415)
    assert re.search(pattern, answer.refused(answer.status))


@given(
    kind=st.sampled_from(
        ["image/png", "application/json", "multipart/form-data; boundary=x", "", "a"]
    )
    | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    body=st.binary(max_size=200) | st.sampled_from([LIGHT, b'{"image": "aGk="}', b"--x\r\n\r\n"]),
    query=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
)
def test_nothing_that_is_sent_is_an_error_of_the_server(
    web: Web, kind: str, body: bytes, query: str
) -> None:
    for path in ("/classify", "/compare", "/folders"):
        answer = web.post(f"{path}?{query}", body, Content_Type=kind)
        assert answer.status == 200 or answer.refused(answer.status)
        assert answer.status < 500


def test_a_form_without_a_file_or_with_two(web: Web) -> None:
    one = ('name="image"; filename="a"', LIGHT)
    assert "several files" in web.ask("POST", AT, *form(one, one)).refused(400)
    assert "no file" in web.ask("POST", AT, *form(('name="image"', b"a"))).refused(400)
    assert "no option 'zoom'" in web.ask("POST", AT, *form(('name="zoom"', b"2"), one)).refused(400)


def test_the_page_of_a_version_that_is_not_there(web: Web) -> None:
    for path in ("shades/9/passport", "nothing/1/report", "shades/1/examples/99", "..%2f1/report"):
        web.get(f"/models/{path}").refused(404)
    for path in ("/static/../serving.py", "/static/%2e%2e/serving.py", "/static/nothing.js"):
        web.get(path).refused(404)


# --- limits -----------------------------------------------------------------------------------


def test_a_large_body_is_refused_whether_announced_or_not(places: Places) -> None:
    with serving(places, Settings(max_body_bytes=10_000)) as web:
        assert "10,000 bytes allowed" in web.post(AT, bytes(15_000)).refused(413)
        assert "10,000" in web.post(AT, bytes(3_000_000)).refused(413)
        chunks = web.ask("POST", AT, iter([bytes(6_000)] * 3), {"Content-Type": "image/png"})
        assert "10,000" in chunks.refused(413)
        web.post("/session", bytes(15_000)).refused(413)
        assert labels(web.post(AT, LIGHT))[0] == "light"


def test_a_body_that_does_not_arrive_is_given_up(places: Places) -> None:
    with serving(places, Settings(upload_timeout_s=0.3, concurrency=1)) as web:
        with socket.create_connection(web.address.split(":"), PATIENCE_S) as slow:
            slow.sendall(_head(web, AT, 100) + b"some")
            assert b"408" in slow.recv(100)
        assert labels(web.post(AT, LIGHT))[0] == "light"


def test_too_many_at_once_are_refused_and_none_is_left(places: Places) -> None:
    with serving(places, Settings(concurrency=2)) as web:
        held = [socket.create_connection(web.address.split(":"), PATIENCE_S) for _ in range(2)]
        for each in held:
            each.sendall(_head(web, AT, len(LIGHT)))
        refused: list[Answer] = []

        def full() -> bool:
            refused.append(web.post(AT, LIGHT))
            return refused[-1].status == 503

        assert until(full)
        assert "2 requests are in work" in refused[-1].refused(503)
        assert int(refused[-1].headers["retry-after"]) >= 1
        assert web.get("/").status == 200  # the page is still there
        held[0].sendall(LIGHT)
        assert b"200" in held[0].recv(100)
        held[1].close()  # its client has left
        held[0].close()
        assert until(lambda: web.post(AT, LIGHT).status == 200)


def test_many_at_once_all_get_their_own(web: Web) -> None:
    levels = {shades.DARK: "dark", shades.MEDIUM: "medium", shades.LIGHT: "light"}
    wrong: list[object] = []

    def ask(level: int, label: str) -> None:
        for _ in range(10):
            answer = web.post(AT, shades.image(level))
            if answer.status != 200 or labels(answer)[0] != label:
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=each) for each in levels.items()]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_a_flood_is_answered_or_refused_and_then_over(places: Places) -> None:
    with serving(places, Settings(concurrency=4)) as web:
        before, seen = threading.active_count(), Counter[int]()

        def ask() -> None:
            while seen[200] < 60:
                seen[web.post("/compare", LIGHT).status] += 1

        threads = [threading.Thread(target=ask) for _ in range(24)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert set(seen) == {200, 503}
        assert labels(web.post(AT, LIGHT))[0] == "light"
        # Threads that wait for the next request: four here, and four for each version's connection.
        assert threading.active_count() < before + 24


def _head(web: Web, path: str, length: int) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: {web.address}",
        "Content-Type: image/png",
        f"Content-Length: {length}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


# --- no server --------------------------------------------------------------------------------


def test_without_a_server_it_says_so_in_time(web: Web) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = Places(url=f"127.0.0.1:{closed.getsockname()[1]}")
    with serving(nobody, Settings(timeout_s=1)) as alone:
        started = time.monotonic()
        for path in (AT, "/compare", "/classify"):
            answer = alone.post(path, LIGHT)
            assert "no server answers at" in answer.refused(503)
            assert answer.headers["retry-after"]
        assert time.monotonic() - started < PATIENCE_S
        health = alone.get("/health")
        assert health.status == 503
        assert "no server answers" in health.json["status"]
        alone.get("/models").refused(503)
        alone.get("/live").refused(503)
        assert alone.get("/").status == 200
    assert web.get("/health").json == {"schema_version": 1, "status": "ok"}


def test_a_server_that_accepts_and_says_nothing_does_not_hold_requests() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        serving(Places(url=f"127.0.0.1:{silent.getsockname()[1]}"), Settings(timeout_s=1)) as web,
    ):
        assert web.post(AT, LIGHT).refused(503)
        assert web.post(AT, LIGHT).refused(503)


def test_an_error_that_nobody_expects_is_a_problem_too(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_serve.web.served.decode", lambda _: 1 / 0)
    said = web.post(AT, LIGHT).refused(500)
    assert "a bug in resnet-serve" in said
    monkeypatch.undo()
    assert labels(web.post(AT, LIGHT))[0] == "light"
