"""The router, pages and metadata by themselves."""

from __future__ import annotations

import pytest
from tests.api.edge.toys import ListToys, Toys

from tongbao.api.router import Router
from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.foundation.http import NoParams, Route
from tongbao.foundation.metadata import check_metadata, merge_metadata
from tongbao.foundation.pages import ListParams, cut


def route(path: str) -> Route:
    return Route("GET", path, Toys().echo, NoParams, path)


def test_a_fixed_segment_wins_and_a_dead_end_is_left_again() -> None:
    router = Router([route(path) for path in ("/v1/{a}/x", "/v1/b/{c}", "/v1/b/c", "/v1/{a}/{b}/z", "/v1/b/{c}/y")])
    for path, template, variables in [
        ("/v1/b/c", "/v1/b/c", {}),
        ("/v1/b/x", "/v1/b/{c}", {"c": "x"}),
        ("/v1/q/x", "/v1/{a}/x", {"a": "q"}),
        ("/v1/b/q/z", "/v1/{a}/{b}/z", {"a": "b", "b": "q"}),
        ("/v1/b/c/y", "/v1/b/{c}/y", {"c": "c"}),
    ]:
        found, values = router.find("GET", path)
        assert (found.path, values) == (template, variables)
    for path in ("", "/", "/v1", "/v1/b", "/v1/b/", "/v1//x", "/v1/q/y", "v1/b/c", "/v1/\0/x", "/v1/\ud800/x"):
        with pytest.raises(NotFound):
            router.find("GET", path)


def test_two_routes_for_one_address_stop_the_start() -> None:
    with pytest.raises(ValueError, match="Two routes"):
        Router([route("/v1/{a}"), route("/v1/{b}")])
    with pytest.raises(ValueError, match="path must look like"):
        Router([route("/v1/")])


def test_pages_are_new_to_old_both_ways() -> None:
    assert cut([5, 4, 3], ListParams(limit=2)) == ([5, 4], True)
    assert cut([5, 4], ListParams(limit=2, starting_after="x")) == ([5, 4], False)
    assert cut([3, 4, 5], ListToys(limit=2, ending_before="x")) == ([4, 3], True)


def test_metadata_is_merged_and_an_empty_value_deletes() -> None:
    assert check_metadata({"a": "1", "b": ""}) == {"a": "1"}
    assert merge_metadata({"a": "1", "b": "2"}, {"b": "", "c": "3", "d": ""}) == {"a": "1", "c": "3"}
    assert merge_metadata({"a": "1"}, None) == {}
    full = {str(number): "x" for number in range(50)}
    assert merge_metadata(full, {"0": "", "new": "y"})["new"] == "y"
    assert check_metadata({"k" * 40: "v" * 500})


@pytest.mark.parametrize(
    ("new", "param"),
    [
        ({"k" * 41: "v"}, "metadata"),
        ({"": "v"}, "metadata"),
        ({"a[b": "v"}, "metadata"),
        ({"a]": ""}, "metadata"),
        ({"a": "v" * 501}, "metadata[a]"),
        ({str(number): "x" for number in range(51)}, "metadata"),
    ],
)
def test_metadata_beyond_the_rules_is_refused(new: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_metadata(new)
    assert (refused.value.code, refused.value.param) == ("metadata_invalid", param)
    with pytest.raises(InvalidRequest):
        merge_metadata({"old": "x"}, new)
