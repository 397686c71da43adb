"""The sign-in page."""

from aiohttp import web
from pydantic import Field

from video_server.accounts import access, allowances, service
from video_server.accounts.model import Role, Staff
from video_server.core.errors import N_
from video_server.web import app_keys, forms, guards, limits, pages, sessions

routes = web.RouteTableDef()
DEVICE_COOKIE = "__Host-device"
"""Says who has signed in in this browser before; it outlives the session and opens nothing."""


class SignInForm(forms.Form):
    username: str = Field(max_length=60)
    password: str = Field(max_length=200)


WORDS = {"username": N_("Enter your username"), "password": N_("Enter your password")}


def safe_next(path: str) -> str | None:
    """Return a path of this site to go on to, or None; never another host."""
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and len(path) <= 200 and path.isprintable()
    return path if fine else None


def home_of(person: Staff) -> str:
    """Return the page where this person's day starts."""
    if person.holds(Role.OFFICER):
        return "/booth"
    return "/desk" if person.holds(Role.CALL_HANDLER, Role.SUPERVISOR) else "/evidence/"


@routes.get("/sign-in", name="accounts.sign_in")
@guards.public
async def show_sign_in(request: web.Request) -> web.Response:
    """Show the sign-in form."""
    return _page(request, next_path=request.query.get("next", ""))


@routes.post("/sign-in")
@guards.public
async def sign_in(request: web.Request) -> web.Response:
    """Open a session; 303 to where the person was going."""
    next_path, key_ring = request.query.get("next", ""), request.app[app_keys.KEYS]
    device = allowances.read_device(request.cookies.get(DEVICE_COOKIE, ""))
    try:
        form = await forms.read_form(request, SignInForm, WORDS)
        username = form.username.lower()
        person, secret = await service.sign_in(
            request.app[app_keys.DATABASE],
            username=username,
            password=form.password,
            address=limits.remote(request),
            device_id=device.id if device.knows(username, key_ring) else "",
            now=request.app[app_keys.CLOCK](),
        )
    except forms.FormInvalid as refusal:
        return _page(request, next_path=next_path, problems=refusal.problems, status=refusal.status)
    except (service.SignInRefused, service.LockedOut) as refusal:
        return _page(request, next_path=next_path, problems={"username": pages.say(refusal)}, status=refusal.status)
    response = web.HTTPSeeOther(safe_next(next_path) or home_of(person))
    sessions.set_cookie(response, "staff", secret)
    _remember(response, device.after(username, key_ring))
    raise response


@routes.post("/sign-out", name="accounts.sign_out")
@access.staff()
async def sign_out(request: web.Request) -> web.Response:
    """End this session; 303 to the sign-in page."""
    async with request.app[app_keys.DATABASE].begin() as db:
        await service.sign_out(
            db,
            staff_id=request[access.STAFF].id,
            session_id=request[access.SESSION].id,
            now=request.app[app_keys.CLOCK](),
        )
    response = pages.see_other(request, "accounts.sign_in")
    sessions.clear_cookie(response, "staff")
    raise response


def _remember(response: web.StreamResponse, device: allowances.Device) -> None:
    lasts = int(allowances.KNOWN_FOR.total_seconds())
    response.set_cookie(
        DEVICE_COOKIE, device.write(), path="/", secure=True, httponly=True, samesite="Strict", max_age=lasts
    )


def _page(
    request: web.Request, *, next_path: str, problems: dict[str, str] | None = None, status: int = 200
) -> web.Response:
    return pages.render(
        request, "accounts/sign_in.html", next_path=safe_next(next_path) or "", problems=problems or {}, status=status
    )
