"""A photo in two real browsers: asked for, sent while the line breaks and the store is killed, seen in the booth."""

# ruff: noqa: F811 (fixtures)

import contextlib
import hashlib
import random
import re
import sqlite3
import struct
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.product import until
from tests.test_journeys import (  # noqa: F401 (fixtures)
    book_as_call_handler,
    booth,
    browsers,
    handler,
    meet,
    phone,
    playwright,
    product,
)

pytestmark = pytest.mark.usefixtures("playwright")
STORE = "evidence_store.cli"


def png(width: int, height: int) -> bytes:
    """A picture of noise, which no compression makes small."""
    noise = random.Random(7)
    rows = b"".join(b"\x00" + noise.randbytes(width * 3) for _ in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def slow_down(page: Page, bytes_a_second: int, *, offline: bool = False) -> None:
    """Give the page's requests the line of a phone in a bad place."""
    line = page.context.new_cdp_session(page) if not hasattr(page, "line") else page.line
    page.line = line
    line.send("Network.enable")
    how = {"offline": offline, "latency": 20, "downloadThroughput": -1, "uploadThroughput": bytes_a_second}
    line.send("Network.emulateNetworkConditions", how)


def bar(page: Page) -> float:
    return page.locator(".app-evidence__bar").evaluate("bar => bar.value / bar.max")


def read_if_there(file: Path) -> bytes:
    """Return what a file holds; nothing of a folder, or of what a running server has taken away meanwhile."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return b""


@pytest.fixture
def elsewhere(product):
    """Another web process, for the phone: uploads pass through it, and the booth's hears of them."""
    with product.another_web() as url:
        yield url


def test_a_photo_arrives_through_a_broken_line_and_a_killed_store(
    product,
    elsewhere,
    handler,
    booth,
    phone,
    tmp_path: Path,
):
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    booked.link = booked.link.replace(product.url, elsewhere)
    meet(booth, phone, booked)
    photo = tmp_path / "window.png"
    photo.write_bytes(png(1600, 1200))

    expect(phone.locator("[data-evidence]")).to_be_hidden()
    booth.get_by_label("Ask for", exact=True).select_option("photo")
    booth.get_by_label("What it should show").fill("The broken window")
    booth.get_by_role("button", name="Ask for it").click()
    panel = phone.locator("[data-evidence]")
    expect(panel).to_contain_text("A photo")
    expect(panel).to_contain_text("The officer says: The broken window")
    expect(phone.get_by_role("button", name="Take a photo")).to_be_visible()
    width = phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "nothing scrolls sideways"

    slow_down(phone, 150_000)
    phone.locator(".app-evidence__chosen").set_input_files(photo)
    expect(phone.locator(".app-evidence__figures")).to_contain_text(re.compile(r"of 5\.8 MB sent"))
    until(lambda: bar(phone) > 0.05, "the first bytes")
    slow_down(phone, 30_000)  # minutes for the rest: store and line break in its midst
    expect(booth.locator("#evidence-list")).to_contain_text("On its way")
    product.kill(STORE)
    until(product.is_ready, "the store to be back")
    before = bar(phone)
    slow_down(phone, 30_000, offline=True)
    expect(panel).to_contain_text("The connection is interrupted. It goes on by itself.")
    slow_down(phone, 3_000_000)
    expect(panel).to_contain_text("It arrived and is safe.")
    assert before < 1, "store and line broke before everything was sent"

    expect(booth.locator(".app-item__state")).to_have_count(1)
    expect(booth.locator(".app-item__state")).to_contain_text("Received at")
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    expect(booth.locator(".app-item__digest")).to_contain_text(f"SHA-256 {digest[:12]}")
    expect(booth.locator(".app-item__digest")).to_contain_text("same on their phone and here")
    picture = booth.locator(".app-item__picture")
    until(lambda: picture.evaluate("one => one.naturalWidth") == 1280, "the preview")
    expect(booth.locator(".app-item__about")).to_contain_text("does not say how, when or where")
    with booth.expect_download() as download:
        booth.get_by_role("link", name="Save the original").click()
    assert download.value.path().read_bytes() == photo.read_bytes()
    piece = photo.read_bytes()[1_000_000:1_000_064]
    kept = [read_if_there(file) for file in (product.data / "evidence").rglob("*")]
    assert sum(map(len, kept)) > photo.stat().st_size, "it lies somewhere there"
    assert not any(piece in data for data in kept), "nothing lies in the clear"

    phone.get_by_role("button", name="Close this").click()
    expect(panel).to_be_hidden()
    assert phone.errors == []
    assert booth.errors == []


def test_what_cannot_be_sent_is_said_in_words_and_can_be_stopped(
    product,
    handler,
    booth,
    phone,
    tmp_path: Path,
):
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    meet(booth, phone, booked)
    booth.get_by_role("button", name="Ask for it").click()
    panel = phone.locator("[data-evidence]")
    page = tmp_path / "page.html"
    page.write_text("<script>alert(1)</script>")
    phone.locator(".app-evidence__chosen").set_input_files(page)
    expect(panel).to_contain_text("This kind of file cannot be sent here.")
    expect(panel).to_contain_text("ring 101")

    photo = tmp_path / "window.png"
    photo.write_bytes(png(1000, 700))
    slow_down(phone, 50_000)
    phone.locator(".app-evidence__chosen").set_input_files(photo)
    phone.get_by_role("button", name="Stop sending").click()
    expect(panel).to_contain_text("Stopped. Nothing more is sent.")
    expect(phone.get_by_role("button", name="Choose a photo")).to_be_visible()
    booth.get_by_role("button", name="Withdraw").click()
    expect(panel).to_be_hidden()
    expect(booth.locator("#evidence-list")).to_contain_text("Withdrawn")

    booth.get_by_role("button", name="Ask for it").click()
    expect(panel).to_be_visible()
    phone.locator(".app-evidence__chosen").set_input_files(photo)
    until(lambda: bar(phone) > 0.05, "the first bytes")
    with contextlib.closing(sqlite3.connect(product.data / "evidence" / "evidence.sqlite", timeout=60)) as rows:
        rows.execute("UPDATE uploads SET state = 'expired' WHERE state = 'open'")  # as when its node is given up
        rows.commit()
    slow_down(phone, 3_000_000)
    expect(panel).to_contain_text("It arrived and is safe.")
