"""From the cart to an order, to the hosted checkout and back, and the pages that show an order."""

from __future__ import annotations

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tongbao.sandbox.shop.catalogue import CURRENCY
from tongbao.sandbox.shop.config import origin_of
from tongbao.sandbox.shop.frame import Shop, Trouble, browser_of, language_of, refused
from tongbao.sandbox.shop.store import ShopOrder
from tongbao.sandbox.shop.story import conclude
from tongbao.sandbox.shop.tongbao_api import ApiRefused, ApiUnreachable

ORDER_LIFE_S = 3600


async def checkout(shop: Shop, request: Request) -> Response:
    """``POST /checkout``: make the order, open a checkout session for it, and send the shopper there."""
    form = await shop.form(request)
    browser = browser_of(request)
    cart = shop.store.cart(browser)
    customer = shop.config.customer_id if form.get("shopper") == "lin" else None
    if form.get("version") != cart.version or not cart.lines:
        # Pressed twice, or changed in another window: the first press may have made the order already.
        made = shop.store.order_of_cart(form.get("version", ""), browser)
        if made is None:
            return shop.go("/cart?changed=1")
        return to_checkout(shop, request, made)
    order = shop.store.open_order(browser, cart, customer or "", language_of(request))
    try:
        order = await ensure_session(shop, order)
    except Trouble as trouble:
        if trouble.what == "refused":  # asking the same again would be refused again
            shop.store.renew_cart(browser)
        raise
    shop.store.empty_cart(browser, cart.version)
    return to_checkout(shop, request, order)


async def pay(shop: Shop, request: Request) -> Response:
    """``POST /orders/{number}/pay``: go (back) to the checkout of an order that is not paid yet."""
    await shop.form(request)
    order = _own_order(shop, request)
    events = shop.store.events_of(order)
    if conclude(order.total, events).status not in ("waiting", "partially_paid"):
        return shop.go(f"/orders/{order.number}")
    # A session that brought only a part is used up; the rest needs another.
    is_used = any(e.type == "checkout.session.completed" and e.object.get("id") == order.session_id for e in events)
    return to_checkout(shop, request, await ensure_session(shop, order, another=is_used))


async def put_back(shop: Shop, request: Request) -> Response:
    """``POST /orders/{number}/again``: its lines go back into the cart."""
    await shop.form(request)
    order = _own_order(shop, request)
    shop.store.refill_cart(order.browser, order.lines)
    return shop.go("/cart")


async def ensure_session(shop: Shop, order: ShopOrder, *, another: bool = False) -> ShopOrder:
    """Do what is still missing of the two calls. Their keys are the order's, so that no try makes a second one."""
    try:
        if order.order_id is None:
            made = await shop.api.post("/v1/orders", _order_params(order), f"shop-order-{order.number}")
            shop.store.remember_order_id(order.number, _text(made, "id"))
            shop.store.note_call(order.number, "POST /v1/orders", made["id"])
            order = _fresh(shop, order)
        if order.session_url is None or another:
            params = _session_params(shop, order)
            key = f"shop-session-{order.number}" + (f"-after-{order.session_id}" if another else "")
            made = await shop.api.post("/v1/checkout/sessions", params, key)
            if not origin_of(_text(made, "url")):
                raise ApiUnreachable("the session's url is not an address")
            shop.store.remember_session(order.number, _text(made, "id"), made["url"])
            shop.store.note_call(order.number, "POST /v1/checkout/sessions", made["id"])
            order = _fresh(shop, order)
    except ApiUnreachable:
        raise Trouble(503, "away", back="cart") from None
    except ApiRefused as error:
        raise refused(error, "refused", "cart") from None
    return order


def to_checkout(shop: Shop, request: Request, order: ShopOrder) -> Response:
    """Redirect to the hosted page; by a link if our own Content-Security-Policy would stop a form from ending there."""
    url = order.session_url
    if url is None:
        return shop.go("/cart?changed=1")
    if origin_of(url) in checkout_origins(shop):
        return RedirectResponse(url, 303)
    return shop.render(request, "onward.html", url=url, origin=origin_of(url))


