"""Commands for merchants and their API keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import typer

from tongbao.cli.processes import Data
from tongbao.cli.screen import Json, command, out, run, say, table, when, write_json
from tongbao.identity.model import ApiKey, Merchant

merchant = typer.Typer(no_args_is_help=True, help="Make and see merchants.")
key = typer.Typer(no_args_is_help=True, help="Make, see and revoke API keys.")

MerchantId = Annotated[str, typer.Argument(metavar="MERCHANT", help="The merchant's id, acct_…", show_default=False)]


@command(merchant, "create")
def create(
    name: Annotated[str, typer.Argument(help="The name that shoppers see.", show_default=False)],
    name_zh: Annotated[str | None, typer.Option("--name-zh", help="The name in Chinese.")] = None,
    country: Annotated[str, typer.Option("--country", help="Two-letter code of the country.")] = "CN",
    currency: Annotated[str, typer.Option("--currency", help="Currency that amounts are in by default.")] = "cny",
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a merchant and its twin for tests.

    Example:  tongbao merchant create "Hillside Tea" --name-zh 山间茶
    """
    from tongbao.foundation.errors import InvalidRequest
    from tongbao.foundation.money import check_currency
    from tongbao.identity.merchants import create_merchant

    chosen = check_currency(currency, "--currency")
    if not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise InvalidRequest("country_unknown", "--country must be a code of two letters such as CN or DE.")
    for option, text in (("name", name), ("--name-zh", name_zh)):
        if text is not None and not (text.strip() and len(text) <= 200 and text.isprintable()):
            raise InvalidRequest("name_invalid", f"The {option} must have 1 to 200 characters, all of them printable.")
    live, test = _with_connection(
        data, lambda c: create_merchant(c, name.strip(), name_zh=name_zh, country=country.upper(), currency=chosen)
    )
    if json:
        write_json({"live": _merchant(live), "test": _merchant(test)})
        return
    _merchants([live, test], f"{live.name} is a merchant")
    say(f"\nNow make a key to test with:  tongbao key create {test.merchant_id}")


@command(merchant, "list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    """List merchants and their twins, the newest first.

    Example:  tongbao merchant list --json
    """
    from tongbao.operations.merchants import list_merchants

    found = _with_connection(data, lambda c: list_merchants(c, limit))
    if json:
        write_json([_merchant(each) for each in found])
    elif found:
        _merchants(found, "Merchants")
    else:
        say('There are none yet. Make one:  tongbao merchant create "Hillside Tea"')


@command(merchant, "show")
def show(merchant: MerchantId, data: Data = None, json: Json = False) -> None:
    """Show a merchant and its keys.

    Example:  tongbao merchant show acct_…
    """
    from tongbao.identity.merchants import get_merchant
    from tongbao.operations.merchants import list_keys

    async def look(connection: Any) -> tuple[Merchant, list[ApiKey]]:
        return await get_merchant(connection, merchant), await list_keys(connection, merchant)

    found, keys = _with_connection(data, look)
    if json:
        write_json(_merchant(found) | {"keys": [_key(each) for each in keys]})
        return
    _merchants([found], found.name)
    out.print()
    _keys(keys)


@command(key, "create")
def create_key(
    merchant: MerchantId,
    kind: Annotated[
        Literal["secret", "publishable"],
        typer.Option("--kind", help="A secret key may do everything; a publishable one is for pages."),
    ] = "secret",
    data: Data = None,
    json: Json = False,
) -> None:
    """Make an API key. It is shown this once: only its hash is kept.

    Example:  tongbao key create acct_… --kind publishable
    """
    from tongbao.identity.merchants import create_key as make

    token, row = _with_connection(data, lambda c: make(c, merchant, kind))
    if json:
        write_json(_key(row) | {"key": token})
        return
    out.print(token, soft_wrap=True)
    say("Keep it safe: it is not shown again.")


@command(key, "list")
def list_keys_(merchant: MerchantId, data: Data = None, json: Json = False) -> None:
    """List a merchant's keys, the newest first.

    Example:  tongbao key list acct_…
    """
    from tongbao.operations.merchants import list_keys

    found = _with_connection(data, lambda c: list_keys(c, merchant))
    if json:
        write_json([_key(each) for each in found])
    else:
        _keys(found)


@command(key, "revoke")
def revoke(
    merchant: MerchantId,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, key_…", show_default=False)],
    data: Data = None,
    json: Json = False,
) -> None:
    """Revoke a key for good; every server refuses it within seconds.

    Example:  tongbao key revoke acct_… key_…
    """
    from tongbao.identity.merchants import revoke_key

    _with_connection(data, lambda c: revoke_key(c, merchant, key))
    if json:
        write_json({"id": key, "merchant": merchant, "revoked": True})
    else:
        say(f"{key} is revoked.")


def _with_connection(data: Any, act: Any) -> Any:
    from tongbao.operations import settings as all_settings
    from tongbao.operations.databases import session

    async def work() -> Any:
        async with session(all_settings.load(data=data)) as connection:
            return await act(connection)

    return run(work())


def _merchant(row: Merchant) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.structs.asdict(row)
    return {"id": told.pop("merchant_id"), **told}


def _key(row: ApiKey) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.structs.asdict(row)
    del told["hash"]
    return {"id": told.pop("id"), "merchant": told.pop("merchant_id"), **told}


def _merchants(rows: list[Merchant], title: str) -> None:
    table(
        title,
        ("Merchant", "Name", "Mode", "Country", "Currency", "Made (UTC)"),
        (
            (
                row.merchant_id,
                f"{row.name} {row.name_zh or ''}".strip(),
                "live" if row.livemode else "test",
                row.country,
                row.default_currency,
                when(row.created_ms),
            )
            for row in rows
        ),
    )


def _keys(rows: list[ApiKey]) -> None:
    table(
        "Keys",
        ("Key", "Kind", "Ends with", "Made (UTC)", "Revoked (UTC)"),
        ((row.id, row.kind, f"…{row.last4}", when(row.created_ms), when(row.revoked_ms)) for row in rows),
    )
