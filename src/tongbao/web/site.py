"""Every page of this installation that is not ``/v1``: the checkout, and a few pages about the installation itself."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from tongbao.api.assembly import Services
from tongbao.engine.store import UNAVAILABLE
from tongbao.web import codes
from tongbao.web.assets import Assets
from tongbao.web.checkout.arrivals import Arrivals
from tongbao.web.checkout.pages import CheckoutPages
from tongbao.web.checkout.paying import CheckoutForms, UnderWay
from tongbao.web.forms import Tickets
from tongbao.web.frame import Frame
from tongbao.web.languages import TAGS
from tongbao.web.live import Watcher
from tongbao.web.trouble import NO_PAGE, Trouble

_HEALTH_S = 2.0
_HOUR_S = 3_600


def pages(services: Services, openapi_document: Any) -> list[Route | Mount]:
    """The routes of all pages. The last one answers every other address with a friendly 404."""
    assets = Assets()
    frame = Frame(services.settings.base_url, assets)
    about = _About(services.pool, frame, openapi_document)
    key = hmac.digest(services.hash_key, b"pages", "sha256")
    under_way = UnderWay()
    checkout = CheckoutPages(frame, services.payments, services.pool, Tickets(key), Watcher(services.pool))
    forms = CheckoutForms(checkout, under_way)
    arrivals = Arrivals(checkout, services.engine, under_way)
    session = "/c/{part}/{session}"
    get = {
        "/": about.landing,
        "/how-to-tell": about.how_to_tell,
        "/docs/errors": about.errors,
        session: checkout.show,
        f"{session}/state": checkout.state,
        f"{session}/events": checkout.events,
        f"{session}/cancel": checkout.leave,
        "/o/{part}/{order}": arrivals.by_order,
        "/return/{merchant}/{intent}": arrivals.from_bank,
    }
    post = {f"{session}/pay": forms.pay, f"{session}/stop": forms.call_off}
    # Whoever reloads the answer to a form, or copies its address, finds the session's page.
    get |= dict.fromkeys(post, checkout.again)
    return [
        Route("/static/{name}", assets.serve, methods=["GET"]),
        Route("/healthz", about.health, methods=["GET"]),
        Route("/openapi.json", about.openapi, methods=["GET"]),
        *(Route(path, frame.endpoint(handler), methods=["GET"]) for path, handler in get.items()),
        *(Route(path, frame.endpoint(handler), methods=["POST"]) for path, handler in post.items()),
        Route("/{anything:path}", frame.endpoint(_nowhere), methods=["GET"]),
    ]


class _About:
    """Pages about the installation."""

    def __init__(self, pool: Any, frame: Frame, openapi_document: Any) -> None:
        self._pool = pool
        self._frame = frame
        self._document = openapi_document
        self._codes = {language: codes.groups(language) for language in TAGS}

    async def landing(self, request: Request) -> Response:
        """``GET /``."""
        return self._frame.page(request, self._frame.reader(request), "site/landing.html")

    async def how_to_tell(self, request: Request) -> Response:
        """``GET /how-to-tell``: how to recognise a true checkout."""
        return self._frame.page(request, self._frame.reader(request), "site/how_to_tell.html")

    async def errors(self, request: Request) -> Response:
        """``GET /docs/errors``: what each error code means. The API's errors link here."""
        reader = self._frame.reader(request)
        return self._frame.page(request, reader, "site/errors.html", groups=self._codes[reader.language])

    async def openapi(self, request: Request) -> Response:
        """``GET /openapi.json``."""
        headers = {"cache-control": f"public, max-age={_HOUR_S}", "access-control-allow-origin": "*"}
        return JSONResponse(self._document, headers=headers)

    async def health(self, request: Request) -> Response:
        """``GET /healthz``: 200 when the database answers, else 503. For load balancers; says nothing more."""
        try:
            async with asyncio.timeout(_HEALTH_S):
                await self._pool.fetchval("SELECT 1")
        except UNAVAILABLE:
            return JSONResponse({"status": "database_away"}, 503, {"cache-control": "no-store"})
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})


async def _nowhere(request: Request) -> Response:
    raise Trouble(404, NO_PAGE)
