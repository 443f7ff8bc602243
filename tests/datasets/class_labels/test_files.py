"""Files of class names: every form gives the same names, and what is not certain is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.datasets.class_labels.files import read, read_lines
from resnet_serve.errors import InputFileError

NAME = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12
).filter(lambda name: name == " ".join(name.split()))
NAMES = st.lists(NAME, min_size=2, max_size=12, unique=True)


def content(path: Path, text: str | bytes) -> Path:
    """A file of labels."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"tench\ngoldfish\ngreat white shark\n",
        b"\xef\xbb\xbftench\r\ngoldfish\r\ngreat white shark\r\n\r\n",
        b"  tench  \ngoldfish\ngreat \t white shark",
        json.dumps(["tench", "goldfish", "great white\nshark"]).encode(),
        b'\n [\n "tench", "goldfish",\n "great white shark"\n]\n',
    ],
)
def test_labels_are_one_a_line_or_a_json_list(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels").write_bytes(content)
    assert read(tmp_path / "labels") == ("tench", "goldfish", "great white shark")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no labels"),
        (b" \n\n", "contains no labels"),
        (b"[]", "contains no labels"),
        (b"cat\n\ndog\n", "label 2 is empty"),
        (b'["cat", ""]', "label 2 is empty"),
        (b'["cat", 3]', "not a list of names"),
        (b'{"0": ["tench"]}', "not a list of names.*one name per line"),
        (b'["cat", ', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff\xfec\x00a\x00t\x00", "not text in UTF-8"),
    ],
)
def test_labels_that_cannot_be_read_are_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(InputFileError, match=message) as caught:
        read(tmp_path / "labels.txt")
    assert caught.value.where == str(tmp_path / "labels.txt")


def test_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputFileError, match="cannot be read"):
            read(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("swapped.csv", "1,dog\n0,cat\n"),
        ("name_index.txt", "dog 1\ncat 0\n"),
        ("list.yaml", "- cat\n- dog\n"),
        ("swapped.txt", "1,dog\n0,cat\n"),
        ("list.txt", "- cat\n- dog\n"),
        ("names.txt", "names:\n  0: cat\n  1: dog\n"),
        ("index.json", '{"1": "dog", "0": "cat"}'),
        ("class_to_idx.json", '{"dog": 1, "cat": 0}'),
        ("config.json", '{"id2label": {"0": "cat", "1": "dog"}, "model_type": "resnet"}'),
        ("python.txt", "{0: 'cat',\n 1: 'dog'}"),
        ("quoted.txt", '"cat"\n"dog"\n'),
        ("bom.csv", b"\xef\xbb\xbf0,cat\r\n1,dog\r\n\r\n"),
        ("pandas.tsv", "\tlabel\n0\tcat\n1\tdog\n"),
    ],
)
def test_each_form_of_the_same_names(tmp_path: Path, name: str, text: str | bytes) -> None:
    assert read(content(tmp_path / name, text)) == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"0": "cat", "2": "dog"}', "numbers 2 classes from 0 to 2, without 1"),
        ('{"cat": 0, "dog": 0}', "gives the number 0 to 'cat' and 'dog'"),
        ('{"cat": 0, "cat": 1}', "has 'cat' twice"),
        ("{0: 'cat', 0: 'dog'}", "has 0 twice"),
        ('{"names": {"0": "cat", "0": "dog"}}', "has '0' twice"),
        ('{"cat": true, "dog": false}', "not a list of names"),
        ('{"cat": "0", "dog": "1"}', "not a list of names"),
        ('[{"id": 0, "name": "cat"}]', "not a list of names"),
        ("{}", "not a list of names"),
        ("[cat, dog]", "not valid JSON"),
        ("[__import__('os').getcwd()]", "not valid JSON"),
        ("cat\0dog", "control characters"),
        ("# nothing\n", "begins with a comment"),
    ],
)
def test_objects_that_do_not_number_the_classes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        read(content(tmp_path / "labels.json", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "n01440764\nn01443537\n",
        "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n",
        "0 n01440764\n1 n01443537\n",
        '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}',
        '{"n01443537": 1, "n01440764": 0}',
        "- n01440764\n- n01443537\n",
    ],
)
def test_wordnet_ids_become_the_names_of_imagenet(tmp_path: Path, text: str) -> None:
    assert read(content(tmp_path / "labels", text)) == ("tench", "goldfish")


@pytest.mark.parametrize(
    ("encoding", "suffix"), [("utf-16", ".txt"), ("cp1252", ".txt"), ("utf-16", ".csv")]
)
def test_the_remedy_for_another_encoding_works(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = content(tmp_path / f"my labels{suffix}", "café\nthé\n".encode(encoding))
    with pytest.raises(InputFileError, match="not text in UTF-8") as caught:
        read(path)
    command = str(caught.value.remedy).removeprefix("Convert it: ")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert read(tmp_path / "labels-utf8.txt") == ("café", "thé")


def test_a_deployed_file_is_always_one_name_per_line(tmp_path: Path) -> None:
    path = content(tmp_path / "labels.txt", "1: dog\n0: cat\n")
    assert read_lines(path) == ("1: dog", "0: cat")
    assert read(path) == ("cat", "dog")
    with pytest.raises(InputFileError, match="label 2 is empty"):
        read_lines(content(path, "cat\n\ndog\n"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels")


@given(names=NAMES, data=st.data())
def test_what_is_written_as_json_is_read_back(
    folder: Path, names: list[str], data: st.DataObject
) -> None:
    numbered = data.draw(st.permutations(list(enumerate(names))))
    forms = (names, dict(numbered), {name: index for index, name in numbered})
    for form in forms:
        assert read(content(folder / "labels.json", json.dumps(form))) == tuple(names)


@given(names=NAMES, data=st.data())
def test_what_is_written_as_csv_is_read_back(
    folder: Path, names: list[str], data: st.DataObject
) -> None:
    text = io.StringIO()
    rows = data.draw(st.permutations(list(enumerate(names))))
    csv.writer(text).writerows([("index", "name"), *rows])
    assert read(content(folder / "labels.csv", text.getvalue())) == tuple(names)


@given(st.text(max_size=60), st.sampled_from([".txt", ".csv", ".yaml", ".json", ".tsv"]))
def test_any_text_is_read_or_refused_in_one_line(folder: Path, text: str, suffix: str) -> None:
    path = content(folder / f"any{suffix}", text.encode("utf-8", "surrogatepass"))
    try:
        assert all(read(path))
    except InputFileError as error:
        assert os.linesep not in str(error)
        assert error.where == str(path)


def test_names_keep_their_normal_form(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "café")
        assert read(content(tmp_path / "labels", f"{name}\ndog\n")) == (name, "dog")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_another_encoding_is_named_and_the_command_works(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("caf\u00e9\ndog\n".encode(encoding))
    with pytest.raises(InputFileError, match="not text in UTF-8") as caught:
        read(path)
    command = str(caught.value.remedy).removeprefix("Convert it: ")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert read(tmp_path / "labels-utf8.txt") == ("caf\u00e9", "dog")


def test_invisible_letters_around_a_name_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffcat\u200b\r\n\ufeffdog \r\n\r\n", encoding="utf-8")
    assert read(path) == ("cat", "dog")


def test_a_compressed_file_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(gzip.compress(b"cat\ndog\n"))
    with pytest.raises(InputFileError, match="not a text file"):
        read(path)
