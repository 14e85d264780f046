"""The shop's words in Chinese and English, and how it decides between them."""

from __future__ import annotations

from datetime import UTC, datetime

from tongbao.sandbox.shop.catalogue import Language
from tongbao.sandbox.shop.store import CHINA

PHRASES: dict[str, tuple[str, str]] = {
    # Frame
    "shop": ("山间茶", "Hillside Tea"),
    "shop.other": ("Hillside Tea", "山间茶"),
    "skip": ("跳到正文", "Skip to content"),
    "nav": ("商店", "Shop"),
    "nav.orders": ("订单", "Orders"),
    "nav.cart": ("购物车", "Cart"),
    "nav.cart.count": ("购物车，{n} 件", "Cart, {n} items"),
    "nav.cart.one": ("购物车，1 件", "Cart, 1 item"),
    "nav.other": ("English", "中文"),
    "foot": ("由通宝收款 · 演示商店，不动用真钱", "Payments by Tongbao · a demo shop, no real money moves"),
    "foot.admin": ("店主后台", "Shopkeeper’s desk"),
    # Home
    "home.title": ("春山新茶", "Tea from the hillside"),
    "home.lead": (
        "八样东西，一间小店。选好放进购物车，到通宝的收银台付款。",
        "Eight good things in one small shop. Fill the cart, then pay at Tongbao’s checkout.",
    ),
    "shelf.tea": ("茶", "Tea"),
    "shelf.tea.text": ("四季各取其一", "One from each season"),
    "shelf.ware": ("器", "Ware"),
    "shelf.ware.text": ("泡茶用得上的", "What you need to brew it"),
    "add": ("加入", "Add"),
    "add.what": ("把{name}加入购物车", "Add {name} to the cart"),
    "added": ("{name}已放入购物车", "{name} is in your cart"),
    "added.full": ("{name}每单最多 {n} 件", "At most {n} of {name} per order"),
    "added.go": ("去购物车", "View cart"),
    # Cart
    "cart": ("购物车", "Your cart"),
    "cart.empty": ("还是空的", "Nothing here yet"),
    "cart.empty.text": ("挑一款茶，或一件器皿。", "Choose a tea, or something to drink it from."),
    "cart.browse": ("看看茶叶", "Browse the shelf"),
    "cart.back": ("继续挑选", "Keep looking"),
    "cart.total": ("合计", "Total"),
    "cart.fewer": ("少一件：{name}", "One fewer: {name}"),
    "cart.more": ("多一件：{name}", "One more: {name}"),
    "cart.remove": ("移除", "Remove"),
    "cart.remove.what": ("移除{name}", "Remove {name}"),
    "cart.quantity": ("数量 {n}", "Quantity {n}"),
    "cart.who": ("以谁的身份购买", "Who is buying"),
    "cart.lin": ("林悦", "Lin Yue"),
    "cart.lin.text": ("演示顾客，钱包里有余额可付", "Demo shopper, with a balance to pay from"),
    "cart.guest": ("访客", "Guest"),
    "cart.guest.text": ("不登录，用银行卡付款", "Without signing in; pays by card"),
    "cart.checkout": ("去结算", "Check out"),
    "cart.fine": (
        "下一步到通宝收银台，确认前不会扣款。",
        "Next is Tongbao’s checkout. Nothing is charged until you confirm.",
    ),
    "cart.changed": ("购物车刚刚变过，请再看一眼。", "The cart has just changed. Please look once more."),
    # Order
    "order": ("订单", "Order"),
    "order.due": ("应付", "To pay"),
    "order.paid": ("已付款", "Paid"),
    "order.paid.part": ("已付 {amount}，还差", "{amount} paid, still to pay"),
    "order.refunded": ("已退款", "Refunded"),
    "order.refunded.part": ("已退 {amount}，实付", "{amount} refunded, you paid"),
    "order.expired": ("未付款", "Not paid"),
    "order.waiting": ("等待付款确认，本页会自动更新", "Waiting for confirmation. This page updates by itself"),
    "order.unpaid": ("还没有付款。准备好了就去付。", "Not paid yet. Pay whenever you are ready."),
    "order.canceled": ("你离开了收银台，没有扣款。", "You left the checkout. You have not been charged."),
    "order.failed": (
        "上一次付款没有成功，没有扣款。可以换一种方式再试。",
        "The last attempt did not go through and you were not charged. You can try another way.",
    ),
    "order.partial": (
        "收到一部分款项。付清余下的，我们就发货。",
        "Part of the amount has arrived. Pay the rest and we will ship.",
    ),
    "order.thanks": ("谢谢。茶会在今天打包。", "Thank you. Your tea is packed today."),
    "order.expired.text": (
        "订单过了付款时间，已经关闭。没有扣款。",
        "The time to pay has run out and the order is closed. You have not been charged.",
    ),
    "order.expired.part": (
        "订单过了付款时间。已付的 {amount} 会由店主退回。",
        "The time to pay has run out. The shopkeeper will return the {amount} you paid.",
    ),
    "order.refunded.text": (
        "款项已按原路退回，到账时间以付款渠道为准。",
        "The money goes back the way it came. When it arrives is up to the method you used.",
    ),
    "order.pay": ("去付款", "Pay now"),
    "order.again": ("放回购物车", "Put back in the cart"),
    "order.browse": ("返回商店", "Back to the shop"),
    "order.receipt": ("收据", "Receipt"),
    "order.receipt.official": ("支付凭证", "Payment receipt"),
    "order.placed": ("下单时间（北京时间）", "Ordered, China time"),
    "order.paid.at": ("付款时间（北京时间）", "Paid, China time"),
    "order.buyer": ("顾客", "Customer"),
    "order.number": ("订单号", "Order number"),
    "order.stamp": ("付讫", "PAID"),
    "order.stamp.refunded": ("退讫", "BACK"),
    "order.seller.name": ("山间茶（杭州）有限公司", "Hillside Tea (Hangzhou) Co., Ltd."),
    # Behind
    "behind": ("背后发生了什么", "What happened behind this page"),
    "behind.text": (
        "给开发者看：本店只用公开的 API 与 webhook。",
        "For developers: this shop uses only the public API and webhooks.",
    ),
    "behind.call": ("本店请求", "Shop asked"),
    "behind.event": ("收到 webhook", "Webhook received"),
    "behind.none": ("还没有收到 webhook。", "No webhook has arrived yet."),
    "behind.verified": ("签名已验证", "signature verified"),
    "behind.body": ("查看内容", "Show body"),
    # Orders
    "orders": ("我的订单", "Your orders"),
    "orders.empty": ("还没有订单", "No orders yet"),
    "orders.empty.text": ("在这台设备上下的订单会列在这里。", "Orders placed from this browser are listed here."),
    "status.waiting": ("待付款", "To pay"),
    "status.partially_paid": ("部分付款", "Part paid"),
    "status.paid": ("已付款", "Paid"),
    "status.partially_refunded": ("部分退款", "Part refunded"),
    "status.refunded": ("已退款", "Refunded"),
    "status.expired": ("已关闭", "Closed"),
    # Admin
    "admin": ("店主后台", "Shopkeeper’s desk"),
    "admin.text": (
        "店里最近的订单。真正的商店会要求员工登录；这是演示，所以敞着门。",
        "The shop’s latest orders. A real shop would ask its staff to sign in; this demo leaves the door open.",
    ),
    "admin.empty": ("还没有订单。", "No orders yet."),
    "admin.amount": ("退款金额（元）", "Amount to refund (yuan)"),
    "admin.refund": ("退款", "Refund"),
    "admin.none": ("无可退", "Nothing to refund"),
    "admin.again": ("再问一次", "Ask again"),
    "admin.done": ("退款已提交：{amount}", "Refund submitted: {amount}"),
    "admin.bad": (
        "请填一个不超过可退余额的金额，例如 12.50。没有退款。",
        "Enter an amount within what can be refunded, such as 12.50. Nothing was refunded.",
    ),
    "refund.succeeded": ("成功", "succeeded"),
    "refund.pending": ("处理中", "pending"),
    "refund.requires_action": ("待处理", "needs action"),
    "refund.failed": ("失败", "failed"),
    "refund.canceled": ("已取消", "canceled"),
    "refund.refused": ("被拒绝", "refused"),
    "refund.unknown": ("还不知道结果", "outcome not known yet"),
    # Trouble
    "trouble.away": ("收银台暂时联系不上", "The checkout cannot be reached"),
    "trouble.away.text": (
        "没有扣款，购物车原样保留。过一会儿再试，通常就好了。",
        "You have not been charged, and your cart is kept as it is. Trying again in a moment usually works.",
    ),
    "trouble.refused": ("收银台没有接受这笔订单", "The checkout did not accept this order"),
    "trouble.refused.text": (
        "没有扣款，购物车原样保留。可以再试一次；若还是不行，请告诉店主。",
        "You have not been charged, and your cart is kept. Try again; if it fails once more, tell the shopkeeper.",
    ),
    "trouble.refund": ("退款没有提交成功", "The refund was not accepted"),
    "trouble.refund.text": ("没有退款，顾客的款项未动。", "Nothing was refunded; the customer’s payment is untouched."),
    "trouble.refund.away": ("还不知道退款是否成功", "It is not known yet whether the refund was made"),
    "trouble.refund.away.text": (
        "支付系统没有及时回答。回到后台点“再问一次”，同一笔不会退两次。",
        "The payment system did not answer in time. Go back and press “Ask again”: no refund is made twice.",
    ),
    "trouble.back": ("回到购物车", "Back to the cart"),
    "trouble.admin": ("回到后台", "Back to the desk"),
    "trouble.developer": ("给开发者", "For the developer"),
    "trouble.missing": ("没有找到这一页", "There is no such page"),
    "trouble.missing.text": (
        "地址可能有误。若在找订单：订单只在下单时用的那个浏览器里看得到。",
        "The address may be wrong. Looking for an order? It can be seen only in the browser that placed it.",
    ),
    "trouble.origin": ("这个请求不是从本店发出的", "This request did not come from this shop"),
    "trouble.origin.text": (
        "为了安全没有处理，什么都没有改变。请从商店页面再操作一次。",
        "It was not carried out and nothing has changed. Please try again from the shop’s own page.",
    ),
    "trouble.form": ("表单看不明白", "The form could not be read"),
    "trouble.form.text": (
        "什么都没有改变。请从商店页面再操作一次。",
        "Nothing has changed. Please try again from the shop’s own page.",
    ),
    "trouble.go": ("确认订单，继续付款", "Your order is ready to be paid"),
    "trouble.go.text": ("收银台在另一个地址：{origin}", "The checkout is at another address: {origin}"),
    "trouble.go.button": ("前往收银台", "Continue to the checkout"),
}


