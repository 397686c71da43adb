"""The call's page in a real browser: presses on a slow line, devices that stop, photos, a second tab."""

import asyncio
import io

from PIL import Image
from playwright.async_api import Route, expect

from tests.chromium import IN_A_BROWSER, close
from tests.conftest import HeldClock
from tests.phone.conftest import PATIENCE_SECONDS, Phone, be_checked, state_of, until
from tests.statements_support import TEXT, Desk
from video_server.appointments.model import Appointment
from video_server.calls import service as calls
from video_server.calls.model import Participant, State
from video_server.core.database import Database
from video_server.statements import service as statements
from video_server.statements.printing import PRINTER

pytestmark = IN_A_BROWSER


async def wait_in_line(handset: Phone, path: str, database: Database, appointment: Appointment) -> None:
    """Be ready, and known to be."""
    await be_checked(handset, path)
    await handset.page.get_by_role("button", name="I am ready").tap()
    await expect(handset.page.locator("[data-section=waiting]")).to_be_visible()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await state_of(database, appointment) != [State.WAITING]:
            await handset.page.wait_for_timeout(50)


async def let_in(database: Database, appointment: Appointment, clock: HeldClock) -> Participant:
    async with database.begin() as db:
        [person] = (await calls.view(db, appointment.id)).participants
        return await calls.admit(db, appointment, person.id, by=appointment.officer_id, now=clock())


async def test_each_press_on_a_slow_line_counts_and_a_statement_taken_back_stays_away(
    phone, book, link, database, clock
):
    appointment = await book()
    handset = await phone()
    page = handset.page
    await wait_in_line(handset, link(appointment), database, appointment)
    witness = await let_in(database, appointment, clock)
    desk = Desk(database, appointment, witness, handset.server.app[PRINTER], clock)
    statement = await desk.offer(await desk.write(await desk.begin(), TEXT))
    right = page.get_by_role("button", name="Yes, this is right")
    await expect(right).to_have_count(3)
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/phone/statement/answer", held.put)
    for n in range(3):
        await right.nth(n).tap()
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(3):
            await (await held.get()).continue_()
    await expect(page.locator("[data-statement-declaration-title]")).to_be_focused()

    asked: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/phone/statement", asked.put)
    await desk.write(statement, f"{TEXT} It was red.")
    async with asyncio.timeout(PATIENCE_SECONDS):
        route = await asked.get()
    answer = await route.fetch()
    async with database.begin() as db:
        await statements.take_back(db, appointment.id, statement.id, by=appointment.officer_id, now=clock())
    await expect(page.locator("[data-statement]")).to_be_hidden()
    await route.fulfill(response=answer)
    await page.wait_for_timeout(200)  # for what must not happen
    await expect(page.locator("[data-statement]")).to_be_hidden()


async def test_camera_and_microphone_that_stop_together_are_opened_once_and_need_no_press(phone, book, link, database):
    appointment = await book()
    handset = await phone()
    page = handset.page
    await wait_in_line(handset, link(appointment), database, appointment)
    await page.evaluate(
        """() => {
            const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
            window.opens = [];
            media.getUserMedia = (wish) => {
                const opened = open(wish);
                window.opens.push(opened);
                return opened;
            };
            const tracks = document.querySelector("[data-preview]").srcObject.getTracks();
            for (const track of tracks) track.stop();
            for (const track of tracks) track.dispatchEvent(new Event("ended"));
        }"""
    )
    lives = "document.querySelector('[data-preview]').srcObject.getTracks().every((one) => one.readyState === 'live')"
    await until(page, lives)
    await page.evaluate("Promise.all(opens).then(() => true)")
    await page.wait_for_timeout(200)  # for what must not happen
    restart = page.locator("[data-section=call] [data-do=restart]")
    assert await restart.evaluate("(button) => button.hidden"), "nothing needs a press"
    assert await page.evaluate("opens.length") == 1


async def test_a_pause_asked_for_while_the_line_is_down_is_asked_for_when_it_is_back(phone, book, link):
    handset = await phone()
    await handset.go(link(await book()))
    said = await handset.page.evaluate(
        """async () => {
            const lines = [];
            window.WebSocket = class {
                static OPEN = 1;
                constructor() { Object.assign(this, { readyState: 0, said: [] }); lines.push(this); }
                send(text) { this.said.push(JSON.parse(text).type); }
                close() {}
            };
            const { RoomSocket } = await import("/static/now/js/signalling.js");
            const socket = new RoomSocket("/phone/socket");
            socket.open();
            for (const _ of [1, 2]) socket.say({ type: "ask_pause" });
            const [line] = lines;
            line.readyState = 1;
            line.onopen();
            socket.say({ type: "settle_asked" });
            socket.drop();
            socket.say({ type: "ask_pause" });
            socket.close();
            socket.open();
            lines.at(-1).readyState = 1;
            lines.at(-1).onopen();
            return [line.said, lines.at(-1).said];
        }"""
    )
    assert said == [["ask_pause", "settle_asked"], []], "once, and nothing of it on a line opened anew"


async def test_photos_chosen_after_the_call_was_left_are_not_kept_for_the_next(phone, book, link, database, clock):
    appointment = await book()
    handset = await phone()
    page = handset.page
    await wait_in_line(handset, link(appointment), database, appointment)
    await let_in(database, appointment, clock)
    await page.evaluate(
        """() => {
            const capture = HTMLCanvasElement.prototype.captureStream;
            window.shown = [];
            HTMLCanvasElement.prototype.captureStream = function (rate) {
                const stream = capture.call(this, rate);
                window.shown.push(...stream.getTracks());
                return stream;
            };
        }"""
    )
    call = page.locator("[data-section=call]")
    await call.locator('[data-do="more"]').tap()
    async with page.expect_file_chooser() as choosing:
        await call.locator('[data-do="share"]').tap()
    chooser = await choosing.value
    await call.locator('[data-do="ask_leave"]').tap()
    await call.locator('[data-do="leave"]').tap()
    await expect(page.locator("[data-section=left]")).to_be_visible()
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "PNG")
    await chooser.set_files({"name": "a.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    await until(page, "shown.length === 1 && shown[0].readyState === 'ended'")


async def test_a_second_tab_of_a_phone_takes_the_call_over_only_when_told_to(phone, book, link, database):
    appointment = await book()
    handset = await phone()
    first = handset.page
    await be_checked(handset, link(appointment))
    await first.get_by_role("button", name="I am ready").tap()
    await expect(first.locator("[data-section=waiting]")).to_be_visible()

    second = await handset.context.new_page()
    await second.goto(str(handset.server.make_url("/phone/call")))
    await expect(second.locator("[data-section=elsewhere]")).to_contain_text("open in another tab or window")
    await expect(first.locator("[data-section=waiting]")).to_be_visible()

    await second.get_by_role("button", name="Go on here").tap()
    await expect(second.get_by_role("button", name="Turn on camera and microphone")).to_be_visible()
    await expect(first.locator("[data-section=elsewhere]")).to_be_visible()
    await until(first, "document.querySelector('[data-preview]').srcObject === null")
    await second.get_by_role("button", name="Turn on camera and microphone").tap()
    await expect(second.locator("[data-section=waiting]")).to_be_visible()

    await close(second)
    await first.get_by_role("button", name="Go on here").tap()
    await expect(first.get_by_role("button", name="Turn on camera and microphone")).to_be_visible()
    assert await state_of(database, appointment) == [State.WAITING], "the same session all along"
