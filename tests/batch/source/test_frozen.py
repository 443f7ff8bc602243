"""Every kind of input, frozen and cut into parts: each row once, in order, with its name."""

from __future__ import annotations

import base64
import csv
import io
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from batch_model import picture, pictures
from pyarrow import parquet as pq

from resnet_serve.batch.source import frozen as freezing
from resnet_serve.batch.source.frozen import FILE, Frozen, Source, freeze
from resnet_serve.batch.source.parts import Item, cut, items, rows_per_part
from resnet_serve.errors import InputFileError, UsageError


def frozen(folder: Path, given: Path | str, **options: Any) -> Frozen:
    """Freeze an input into `folder`."""
    folder.mkdir(exist_ok=True)
    return freeze(Source(str(given), **options), folder, lambda _count: None)


def rows(found: Frozen, size: int = 5) -> list[Item]:
    """All rows, part by part; every part has at most `size` of them and begins behind the last."""
    parts = cut(found, size)
    made = [list(items(found, part)) for part in parts]
    assert [len(each) for each in made] == [part.rows for part in parts]
    assert all(1 <= part.rows <= size for part in parts)
    every = [item for part in made for item in part]
    assert [item.row for item in every] == list(range(found.rows))
    assert [part.first for part in parts] == [each[0].row for each in made]
    return every


