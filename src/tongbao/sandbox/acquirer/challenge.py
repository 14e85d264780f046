"""The 3-D Secure page: what a bank would show the shopper before a payment. One page, two buttons."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from tongbao.foundation.money import SYMBOLS, decimal_text
from tongbao.sandbox.acquirer.operations import Operation

_FOLDER = Path(__file__).parent / "pages"
_FORM_MAX = 1024
_PAGES = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)

_BRANDS = {
    "amex": "American Express",
    "diners": "Diners Club",
    "discover": "Discover",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
}

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "bank": "Test Bank",
        "title": "Confirm your payment",
        "lead": "Your bank asks whether it is you who pays.",
        "merchant": "Merchant",
        "card": "Card",
        "for": "For",
        "approve": "Approve",
        "decline": "Decline",
        "fine": "3-D Secure · A simulated bank: no real money moves.",
        "other": "中文",
        "approved": "Payment confirmed",
        "declined": "Payment not confirmed",
        "done": "There is nothing more to do here.",
        "back": "Back to the shop",
        "unknown": "No such payment",
        "unknown_lead": "This address is not, or no longer, valid. Go back to the shop and try again.",
    },
    "zh": {
        "bank": "测试银行",
        "title": "请确认这笔付款",
        "lead": "银行需要确认，正在付款的是您本人。",
        "merchant": "商户",
        "card": "银行卡",
        "for": "用途",
        "approve": "确认付款",
        "decline": "拒绝付款",
        "fine": "3-D 安全验证 · 模拟银行，不会动用真实资金。",
        "other": "English",
        "approved": "付款已确认",
        "declined": "付款未确认",
        "done": "这里没有其他事情要做了。",
        "back": "返回商店",
        "unknown": "没有这笔付款",
        "unknown_lead": "此地址无效或已失效，请返回商店重试。",
    },
}

Find = Callable[[str], Awaitable[Operation | None]]
Answer = Callable[[str, bool], Awaitable[Operation | None]]


def routes(find: Find, answer: Answer) -> list[Route]:
    """The page, its form's target, and its style sheet."""

    async def show(request: Request) -> Response:
        operation = await find(request.path_params["secret"])
        return _page(request, operation)

    async def decide(request: Request) -> Response:
        choice = await _choice(request)
        if choice is None:
            operation = await find(request.path_params["secret"])
            return _page(request, operation, 400)
        operation = await answer(request.path_params["secret"], choice == "approve")
        if operation is None or operation.return_url is None:
            return _page(request, operation)
        return RedirectResponse(operation.return_url, 303, {"cache-control": "no-store"})

    async def style(_: Request) -> Response:
        return FileResponse(_FOLDER / "challenge.css", media_type="text/css")

    return [
        Route("/challenges/{secret}", show, methods=["GET"]),
        Route("/challenges/{secret}", decide, methods=["POST"]),
        Route("/challenge.css", style, methods=["GET"]),
    ]


def language_of(request: Request) -> str:
    """``?lang=`` if it is one of ours, else the best of ``Accept-Language``, else English."""
    asked = request.query_params.get("lang")
    if asked in TEXTS:
        return asked
    best, weight = "en", 0.0
    for part in request.headers.get("accept-language", "")[:500].split(","):
        match = re.fullmatch(r"\s*([a-zA-Z]+)[-\w]*\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", part)
        if match and match[1].lower() in TEXTS and float(match[2] or 1) > weight:
            best, weight = match[1].lower(), float(match[2] or 1)
    return best


async def _choice(request: Request) -> str | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_MAX:
            return None
    values = parse_qs(body.decode("ascii", "replace")).get("answer", [])
    return values[0] if values in (["approve"], ["decline"]) else None


def _page(request: Request, operation: Operation | None, status: int = 200) -> Response:
    language = language_of(request)
    text = TEXTS[language]
    prefix = request.scope.get("root_path", "")
    values = {
        "t": text,
        "language": {"en": "en", "zh": "zh-CN"}[language],
        "other": "zh" if language == "en" else "en",
        "style": f"{prefix}/challenge.css",
        "operation": operation,
    }
    if operation is not None:
        details = msgspec.json.decode(operation.details, type=dict[str, str])
        values |= {
            "amount": amount_text(operation.amount, operation.currency),
            "merchant": operation.merchant_name or operation.merchant_id,
            "brand": _BRANDS.get(details.get("brand", ""), details.get("brand", "")),
            "last4": details.get("last4", ""),
        }
    html = _PAGES.get_template("challenge.html").render(values)
    headers = _headers(operation.return_url if operation else None)
    return Response(html, 404 if operation is None else status, headers, "text/html; charset=utf-8")


def _headers(return_url: str | None) -> dict[str, str]:
    # Browsers hold the redirect that follows a form to form-action too, so the shop's origin is named in it.
    targets = " ".join(filter(None, ["'self'", origin_of(return_url)]))
    policy = f"default-src 'none'; style-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    return {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def origin_of(url: str | None) -> str | None:
    """``scheme://host[:port]`` of an address, or ``None`` where it holds what has no place in a policy."""
    if url is None:
        return None
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", host) else None


def amount_text(amount: int, currency: str) -> str:
    """``¥129.00`` where the currency's sign is known, else ``CHF 129.00``."""
    sign = SYMBOLS.get(currency)
    number = decimal_text(amount, currency)
    return f"{sign}{number}" if sign else f"{currency.upper()} {number}"