def say(language: Language, key: str, **values: object) -> str:
    """The phrase in one language. Raises ``KeyError`` for a phrase that does not exist."""
    text = PHRASES[key][0 if language == "zh" else 1]
    return text.format(**values) if values else text


def choose_language(query: str | None, cookie: str | None, accept: str) -> Language:
    """By ``?lang=``, then the cookie, then the first of ``Accept-Language`` that the shop speaks, then English."""
    for wish in (query, cookie):
        if wish in ("zh", "en"):
            return "zh" if wish == "zh" else "en"
    wishes: list[tuple[float, Language]] = []
    for part in accept[:1000].split(","):
        tag, _, weight = part.strip().partition(";q=")
        primary = tag.split("-")[0].lower()
        if primary in ("zh", "en"):
            try:
                quality = float(weight) if weight else 1.0
            except ValueError:
                quality = 0.0
            if quality > 0:
                wishes.append((-quality, "zh" if primary == "zh" else "en"))
    return min(wishes, key=lambda wish: wish[0])[1] if wishes else "en"


def yuan(amount: int) -> tuple[str, str]:
    """Minor units as yuan and fen for setting in type: ``123450`` gives ``("1,234", "50")``."""
    return f"{amount // 100:,}", f"{amount % 100:02d}"


def moment(language: Language, ms: int) -> str:
    """A time as the shop's clock in Hangzhou shows it."""
    there = datetime.fromtimestamp(ms / 1000, CHINA)
    if language == "zh":
        return f"{there.year}年{there.month}月{there.day}日 {there:%H:%M}"
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{there.day} {months[there.month - 1]} {there.year}, {there:%H:%M}"


def machine_time(ms: int) -> str:
    """A time for a ``datetime`` attribute."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def fen_of(text: str) -> int | None:
    """What a person wrote as yuan, in fen; None if it is no amount: ``"12.5"`` gives 1250, ``"1e3"`` None."""
    whole, _, part = text.strip().removeprefix("¥").replace(",", "").partition(".")
    good = whole.isascii() and whole.isdigit() and len(whole) <= 9 and len(part) <= 2
    if not good or (part and not (part.isascii() and part.isdigit())):
        return None
    return int(whole) * 100 + int(part.ljust(2, "0"))
