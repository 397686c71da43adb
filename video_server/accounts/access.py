"""The staff guard: `@access.staff(Role.OFFICER)` on a handler, then `request[access.STAFF]` inside."""

from urllib.parse import quote

from aiohttp import web

from video_server.accounts import service
from video_server.accounts.model import Role, Staff
from video_server.core.errors import Forbidden
from video_server.web import app_keys, guards, sessions
from video_server.web.model import Session
from video_server.web.pages import STAFF_BADGE, wants_json

STAFF = web.RequestKey("staff_member", Staff)
SESSION = web.RequestKey("staff_session", Session)


class SignInFirst(Forbidden):
    code = "sign_in_first"
    status = 401


def staff(*roles: Role) -> guards.Guard:
    """Admit signed-in staff who hold one of the roles; without roles, any staff."""

    async def admit(request: web.Request) -> web.StreamResponse | None:
        session = await sessions.find_session(request, "staff")
        person = None
        if session is not None:
            async with request.app[app_keys.DATABASE].read() as db:
                person = await service.find_staff(db, session.subject)
        if session is None or person is None:
            if request.method != "GET" or wants_json(request) or "Upgrade" in request.headers:
                raise SignInFirst
            raise web.HTTPSeeOther(f"/sign-in?next={quote(request.path, safe='/')}")
        if roles and not person.holds(*roles):
            raise Forbidden
        request[STAFF], request[SESSION] = person, session
        request[STAFF_BADGE] = {
            "name": person.name,
            "collar_number": person.collar_number,
            "may_desk": person.holds(Role.CALL_HANDLER, Role.SUPERVISOR),
            "may_booth": person.holds(Role.OFFICER, Role.SUPERVISOR),
            "may_evidence": person.holds(Role.EVIDENCE),
        }
        return None

    return guards.guard(f"staff({', '.join(roles)})", admit)
