"""The version guard: what a plan built here would meet in the image that serves it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton import releases
from resnet_serve.triton.releases import CURRENT, RELEASES, check_build, find

VERSIONS = st.tuples(*[st.integers(0, 200)] * 4).map(lambda parts: ".".join(map(str, parts)))
ANY_RELEASE = st.sampled_from(list(RELEASES.values()))


@pytest.mark.parametrize("tag", RELEASES)
def test_a_row_agrees_with_itself(tag: str) -> None:
    release = find(tag)
    assert release.image == f"nvcr.io/nvidia/tritonserver:{tag}-py3"
    assert re.fullmatch(r"2\.\d+\.0", release.triton)
    assert release.source
    if release.pypi is not None:
        assert f"{release.pypi}.".startswith(f"{release.tensorrt}.")
        assert release.requirement == f"tensorrt-cu{release.cuda[:2]}=={release.pypi}"
    if release.confidence == "image":
        assert release.tensorrt == release.pypi, "an image says all four parts"


def test_the_rows_go_up_month_by_month() -> None:
    numbers = [int(release.triton.split(".")[1]) for release in RELEASES.values()]
    assert list(RELEASES) == sorted(RELEASES)
    assert numbers == sorted(set(numbers))
    months = [tag for tag in RELEASES if tag.startswith("26.")]
    assert months == [f"26.{month:02}" for month in range(5, 10)]
    assert numbers[-len(months) :] == list(range(69, 74))
    assert CURRENT is list(RELEASES.values())[-1]


@pytest.mark.parametrize("tag", ["26.10", "latest", "", "26.9", "26.09-py3"])
def test_an_unknown_tag_lists_the_known_ones(tag: str) -> None:
    with pytest.raises(UsageError, match=r"24\.10, 26\.05, .*26\.09"):
        find(tag)


def test_the_build_that_the_image_itself_names() -> None:
    assert check_build(find("26.07"), "11.1.0.106", version_compatible=False) is None


@pytest.mark.parametrize(
    ("tag", "built", "said"),
    [
        ("26.09", "11.3.0.99", "comes from release notes"),
        ("26.09", "11.3.1.5", "of which PyPI has 11.3.0.99, not the 11.3.1.5"),
        ("26.06", "11.0.0.114", "is inferred"),
        ("24.10", "10.5.0.18", "is inferred"),
    ],
)
def test_where_the_table_is_not_sure_it_says_so(tag: str, built: str, said: str) -> None:
    warning = check_build(find(tag), built, version_compatible=False)
    assert warning is not None
    assert said in warning
    assert "resnet-serve verify --host" in warning


@pytest.mark.parametrize(
    ("tag", "built", "compatible", "remedies"),
    [
        # pip's newest, which no image ships
        ("26.09", "11.4.0.106", False, ["pip install tensorrt-cu13==11.3.0.99", "inside nvcr.io"]),
        ("26.09", "11.4.0.106", True, ["pip install tensorrt-cu13==11.3.0.99"]),
        ("26.09", "11.1.0.106", False, ["--version-compatible"]),
        ("26.09", "10.16.1.11", False, ["pip install tensorrt-cu13==11.3.0.99"]),
        ("26.09", "10.16.1.11", True, ["pip install tensorrt-cu13==11.3.0.99"]),
        ("26.05", "11.3.0.99", True, ["pip install tensorrt-cu13==10.16.1.11"]),
        ("26.07", "11.1.0.107", False, ["pip install tensorrt-cu13==11.1.0.106"]),
        ("24.10", "11.3.0.99", False, ["build inside nvcr.io/nvidia/tritonserver:24.10-py3"]),
    ],
)
def test_a_plan_that_would_not_load_is_refused_before_the_build(
    tag: str, built: str, compatible: bool, remedies: list[str]
) -> None:
    with pytest.raises(HostError) as refusal:
        check_build(find(tag), built, version_compatible=compatible)
    text = str(refusal.value)
    assert built in text
    assert find(tag).tensorrt in text
    assert "\n" not in text
    assert all(remedy in text for remedy in remedies), text
    offered = "--version-compatible" in text
    assert offered == ("--version-compatible" in remedies), "only where it would help"


@pytest.mark.parametrize("built", ["11.0.0.114", "11.1.0.106", "11.3.0.99"])
def test_a_version_compatible_plan_goes_forward(built: str) -> None:
    note = check_build(find("26.09"), built, version_compatible=True)
    assert note is not None
    assert "--backend-config=tensorrt,version-compatible=true" in note


@pytest.mark.parametrize(
    "version", ["", "11", "11.3", "11.3.0", "11.3.0.99.1", "11.3.0.x", "١.٢.٣.٤"]
)
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(UsageError, match="is not a TensorRT version"):
        check_build(CURRENT, version, version_compatible=False)


@given(ANY_RELEASE, VERSIONS)
def test_version_compatibility_only_ever_allows_more_within_a_major(
    release: releases.Release, built: str
) -> None:
    def allowed(compatible: bool) -> bool:
        try:
            check_build(release, built, version_compatible=compatible)
        except HostError:
            return False
        return True

    if allowed(False):
        assert allowed(True)
        assert f"{built}.".startswith(f"{release.tensorrt}.")
    if allowed(True):
        assert int(built.partition(".")[0]) == release.tensorrt_major
