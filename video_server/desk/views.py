"""Every page of the desk, for `app.py`."""

from video_server.desk import appointment_pages, contact_pages, guest_pages, home, incident_pages

routes = [*home.routes, *incident_pages.routes, *contact_pages.routes, *appointment_pages.routes, *guest_pages.routes]
