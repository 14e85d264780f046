"""The channels of this installation, by name and by the payment method type that they serve."""

from __future__ import annotations

from collections.abc import Iterable

from tongbao.channels.contract import Channel
from tongbao.foundation.errors import InvalidRequest


class Registry:
    """An unchanging set of channels. Names are unique; so far, each method type is served by one channel."""

    def __init__(self, channels: Iterable[Channel]) -> None:
        """:raises ValueError: two channels have the same name or serve the same method type."""
        self._by_name: dict[str, Channel] = {}
        self._by_method: dict[str, Channel] = {}
        for channel in channels:
            method = channel.capabilities.method
            if channel.name in self._by_name:
                raise ValueError(f"two channels are named {channel.name!r}")
            if method in self._by_method:
                raise ValueError(f"two channels serve {method!r}: {self._by_method[method].name}, {channel.name}")
            self._by_name[channel.name] = channel
            self._by_method[method] = channel

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._by_name)

    @property
    def methods(self) -> tuple[str, ...]:
        """All payment method types that can be paid with, in the order of registration."""
        return tuple(self._by_method)

    def by_name(self, name: str) -> Channel:
        """The channel of a stored operation.

        :raises LookupError: it is not configured here (any more); that is for an operator to mend.
        """
        channel = self._by_name.get(name)
        if channel is None:
            raise LookupError(f"channel {name!r} is not configured; configured are: {', '.join(self.names) or 'none'}")
        return channel

    def for_method(self, method: str) -> Channel:
        """The channel for a payment method type that a caller asked for.

        :raises InvalidRequest: no channel serves it.
        """
        channel = self._by_method.get(method)
        if channel is None:
            raise InvalidRequest(
                "payment_method_type_unavailable",
                f"The payment method type '{method[:50]}' is not available here."
                f" Available: {', '.join(self.methods) or 'none'}.",
                param="payment_method_types",
            )
        return channel
