"""What every page shares: templates in two languages, security headers, and friendly answers when things go wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jinja2
import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tongbao.engine.store import UNAVAILABLE
from tongbao.foundation.errors import KINDS, DomainError
from tongbao.foundation.ids import new_id
from tongbao.web import show
from tongbao.web.assets import Assets
from tongbao.web.languages import CATALOGUES, NAMES, OTHER, TAGS, Language, choose, say
from tongbao.web.trouble import AWAY, BAD_FORM, BROKEN, NO_PAGE, Trouble, Words

log = structlog.get_logger("tongbao.web")

LANGUAGE_COOKIE = "tongbao_lang"
_TEMPLATES = Path(__file__).parent / "templates"
_RETRY_AFTER_S = "3"

# Nothing is loaded from elsewhere, and nothing inline runs. (form-action stops a redirect after a form, too, so
# a form always leads back to us, and the way on is a link.)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # A page's address is a key to it. (no-referrer would also hide the form's origin from ourselves.)
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a page is made. ``scope`` is the path within which a choice of language is remembered."""

    language: Language
    scope: str | None = None


class Frame:
    """Renders pages and answers. One per process."""

    def __init__(self, base_url: str, assets: Assets) -> None:
        """:param base_url: our public address."""
        parts = urlsplit(base_url)
        self.base_url = base_url
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.host = parts.netloc
        self._is_secure = parts.scheme == "https"
        self._assets = assets
        self._environments = {language: self._environment(language) for language in TAGS}

    def _environment(self, language: Language) -> jinja2.Environment:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        catalogue = CATALOGUES[language]
        environment.install_gettext_callables(  # type: ignore[attr-defined]
            catalogue.gettext, catalogue.ngettext, newstyle=True
        )
        environment.globals.update(
            asset=self._assets.__getitem__,
            amount=show.amount,
            machine_time=show.machine_time,
            host=self.host,
        )
        return environment

    def reader(self, request: Request, shop: str | None = None, scope: str | None = None) -> Reader:
        """Choose the language. ``shop`` is the language that the shop says its shopper reads."""
        language = choose(
            request.query_params.get("lang"),
            request.cookies.get(LANGUAGE_COOKIE),
            shop,
            request.headers.get("accept-language", ""),
        )
        return Reader(language, scope)

    def page(
        self,
        request: Request,
        reader: Reader,
        template: str,
        status: int = 200,
        *,
        query: dict[str, str] | None = None,
        path: str | None = None,
        **values: Any,
    ) -> Response:
        """Render a page. ``query`` and ``path`` say where it can be had, for the link to the other language."""
        language, other = reader.language, OTHER[reader.language]
        address = path or request.url.path
        html = (
            self._environments[language]
            .get_template(template)
            .render(
                language=language,
                language_tag=TAGS[language],
                other=other,
                other_tag=TAGS[other],
                other_name=NAMES[other],
                other_url=f"{address}?{urlencode({**(query or {}), 'lang': other})}",
                own_url=f"{address}?{urlencode(query)}" if query else address,
                **values,
            )
        )
        headers = _HEADERS | {"content-language": TAGS[language], "vary": "Accept-Language, Cookie"}
        if self._is_secure:
            headers["strict-transport-security"] = "max-age=31536000"
        response = HTMLResponse(html, status, headers)
        if reader.scope is not None and request.query_params.get("lang"):
            response.set_cookie(
                LANGUAGE_COOKIE, language, path=reader.scope, secure=self._is_secure, httponly=True, samesite="lax"
            )
        return response

    def sorry(self, request: Request, status: int, words: Words, request_id: str | None = None) -> Response:
        """A page, or for a program a few fields of JSON, that says what went wrong."""
        reader = self.reader(request)
        title, text = (say(reader.language, part) for part in words)
        if wants_json(request):
            response: Response = JSONResponse(
                # After a 5xx it may not be known whether a payment was begun.
                {"problem": f"{title}. {text}", "certain": status < 500},
                status,
                _HEADERS,
            )
        else:
            response = self.page(request, reader, "trouble.html", status, title=title, text=text, request_id=request_id)
        if status == 503:
            response.headers["retry-after"] = _RETRY_AFTER_S
        return response

    def endpoint(self, handler: Handler) -> Handler:
        """The handler with an answer for whatever it raises: bad input is never a 5xx, and no error is a blank page."""

        async def answer(request: Request) -> Response:
            request_id = new_id("req")
            request.state.request_id = request_id
            try:
                response = await handler(request)
            except Trouble as trouble:
                response = self.sorry(request, trouble.status, trouble.words)
            except DomainError as error:
                status = KINDS[error.kind].http_status
                words = {404: NO_PAGE, 503: AWAY, 500: BROKEN}.get(status, BAD_FORM)
                response = self.sorry(request, status, words)
            except UNAVAILABLE as error:
                log.warning("database_away", cause=type(error).__name__, request_id=request_id)
                response = self.sorry(request, 503, AWAY)
            except Exception:
                log.exception("page_failed", request_id=request_id)
                response = self.sorry(request, 500, BROKEN, request_id)
            response.headers["request-id"] = request_id
            return response

        return answer


def wants_json(request: Request) -> bool:
    """Whether the page's own script asks, rather than the browser itself."""
    return request.headers.get("accept", "") == "application/json"


def answer_json(body: dict[str, Any], status: int = 200) -> Response:
    """A few fields for the page's own script."""
    return JSONResponse(body, status, _HEADERS)


def go(url: str) -> Response:
    """Send the browser on, by GET. ``url`` is our own path, or an address that was checked."""
    return Response(status_code=303, headers=_HEADERS | {"location": url})
