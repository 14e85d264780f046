"""The shelf and the cart."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tongbao.sandbox.shop.catalogue import BY_CODE, SHELF
from tongbao.sandbox.shop.frame import Shop, Trouble, browser_of, new_browser
from tongbao.sandbox.shop.store import QUANTITY_MAX


async def home(shop: Shop, request: Request) -> Response:
    """``GET /``: everything on the shelf. ``?added=`` names what was just put into the cart."""
    added = BY_CODE.get(request.query_params.get("added", ""))
    shelves = {name: [p for p in SHELF if p.shelf == name] for name in ("tea", "ware")}
    cart = shop.store.cart(browser_of(request))
    is_full = added is not None and any(n.code == added.code and n.quantity >= QUANTITY_MAX for n in cart.lines)
    return shop.render(
        request, "home.html", shelves=shelves, added=added, is_full=is_full, most=QUANTITY_MAX, cart=cart
    )


async def add(shop: Shop, request: Request) -> Response:
    """``POST /cart/add``: one more of ``product``."""
    form = await shop.form(request)
    product = _product(form.get("product", ""))
    browser = browser_of(request) or new_browser()
    held = {line.code: line.quantity for line in shop.store.cart(browser).lines}
    shop.store.set_quantity(browser, product, held.get(product, 0) + 1)
    return shop.ensure_browser(request, shop.go(f"/?added={product}#{product}"), browser)


async def cart(shop: Shop, request: Request) -> Response:
    """``GET /cart``."""
    return shop.render(
        request,
        "cart.html",
        cart=shop.store.cart(browser_of(request)),
        has_lin=bool(shop.config.customer_id),
        changed="changed" in request.query_params,
        most=QUANTITY_MAX,
    )


async def change(shop: Shop, request: Request) -> Response:
    """``POST /cart``: ``set`` is ``product:quantity``, as the buttons of the cart page send it."""
    form = await shop.form(request)
    code, _, quantity = form.get("set", "").partition(":")
    if not (quantity.isascii() and quantity.isdigit() and len(quantity) <= 3):
        raise Trouble(400, "form", back="cart")
    if browser := browser_of(request):
        shop.store.set_quantity(browser, _product(code), int(quantity))
    return shop.go("/cart")


def _product(code: str) -> str:
    if code not in BY_CODE:
        raise Trouble(400, "form", back="cart")
    return code
