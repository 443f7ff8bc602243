"""YAML: what is read is what PyYAML reads, and the rest is refused with a command that works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.datasets.class_labels.files import read
from resnet_serve.datasets.class_labels.yaml_names import looks_like, names_of
from resnet_serve.errors import InputFileError

PATH = Path("labels.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "- cat\n- dog\n",
        "---\n# classes\n- cat  # felis\n\n- 'dog'\n",
        "1: dog\n0: cat\n",
        "cat: 0\ndog: 1\n",
        '"cat": 0\n"dog": 1\n',
        "names:\n- cat\n- dog\n",
        "names:\n  - cat\n  - dog\nnc: 2\n",
        "path: ../coco\ntrain: images\n\nnames:\n  0: cat\n  1: dog\n\ndownload: |\n  import os\n",
        "nc: 2  # classes\nnames: ['cat', \"dog\"]\n",
        "names: [cat, dog]  # two\n",
    ],
)
def test_names_in_a_list_or_a_map(text: str) -> None:
    assert names_of(text, PATH) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("- 'it''s'", "it's"),
        (r'- "caf\u00e9"', "café"),
        ("- T-shirt/top", "T-shirt/top"),
        ("- C#", "C#"),
        ("- no", "no"),
        ("- tench, Tinca tinca", "tench, Tinca tinca"),
        ("0: a:b", "a:b"),
    ],
)
def test_scalars_are_their_text(text: str, name: str) -> None:
    assert names_of(text, PATH) == [name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names:\n  0: cat\n  2: dog\n", "from 0 to 2, without 1"),
        ("1: cat\n2: dog\n", "from 1 to 2, without 0"),
        ("nc: 3\nnames: [cat, dog]\n", "has 2 names, and nc is 3"),
    ],
)
def test_names_that_are_not_complete_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        names_of(text, PATH)


@pytest.mark.parametrize(
    "text",
    [
        "names:\n  - cat\n  - >-\n    dog\n",
        "[cat,\n dog]\n",
        "names: {0: cat, 1: dog}\n",
        "names: [cat,\n  dog]\n",
        "- &first cat\n- dog\n",
        "- cat\n- !!str dog\n",
        "? cat\n: 0\n? dog\n: 1\n",
    ],
)
def test_the_command_for_other_yaml_works(tmp_path: Path, text: str) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "my labels.yaml"
    path.write_text(text)
    with pytest.raises(InputFileError, match="YAML of another form") as caught:
        read(path)
    command = str(caught.value.remedy).removeprefix("Convert it: ").partition(" (needs PyYAML)")[0]
    command = command.replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert read(tmp_path / "labels.json") == ("cat", "dog")


@given(st.lists(st.from_regex(r"[a-zA-Z'\"/ ,:#é-]{1,8}", fullmatch=True), min_size=1, max_size=6))
def test_what_pyyaml_writes_is_read_back_or_refused(names: list[str]) -> None:
    yaml = pytest.importorskip("yaml")
    for data in (names, {"names": names}, {"names": dict(enumerate(names))}):
        try:
            found = names_of(yaml.safe_dump(data, allow_unicode=True, width=1000), PATH)
        except InputFileError:
            continue
        assert found == names


def test_a_file_without_names_is_refused(tmp_path: Path) -> None:
    for text in ("", "---\n", "# nothing\n"):
        path = tmp_path / "labels.yaml"
        path.write_text(text)
        with pytest.raises(InputFileError, match="contains no labels"):
            read(path)


def test_a_file_without_the_suffix_is_known_by_its_lines() -> None:
    assert looks_like(["- cat", "- dog"])
    assert looks_like(["names:", "- cat"])
    assert not looks_like(["cat", "- dog"])
    assert not looks_like(["0: cat"])
