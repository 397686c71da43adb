"""What the commands share: options, and a store opened for one thing."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from evidence_store.app import open_store, prepare
from evidence_store.config import Settings
from evidence_store.sealing.hsm import Hsm
from evidence_store.sealing.keys import load_keys
from evidence_store.store import Store

T = TypeVar("T")
File = Annotated[Path | None, typer.Option("--settings", help="File of EVIDENCE_NAME=value lines")]
Data = Annotated[Path | None, typer.Option(help="Folder for objects and database")]
KeysFolder = Annotated[Path | None, typer.Option("--keys", help="Folder for keys")]


def tell(text: str) -> None:
    """Print one line; what a terminal might obey, or would hide, as its number: databases can be changed."""
    typer.echo("".join(c if c.isprintable() else f"[U+{ord(c):04X}]" for c in text))


def hsm_of(settings: Settings) -> Hsm | None:
    """Return the security module that the settings name, if any."""
    if settings.pkcs11 is None or settings.pkcs11_pin_file is None:
        return None
    return Hsm(settings.pkcs11, settings.pkcs11_token, settings.pkcs11_pin_file)


def with_store(settings: Settings, act: Callable[[Store], Awaitable[T]], *, prepared: bool = True) -> T:
    """Open the store, do one thing with it and close it; `prepared` brings its tables to this version before."""

    async def run() -> T:
        store = open_store(settings, load_keys(settings.keys, hsm_of(settings)))
        try:
            if prepared:
                await prepare(store)
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())
