"""Cards, through an acquirer that speaks the protocol of ``docs/channels/card.md``."""

from tongbao.channels.card.channel import CardChannel
from tongbao.channels.card.config import CardConfig

__all__ = ["CardChannel", "CardConfig"]