def test_a_folder_is_listed_in_the_order_of_its_names(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", 7, bad=True)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "class0" / "A.JPEG").write_bytes(b"")
    strange = os.fsdecode(b"class1/\xff.png")
    (folder / strange).write_bytes(b"")
    found = frozen(tmp_path / "out", folder)
    names = [item.name for item in rows(found)]
    assert names == [
        *("class0/00000.png", "class0/00002.png", "class0/00004.png", "class0/00006.png"),
        *("class0/A.JPEG", "class1/00001.png", "class1/00003.png", "class1/00005.png"),
        *("class1/\\xff.png", "cut.jpg", "empty.png", "gone.jpg", "long.png", "text.jpg"),
    ]
    assert (found.skipped, found.root) == (1, str(folder))
    assert rows(found)[8].value == b"class1/\xff.png"


def test_the_input_stays_what_it_was(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", 3)
    found = frozen(tmp_path / "out", folder)
    (folder / "class0" / "later.png").write_bytes(picture(9))
    assert len(rows(found)) == 3
    again = Frozen.from_json(found.to_json())
    assert again == found
    moved = tmp_path / "out"
    moved.rename(tmp_path / "elsewhere")
    assert len(rows(found.at(tmp_path / "elsewhere"))) == 3


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_list_has_a_path_on_each_line_that_is_not_blank(tmp_path: Path, ending: str) -> None:
    names = ["a.png", "", "sub dir/b,c.png", "  ", "/abs/d.png", "a.png", "ü.png"]
    (tmp_path / "list.txt").write_text(ending.join(names), encoding="utf-8", newline="")
    found = rows(frozen(tmp_path / "out", tmp_path / "list.txt"), size=2)
    assert [each.name for each in found] == [name for name in names if name.strip()]


def test_the_standard_input_is_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.png\nb.png\n")))
    found = frozen(tmp_path / "out", "-", root=str(tmp_path))
    assert ([each.name for each in rows(found)], found.root) == (["a.png", "b.png"], str(tmp_path))


def test_csv_of_paths_and_names(tmp_path: Path) -> None:
    path = tmp_path / "images.csv"
    lines = [["id", "path"], ["first, one", "a.png"], ["second", 'b "quoted".png'], ["third", ""]]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(lines)
    found = rows(frozen(tmp_path / "out", path, id_column="id"))
    assert [(each.name, each.value) for each in found] == [
        *(("first, one", b"a.png"), ("second", b'b "quoted".png'), ("third", b"")),
    ]
    plain = rows(frozen(tmp_path / "other", path))
    assert [each.name for each in plain] == ["a.png", 'b "quoted".png', ""]


def test_csv_of_images_in_base64(tmp_path: Path) -> None:
    large = os.urandom(200_000)
    texts = [base64.b64encode(picture(0)).decode(), base64.b64encode(large).decode(), "no base64!"]
    (tmp_path / "images.csv").write_text("image\n" + "\n".join(texts), encoding="utf-8")
    found = frozen(tmp_path / "out", tmp_path / "images.csv", base64=True)
    assert found.holds_bytes
    assert [each.value for each in rows(found)] == [picture(0), large, b"no base64!"]
    assert csv.field_size_limit() < len(texts[1])


@pytest.mark.parametrize("group", [1, 3, 4, 100])
@pytest.mark.parametrize("size", [1, 4, 7, 1000])
def test_parquet_of_images_is_referred_to(tmp_path: Path, group: int, size: int) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    values = [b"%d" % number for number in range(23)]
    for place, (begin, end) in enumerate(((0, 11), (11, 12), (12, 23))):
        table = pa.table({"name": list(map(str, range(begin, end))), "image": values[begin:end]})
        pq.write_table(table, folder / f"{place}.parquet", row_group_size=group)
    found = frozen(tmp_path / "out", folder, id_column="name")
    assert found.holds_bytes
    assert not (tmp_path / "out" / FILE).exists()
    assert [(each.name, each.value) for each in rows(found, size)] == [
        (str(number), value) for number, value in enumerate(values)
    ]


def test_parquet_of_hugging_face(tmp_path: Path) -> None:
    images = [{"bytes": picture(0), "path": "a.png"}, {"bytes": picture(1), "path": None}, None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": [0, 1, 2]})
    pq.write_table(table, tmp_path / "train.parquet")
    found = rows(frozen(tmp_path / "out", tmp_path / "train.parquet"))
    assert [(each.name, each.value) for each in found] == [
        *(("a.png", picture(0)), ("train.parquet#1", picture(1)), ("train.parquet#2", None)),
    ]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_parquet_of_paths_is_copied(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"path": pa.array(["a.png", None, "b.png"], kind), "x": [1, 2, 3]})
    pq.write_table(table, tmp_path / "paths.parquet")
    found = frozen(tmp_path / "out", tmp_path / "paths.parquet")
    (tmp_path / "paths.parquet").unlink()
    assert [(each.name, each.value) for each in rows(found)] == [
        *(("a.png", b"a.png"), ("", None), ("b.png", b"b.png")),
    ]


def test_images_that_have_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    pq.write_table(pa.table({"image": [b"one", b"two"]}), path)
    found = frozen(tmp_path / "out", path)
    found.check()
    pq.write_table(pa.table({"image": [b"one", b"two", b"three"]}), path)
    with pytest.raises(InputFileError, match="have changed since the run began"):
        found.check()


def test_a_large_input_is_written_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "GROUP_ROWS", 8)
    (tmp_path / "list.txt").write_text("\n".join(f"{number}.png" for number in range(30)))
    told: list[int] = []
    (tmp_path / "out").mkdir()
    found = freeze(Source(str(tmp_path / "list.txt")), tmp_path / "out", told.append)
    assert told == [8, 16, 24, 30]
    assert pq.ParquetFile(found.files[0]).metadata.num_row_groups == 4
    for size in (3, 8, 20, 64):
        assert [each.name for each in rows(found, size)] == [f"{n}.png" for n in range(30)]


@pytest.mark.parametrize(
    ("count", "size"), [(1, 64), (8_191, 64), (8_192, 128), (10_000, 128), (10_000_000, 4096)]
)
def test_parts_grow_with_the_input(count: int, size: int) -> None:
    assert rows_per_part(count) == size


def write(path: Path, text: str) -> Path:
    """A file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "options", "error", "says"),
    [
        ("gone/", None, {}, InputFileError, "there is no such file or folder"),
        ("a.csv", "x,y\n1,2\n", {}, UsageError, "which of its columns has the images: x, y"),
        ("a.csv", "x,y\n1,2\n", {"column": "z"}, UsageError, "has no column 'z'. It has x, y."),
        ("a.csv", "path\n", {}, InputFileError, "holds no images"),
        ("a.csv", 'path\n"open\n', {}, InputFileError, "is no CSV"),
        ("a.txt", "\n\n", {}, InputFileError, "holds no images"),
        ("a.txt", "x\n", {"column": "z"}, UsageError, "--column has no meaning for this input"),
        ("a.jpg", "x", {}, UsageError, "is none of the inputs that are read"),
        ("a.parquet", "no", {}, InputFileError, "is no Parquet file"),
        ("d/a.md", "no", {}, InputFileError, "holds no images: 1 files are no images by name"),
        ("d/a.png", "x", {"root": "/"}, UsageError, "--root has no meaning"),
        ("d/a.png", "x", {"base64": True}, UsageError, "--base64 has no meaning"),
    ],
)
def test_what_is_none_is_refused(
    tmp_path: Path,
    name: str,
    text: str | None,
    options: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    path = tmp_path / name
    if text is not None:
        write(path, text)
    given = path.parent if path.parent != tmp_path and text is not None else path
    with pytest.raises(error, match=says.replace("(", r"\(")):
        frozen(tmp_path / "out", given, **options)


def test_a_column_of_numbers_holds_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InputFileError, match="neither paths nor images"):
        frozen(tmp_path / "out", tmp_path / "a.parquet")
