"""What every page of the shop shares: settings and stores at hand, language, browser cookie, forms, rendering."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tongbao.sandbox.shop import words
from tongbao.sandbox.shop.catalogue import Language
from tongbao.sandbox.shop.config import ShopConfig, origin_of
from tongbao.sandbox.shop.store import Store
from tongbao.sandbox.shop.tongbao_api import ApiRefused, TongbaoApi
from tongbao.sandbox.shop.webhooks import BodyTooLarge, bounded_body

HERE = Path(__file__).parent
BROWSER_COOKIE = "teashop"
LANGUAGE_COOKIE = "teashop_lang"
YEAR_S = 365 * 86_400
FORM_MAX = 8 * 1024
Form = dict[str, str]
Handler = Callable[["Shop", Request], Awaitable[Response]]


class Trouble(Exception):
    """A page that says what went wrong. ``what`` names the phrases ``trouble.{what}`` and ``trouble.{what}.text``."""

    def __init__(self, status: int, what: str, *, back: str = "home", detail: str = "") -> None:
        super().__init__(what)
        self.status, self.what, self.back, self.detail = status, what, back, detail


def refused(error: ApiRefused, what: str, back: str) -> Trouble:
    """The page for an answer of no: the reason goes to the developer's corner, for it is rarely the shopper's."""
    number = f" ({error.request_id})" if error.request_id else ""
    return Trouble(502, what, back=back, detail=f"HTTP {error.status} {error.code}: {error.message}{number}"[:600])


@dataclass(frozen=True)
class Shop:
    """The shop: its settings, its memory, its line to the API, and its templates."""

    config: ShopConfig
    store: Store
    api: TongbaoApi
    templates: jinja2.Environment

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Render a page in the browser's language, and keep a language that was chosen by ``?lang=``."""
        language = language_of(request)
        response = HTMLResponse(self._text(request, template, language, values), status)
        chosen = request.query_params.get("lang")
        if chosen == language and request.cookies.get(LANGUAGE_COOKIE) != chosen:
            self._set_cookie(response, LANGUAGE_COOKIE, language)
        return response

    def fragment(self, request: Request, template: str, **values: Any) -> str:
        """Render a part of a page."""
        return self._text(request, template, language_of(request), values)

    def _text(self, request: Request, template: str, language: Language, values: dict[str, Any]) -> str:
        def money(amount: int) -> str:
            return "¥{}.{}".format(*words.yuan(amount))

        def big(amount: int) -> Markup:
            whole, part = words.yuan(amount)
            html = '<data value="{}"><span class="cur">¥</span>{}<span class="minor">.{}</span></data>'
            return Markup(html).format(f"{whole.replace(',', '')}.{part}", whole, part)  # noqa: S704 - escapes

        query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("lang", "added", "changed")]
        other = "en" if language == "zh" else "zh"
        return self.templates.get_template(template).render(
            base=self.config.base_path,
            language=language,
            t=lambda key, **kw: words.say(language, key, **kw),
            money=money,
            big=big,
            moment=lambda ms: words.moment(language, ms),
            machine_time=words.machine_time,
            cart_count=self.store.cart(browser_of(request)).count,
            other=other,
            # What answers a POST has no address to come back to.
            other_url=("" if request.method == "GET" else self.config.base_path + "/")
            + "?"
            + urlencode([*query, ("lang", other)]),
            **values,
        )

    def go(self, path: str) -> Response:
        """Send the browser to another page of the shop, by GET."""
        return RedirectResponse(self.config.base_path + path, 303)

    def trouble(self, request: Request, trouble: Trouble) -> Response:
        """The page for ``trouble``."""
        response = self.render(request, "trouble.html", trouble.status, trouble=trouble)
        if trouble.status == 503:
            response.headers["Retry-After"] = "5"
        return response

    def ensure_browser(self, request: Request, response: Response, browser: str) -> Response:
        """Give the browser its cookie, if it has none yet."""
        if request.cookies.get(BROWSER_COOKIE) != browser:
            self._set_cookie(response, BROWSER_COOKIE, browser)
        return response

    def _set_cookie(self, response: Response, name: str, value: str) -> None:
        path = self.config.base_path or "/"
        response.set_cookie(name, value, YEAR_S, path=path, secure=self.config.is_secure, httponly=True, samesite="lax")

    async def form(self, request: Request) -> Form:
        """Read a form that this shop's own page sent. Raises ``Trouble`` for any other.

        The cookie is SameSite=Lax already, so a stranger's form arrives without it. Browsers tell the origin of
        every POST that crosses sites; a request without one comes from no browser and carries no one's cookie.
        """
        origin = request.headers.get("Origin")
        ours = (origin_of(self.config.public_url), f"{request.url.scheme}://{request.headers.get('Host')}")
        if origin is not None and origin not in ours:
            raise Trouble(403, "origin")
        if request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise Trouble(415, "form")
        try:
            text = (await bounded_body(request, FORM_MAX)).decode("ascii")
            fields = parse_qs(text, keep_blank_values=True, max_num_fields=50, errors="strict")
        except BodyTooLarge:
            raise Trouble(413, "form") from None
        except ValueError:
            raise Trouble(400, "form") from None
        return {name: values[-1] for name, values in fields.items()}


def language_of(request: Request) -> Language:
    """The language in which this browser reads."""
    return words.choose_language(
        request.query_params.get("lang"),
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("Accept-Language", ""),
    )


def browser_of(request: Request) -> str:
    """The browser's name in its cookie, or nothing; other people's forms of cookie count as nothing."""
    found = request.cookies.get(BROWSER_COOKIE, "")
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else ""


def new_browser() -> str:
    """A name for a browser that nobody can guess."""
    return secrets.token_hex(16)


def make_templates() -> jinja2.Environment:
    """The templates: escaped by default; a name that is not there is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    static = sorted(p for p in (HERE / "static").rglob("*") if p.is_file())
    # Static files are cached by browsers for long; their address changes when any of them does.
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in static)).hexdigest()[:8]
    environment.globals["edition"] = digest
    environment.globals["pretty"] = lambda value: json.dumps(value, ensure_ascii=False, indent=2)
    return environment
