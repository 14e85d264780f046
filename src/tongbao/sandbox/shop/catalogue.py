"""What is on the shelf. Prices are in fen (1/100 yuan)."""

from __future__ import annotations

from typing import Literal

import msgspec

Language = Literal["zh", "en"]
CURRENCY = "cny"


class Product(msgspec.Struct, frozen=True):
    """One thing for sale. ``art`` names a drawing in ``static/art``, ``tone`` the wash that it stands on.

    Words are pairs: Chinese, English.
    """

    code: str
    shelf: Literal["tea", "ware"]
    price: int
    art: str
    tone: Literal["jade", "bronze", "clay", "ink"]
    names: tuple[str, str]
    sizes: tuple[str, str]
    texts: tuple[str, str]

    def name(self, language: Language) -> str:
        """The product's name in one language."""
        return self.names[language == "en"]

    def size(self, language: Language) -> str:
        """Weight or volume, as printed under the name."""
        return self.sizes[language == "en"]

    def text(self, language: Language) -> str:
        """One sentence about it."""
        return self.texts[language == "en"]


# fmt: off
SHELF: tuple[Product, ...] = (
    Product(
        "longjing", "tea", 8800, "sprig", "jade",
        ("明前龙井", "Longjing, first picking"), ("50 克", "50 g"),
        ("清明前三日采，炒豆香，回甘长。", "Picked three days before Qingming. Toasted chestnut, long sweetness."),
    ),
    Product(
        "rougui", "tea", 9600, "packet", "bronze",
        ("武夷肉桂", "Wuyi Rougui oolong"), ("50 克", "50 g"),
        ("炭焙两道，岩骨里有桂皮的辛。", "Twice roasted over charcoal. Wet stone, then cinnamon."),
    ),
    Product(
        "puer", "tea", 16800, "cake", "clay",
        ("勐海熟普饼", "Menghai ripe pu’er"), ("357 克", "357 g"),
        ("二〇一九年压饼，汤色如酒，温厚。", "A cake pressed in 2019. Dark as wine, gentle as bread."),
    ),
    Product(
        "yinzhen", "tea", 7800, "needles", "ink",
        ("白毫银针", "Silver Needle"), ("30 克", "30 g"),
        ("只取芽尖，日晒而成，轻而甜。", "Buds alone, dried by the sun. Light, with a melon note."),
    ),
    Product(
        "gaiwan", "ware", 4100, "gaiwan", "jade",
        ("白瓷盖碗", "Porcelain gaiwan"), ("110 毫升", "110 ml"),
        ("德化白瓷，薄胎不烫手，什么茶都能泡。", "Thin white Dehua porcelain. One vessel for every tea."),
    ),
    Product(
        "jianzhan", "ware", 12600, "bowl", "ink",
        ("建窑兔毫盏", "Hare’s-fur tea bowl"), ("90 毫升", "90 ml"),
        ("铁胎黑釉，窑火里拉出的银丝，每只不同。", "Black iron glaze, streaked by the kiln. No two alike."),
    ),
    Product(
        "chaxian", "ware", 3500, "whisk", "bronze",
        ("百本竹茶筅", "Bamboo whisk"), ("一支", "One"),
        ("一节白竹手劈百穗，打茶绵密。", "A hundred tines split by hand from one piece of bamboo."),
    ),
    Product(
        "chaguan", "ware", 21900, "caddy", "clay",
        ("锡胎茶叶罐", "Lacquered tin caddy"), ("可装 100 克", "Holds 100 g"),
        ("双层盖，合上有一声轻响，茶香不走。", "A double lid that closes with a sigh and keeps the scent in."),
    ),
)
# fmt: on
BY_CODE: dict[str, Product] = {product.code: product for product in SHELF}