def checkout_origins(shop: Shop) -> list[str]:
    """Where a form of this shop may end."""
    return [origin for origin in (origin_of(shop.config.api_base), shop.config.checkout_origin) if origin]


def _order_params(order: ShopOrder) -> dict[str, Any]:
    language = order.language
    lines = [
        {
            "name": f"{line.product.name(language)} {line.product.size(language)}",
            "quantity": line.quantity,
            "unit_amount": line.price,
        }
        for line in order.lines
    ]
    return {
        "currency": CURRENCY,
        "line_items": lines,
        "customer": order.customer or None,
        "description": f"{'山间茶订单' if language == 'zh' else 'Hillside Tea order'} {order.number}",
        "expires_at": order.created_ms // 1000 + ORDER_LIFE_S,
        "metadata": {"shop_order": order.number},
    }


def _session_params(shop: Shop, order: ShopOrder) -> dict[str, Any]:
    page = f"{shop.config.public_url.rstrip('/')}/orders/{order.number}"
    return {
        "mode": "payment",
        "order": order.order_id,
        "customer": order.customer or None,
        "success_url": f"{page}?session={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{page}?canceled=1",
        "locale": order.language,
    }


async def order_page(shop: Shop, request: Request) -> Response:
    """``GET /orders/{number}``: where the checkout sends the shopper back to."""
    return shop.render(request, "order.html", **_view(shop, request, _own_order(shop, request)))


async def live(shop: Shop, request: Request) -> Response:
    """``GET /orders/{number}/live?seen=``: 204 while nothing is new, else the page's middle part as it is now."""
    view = _view(shop, request, _own_order(shop, request))
    if request.query_params.get("seen") == view["seen"]:
        return Response(status_code=204)
    html = shop.fragment(request, "order_live.html", **view)
    return JSONResponse({"seen": view["seen"], "status": view["story"].status, "pace": view["pace"], "html": html})


async def receipt(shop: Shop, request: Request) -> Response:
    """``GET /orders/{number}/receipt``: for paper. Only for what has been paid."""
    view = _view(shop, request, _own_order(shop, request))
    if view["story"].paid_at_s is None:
        raise Trouble(404, "missing")
    return shop.render(request, "receipt.html", **view)


async def orders(shop: Shop, request: Request) -> Response:
    """``GET /orders``: what this browser has ordered."""
    browser = browser_of(request)
    found = shop.store.orders_of(browser) if browser else []
    rows = [(order, conclude(order.total, shop.store.events_of(order))) for order in found]
    return shop.render(request, "orders.html", rows=rows)


def _view(shop: Shop, request: Request, order: ShopOrder) -> dict[str, Any]:
    events, calls = shop.store.events_of(order), shop.store.calls_of(order.number)
    story = conclude(order.total, events)
    seen = hashlib.sha256("|".join([*(e.id for e in events), *(c.result for c in calls)]).encode()).hexdigest()[:16]
    waiting = story.status in ("waiting", "partially_paid")
    timeline = sorted(
        [*((c.at_ms, "call", c) for c in calls), *((e.received_ms, "event", e) for e in events)],
        key=lambda entry: entry[0],
    )
    return {
        "order": order,
        "story": story,
        "timeline": timeline,
        "event_count": len(events),
        "seen": seen,
        # How often the page asks for news, in milliseconds; nought when none is expected.
        "pace": 1000 if waiting else (0 if story.is_final else 4000),
        "returned": waiting and "session" in request.query_params,
        "canceled": waiting and "canceled" in request.query_params,
    }


def _own_order(shop: Shop, request: Request) -> ShopOrder:
    order = shop.store.order(request.path_params["number"])
    if order is None or order.browser != browser_of(request):
        raise Trouble(404, "missing")
    return order


def _fresh(shop: Shop, order: ShopOrder) -> ShopOrder:
    found = shop.store.order(order.number)
    if found is None:
        raise LookupError(f"order {order.number} has vanished from the shop's file")
    return found


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise ApiUnreachable(f"an answer without {name}")
    return value
