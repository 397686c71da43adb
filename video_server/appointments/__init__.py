"""Appointments: the diary, booking, moving, cancelling, and the join link."""
