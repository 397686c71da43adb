"""Five people in one call, in real browsers: who sees and hears whom, a late joiner, a screen, and room for it all."""

# ruff: noqa: F811 (fixtures)

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fake_media import BLUE, GREEN, RED
from tests.product import until
from tests.test_call_faults import FAULTS
from tests.test_call_faults import GREEN as SCREEN
from tests.test_guests_journey import invite
from tests.test_journeys import (  # noqa: F401 (fixtures)
    DESKTOP,
    PHONE,
    book_as_call_handler,
    booth,
    handler,
    launch,
    leave,
    meet,
    open_page,
    phone,
    photograph,
    playwright,
    product,
    say_ready,
    sees,
    sign_in,
)

pytestmark = pytest.mark.parametrize("product", ["sqlite"], indirect=True)

COVERED = """() => {
  const wrong = [];
  const tiles = [...document.querySelectorAll(".app-tile")];
  const boxes = tiles.map((tile) => [tile.textContent.trim() || "screen", tile.getBoundingClientRect()]);
  for (const [name, box] of boxes) {
    if (box.width < 60 || box.height < 60) wrong.push(`${name} is ${box.width} x ${box.height}`);
    if (box.left < -1 || box.right > innerWidth + 1) wrong.push(`${name} is beyond the side`);
    for (const [other, its] of boxes) {
      const wide = Math.min(box.right, its.right) - Math.max(box.left, its.left);
      const high = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
      if (name < other && wide > 1 && high > 1) wrong.push(`${name} and ${other} lie over each other`);
    }
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the screen");
  return wrong;
}"""


SHRINK = 2  # five cameras and sixteen pictures to decode, on whatever machine this is

LOUDNESS = """() => Promise.all(
  [...document.querySelectorAll(".app-tile:not(.app-tile--screen) video")].map(window.witness.loudness))"""


@pytest.fixture(scope="module")
def browsers(playwright, tmp_path_factory) -> Iterator[tuple[Browser, ...]]:
    """The officer's browser (blue), the victim's (red), and that of the two guests (green)."""
    folder = tmp_path_factory.mktemp("media")
    kinds = (("officer", BLUE, 440), ("victim", RED, 880), ("guests", GREEN, 660))
    opened = tuple(launch(playwright, folder, *kind, shrink=SHRINK) for kind in kinds)
    yield opened
    for one in opened:
        one.close()


def join_as_guest(page: Page, booth: Page, link: str, called: str) -> None:
    """Come by the link and be let in."""
    page.goto(link)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Turn on camera and microphone").click()
    sees(page, "[data-echo]", GREEN)
    say_ready(page)
    booth.get_by_role("button", name=f"Let in: {called}").click()


def tile(name: str) -> str:
    return f'.app-tile:has(.app-tile__name:has-text("{name}")) video'


def names_seen(page: Page) -> list[str]:
    return page.locator(".app-tile:not(.app-tile--screen) .app-tile__name").all_inner_texts()


def test_five_people_see_and_hear_each_other_a_late_one_and_a_screen_too(product, handler, booth, phone, browsers):
    booth.context.add_init_script(FAULTS)
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    meet(booth, phone, booked)
    interpreter, guardian = (open_page(browsers[2], **how) for how in (DESKTOP, PHONE))
    join_as_guest(interpreter, booth, invite(booth, "Sam Jones", signs=True), "Sam Jones, Interpreter")
    boss = open_page(browsers[0], **DESKTOP)
    sign_in(boss, product, "supervisor")
    boss.goto(booked.booth)
    boss.get_by_role("button", name="Listen only").click()
    booth.get_by_role("button", name="Show a screen").click()
    sees(phone, ".app-tile--screen video", SCREEN)
    join_as_guest(guardian, booth, invite(booth, "Pat Bloggs", "guardian"), "Pat Bloggs, Parent or guardian")

    person = "The person whose call it is"
    for page, seen in (
        (phone, {"PC Smith": BLUE, "Sam Jones": GREEN, "Pat Bloggs": GREEN}),
        (booth, {"Jo Bloggs": RED, "Sam Jones": GREEN, "Pat Bloggs": GREEN}),
        (interpreter, {person: RED, "PC Smith": BLUE, "Pat Bloggs": GREEN}),
        (guardian, {person: RED, "PC Smith": BLUE, "Sam Jones": GREEN}),
        (boss, {"Jo Bloggs": RED, "PC Smith": BLUE, "Sam Jones": GREEN, "Pat Bloggs": GREEN}),
    ):
        until(lambda page=page, seen=seen: sorted(names_seen(page)) == sorted(seen), f"exactly {sorted(seen)}")
        for name, colour in seen.items():
            sees(page, tile(name), colour)
        until(lambda page=page: min(page.evaluate(LOUDNESS), default=0) > 0.02, "everybody to be heard")
        expect(page.locator(".app-tile--screen")).to_have_count(0 if page is booth else 1)
        if page is not booth:
            sees(page, ".app-tile--screen video", SCREEN)
        if page is not interpreter:
            expect(page.locator(".app-tile--large", has_text="Sam Jones")).to_be_visible()  # hands must be seen
    for page in (phone, interpreter, guardian, booth):
        expect(page.get_by_text("A supervisor, Sgt Patel, is listening.").first).to_be_visible()

    for name, page, widths in (
        ("phone", phone, (390, 375, 320)),
        ("booth", booth, (1280, 1024)),
        ("boss", boss, (1280,)),
    ):
        for width in widths:
            page.set_viewport_size({"width": width, "height": 844 if width < 800 else 800})
            photograph(page, f"five-{name}-{width}")
            until(lambda page=page: page.evaluate(COVERED) == [], f"every picture in sight at {width} pixels")
    booth.get_by_role("button", name="Stop showing the screen").click()
    expect(phone.locator(".app-tile--screen")).to_have_count(0)
    photograph(phone, "five-phone-without-screen")
    assert guardian.errors + interpreter.errors + boss.errors == []
    leave(boss)
