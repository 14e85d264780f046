"""Which route a request means: exact addresses by dictionary, addresses with variables segment by segment."""

from __future__ import annotations

from collections.abc import Iterable

from tongbao.foundation.errors import MethodNotAllowed, NotFound
from tongbao.foundation.http import Route

VARIABLE_MAX = 255

Methods = dict[str, tuple[Route, tuple[str, ...]]]
"""By HTTP method: the route and the names of its variables."""


class _Node:
    """One segment of addresses: the segments that may follow it, and the methods if an address ends here."""

    __slots__ = ("children", "methods", "variable")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.methods: Methods = {}


class Router:
    """Finds routes by method and path. A fixed segment wins over a variable one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raise ``ValueError`` for a malformed path or for two routes with one method and one address."""
        self._fixed: dict[str, Methods] = {}
        self._root = _Node()
        for route in routes:
            self._add(route)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and its variables. HEAD is answered by the GET route.

        Raises ``NotFound`` for an unknown address, ``MethodNotAllowed`` for a known one without this method.
        """
        methods, values = self._match(path)
        if not methods:
            raise unrecognized(method, path)
        found = methods.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = ", ".join(self.allowed(path))
            raise MethodNotAllowed(
                "method_not_allowed", f"{method[:20]} is not possible at {_shown(path)}. Use one of: {allowed}."
            )
        route, names = found
        return route, dict(zip(names, values, strict=True)) if names else {}

    def allowed(self, path: str) -> list[str]:
        """The methods that an address answers to, for the ``Allow`` header; none for an unknown address."""
        methods = set(self._match(path)[0])
        if not methods:
            return []
        return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))

    def _match(self, path: str) -> tuple[Methods, list[str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, []
        values: list[str] = []
        node = _walk(self._root, path.split("/"), 1, values)
        return (node.methods if node else {}), values

    def _add(self, route: Route) -> None:
        segments = route.path.split("/")
        if not route.path.startswith("/") or "" in segments[1:]:
            raise ValueError(f"A route's path must look like /v1/things/{{id}}: {route.path!r}.")
        names: list[str] = []
        node = self._root
        for segment in segments[1:]:
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.children.setdefault(segment, _Node())
        if route.method in node.methods:
            raise ValueError(f"Two routes for {route.method} {route.path}.")
        node.methods[route.method] = (route, tuple(names))
        if not names:
            self._fixed[route.path] = node.methods


def unrecognized(method: str, path: str) -> NotFound:
    """The error for an address that leads nowhere."""
    return NotFound(
        "url_unrecognized",
        f"Unrecognized request URL ({method[:20]}: {_shown(path)}). "
        "Check the method and the address against the API reference.",
    )


def _walk(node: _Node, segments: list[str], at: int, values: list[str]) -> _Node | None:
    """Follow the segments from ``at`` on; gather the variables' values on the way."""
    if at == len(segments):
        return node if node.methods else None
    segment = segments[at]
    child = node.children.get(segment)
    if child is not None and (found := _walk(child, segments, at + 1, values)):
        return found
    # isprintable() keeps out NUL, which PostgreSQL's text cannot hold, and lone surrogates.
    if node.variable is not None and 0 < len(segment) <= VARIABLE_MAX and segment.isprintable():
        values.append(segment)
        if found := _walk(node.variable, segments, at + 1, values):
            return found
        values.pop()
    return None


def _shown(path: str) -> str:
    short = path if len(path) <= 100 else path[:100] + "…"
    return short if short.isprintable() else "(not printable)"
