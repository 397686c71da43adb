"""The desk's first page: what to do, who is coming, find an incident."""

from contextlib import suppress

from aiohttp import web

from video_server.accounts import access
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.audit import service as audit
from video_server.desk import lines
from video_server.evidence import service as evidence
from video_server.incidents import service as incidents
from video_server.tasks import service as tasks
from video_server.web import app_keys, i18n, pages

routes = web.RouteTableDef()

MAY_DESK = (Role.CALL_HANDLER, Role.SUPERVISOR)


@routes.get("/desk", name="desk.home")
@access.staff(*MAY_DESK)
async def show_home(request: web.Request) -> web.Response:
    """Show the desk; with ?reference= go to that incident, or say that there is none."""
    typed = request.query.get("reference", "").strip()[:40]
    problems: dict[str, str] = {}
    if "reference" in request.query:
        async with request.app[app_keys.DATABASE].read() as db:
            incident = await incidents.find_by_reference(db, typed)
        if incident is not None:
            raise pages.see_other(request, "desk.incident", id=incident.id)
        problems["reference"] = (
            i18n.gettext("No incident has this reference. Check it with the caller, like AP-7F4K-92QD")
            if typed
            else i18n.gettext("Enter a reference, like AP-7F4K-92QD")
        )
    now, force = request.app[app_keys.CLOCK](), request.app[app_keys.FORCE]
    today = now.astimezone(force.timezone).date()
    is_supervisor = request[access.STAFF].holds(Role.SUPERVISOR)
    async with request.app[app_keys.DATABASE].read() as db:
        this_day = await appointments.list_day(db, officer_id=None, day=today, force=force)
        coming = await appointments.list_upcoming(db, since=now, limit=lines.UPCOMING_SHOWN)
        shown = {
            "alarms": await evidence.list_alarms(db) if is_supervisor else (),
            "tasks": await lines.read_tasks(db, now=now),
            "today": await lines.read_lines(db, this_day, force),
            "coming": await lines.read_lines(db, [a for a in coming if a not in this_day], force),
        }
    return pages.render(
        request,
        "desk/home.html",
        now=now,
        typed=typed,
        problems=problems,
        states=lines.STATES,
        status=404 if problems else 200,
        **shown,
    )


@routes.post("/desk/tasks/{id:[0-9a-f]{32}}/finish", name="desk.finish_task")
@access.staff(*MAY_DESK)
async def finish_task(request: web.Request) -> web.Response:
    """Mark a task done; 303 to the desk, also when a colleague was quicker."""
    task_id, by, now = request.match_info["id"], request[access.STAFF].id, request.app[app_keys.CLOCK]()
    with suppress(tasks.TaskAlreadyDone):
        async with request.app[app_keys.DATABASE].begin() as db:
            await tasks.finish_task(db, task_id, by=by, now=now)
            await audit.record(db, actor=f"staff:{by}", action="tasks.finished", subject=f"task:{task_id}", now=now)
    raise pages.see_other(request, "desk.home")
