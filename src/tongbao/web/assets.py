"""Style sheets, scripts and pictures: in memory, addressed by their content, so that browsers may keep them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_YEAR_S = 31_536_000


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. ``integrity`` is what the page tells the browser to expect (PCI DSS 4.0.1, 6.4.3)."""

    url: str
    body: bytes
    media_type: str
    integrity: str


class Assets:
    """All files of ``static``, read once."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._by_name = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
        self._by_url = {asset.url: asset for asset in self._by_name.values()}

    def __getitem__(self, name: str) -> Asset:
        return self._by_name[name]

    async def serve(self, request: Request) -> Response:
        """Answer ``/static/{name}``; the name holds the content's hash, so only the present content has it."""
        asset = self._by_url.get(f"/static/{request.path_params['name']}")
        if asset is None:
            return Response("Not found\n", 404, media_type="text/plain")
        headers = {
            "cache-control": f"public, max-age={_YEAR_S}, immutable",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "same-origin",
            # An SVG that is opened by itself is a document, and could otherwise run scripts.
            "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        }
        return Response(asset.body, 200, headers, asset.media_type)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    name = f"{path.stem}.{hashlib.sha256(body).hexdigest()[:12]}{path.suffix}"
    integrity = "sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode()
    return Asset(f"/static/{name}", body, _TYPES[path.suffix], integrity)
