"""Staff's way to the store's own pages, under /evidence/: who may go there, and the ticket that lets them in.

The pages are the store's; they pass through here because both programs share an address. A person needs two things at
each request: to be signed in here, and the store's own cookie, which a ticket was traded for. The cookie of being
signed in here never goes to the store; what goes is a word for that session, so that the store's ends with it.
"""

from urllib.parse import urlencode

from aiohttp import web

from video_server.accounts import access
from video_server.accounts.model import Role, Staff
from video_server.accounts.views import home_of
from video_server.audit import service as audit
from video_server.core import keys
from video_server.core.errors import N_, Forbidden, NotFound
from video_server.evidence import forwarder
from video_server.evidence.link import STORE
from video_server.web import app_keys, forms, pages

routes = web.RouteTableDef()
REFERENCE = "Evidence-Reference"
_FORM = "application/x-www-form-urlencoded"
_PASSED = ("Accept", "Accept-Language", "Content-Length", "Content-Type", "If-Range", "Range", "Sec-Fetch-Site")
STORE_ROLES = {Role.EVIDENCE: "evidence", Role.OFFICER: "officer"}
"""What each role is to the store; of several that a person holds, the first here counts. No other role gets in."""
ONE_INCIDENT = frozenset({"officer"})
"""What sees one incident there, whose appointment it comes from."""
evidence_staff = access.staff(*STORE_ROLES)


class FromItsAppointment(Forbidden):
    code = "evidence_from_its_appointment"
    public = N_(
        "You see the evidence of one incident at a time. Open the appointment in your diary, and select “All evidence "
        "of this incident” there."
    )


def store_role(person: Staff) -> str | None:
    """Return what a person is to the store; None for who may not go there."""
    return next((theirs for role, theirs in STORE_ROLES.items() if person.holds(role)), None)


@routes.post("/evidence/view/enter", name="evidence.enter")
@evidence_staff
async def enter(request: web.Request) -> web.StreamResponse:
    """Let a member of the evidence staff into the store's pages; 303 to where they were going."""
    if store_role(request[access.STAFF]) in ONE_INCIDENT:
        raise FromItsAppointment
    where = (await forms.read_values(request)).get("next", "")
    return await let_in(request, role="evidence", incident=None, where=where, home=home_of(request[access.STAFF]))


async def let_into(request: web.Request, incident: str, *, home: str) -> web.StreamResponse:
    """Let whoever is signed in, and may see this incident here, in to its evidence; 303 to all of it.

    Raises Forbidden where they have no role there, StoreDown
    """
    role = store_role(request[access.STAFF])
    if role is None:
        raise Forbidden
    where = "/evidence/?" + urlencode({"search": "yes", "incident": incident})
    return await let_in(request, role=role, incident=incident if role in ONE_INCIDENT else None, where=where, home=home)


async def let_in(request: web.Request, *, role: str, incident: str | None, where: str, home: str) -> web.StreamResponse:
    """Trade a ticket at the store for the person signed in here, and hand its cookie to their browser.

    role      what they are to the store; officers see one `incident`
    where     path of the store's pages to go on to
    home      where leaving the store leads
    Raises    StoreDown
    """
    person, session, now = request[access.STAFF], request[access.SESSION], request.app[app_keys.CLOCK]()
    ticket = request.app[STORE].make_ticket(
        person=person.username,
        title=person.name,
        role=role,
        incident=incident,
        reference=_reference(request),
        home=home,
        ends_at=session.expires_at,
        now=now,
    )
    async with request.app[app_keys.DATABASE].begin() as db:
        await audit.record(
            db,
            actor=f"staff:{person.id}",
            action="evidence.entered_store",
            subject=f"staff:{person.id}",
            details={"role": role} | ({"incident": incident} if incident else {}),
            now=now,
        )
    headers = {"Content-Type": _FORM} | forwarder.store_cookie(request)
    body = urlencode({"ticket": ticket, "next": where}).encode()
    return await forwarder.pass_on(request, headers, to="/evidence/view/enter", data=body)


@routes.get("/evidence/", name="evidence.pages")
@routes.get("/evidence/view/{tail:.*}")
@routes.post("/evidence/view/{tail:.*}")
@evidence_staff
async def show(request: web.Request) -> web.StreamResponse:
    """Pass a member of staff on to the store's own pages; who has not been let in there is asked to go in first."""
    if not forwarder.is_page(request.rel_url.raw_path):
        raise NotFound
    cookie = forwarder.store_cookie(request)
    if not cookie and request.method == "GET":
        if store_role(request[access.STAFF]) in ONE_INCIDENT:
            raise FromItsAppointment
        return pages.render(request, "evidence/staff.html", next_path=request.rel_url.raw_path_qs)
    headers = forwarder.passed(request, _PASSED)
    return await forwarder.pass_on(request, headers | cookie | {REFERENCE: _reference(request)})


def _reference(request: web.Request) -> str:
    """Return a word for the session here; it opens nothing."""
    return keys.digest(f"evidence\n{request[access.SESSION].id}")
