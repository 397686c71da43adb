"""The call handler's page: record an incident, book, move, cancel, see what needs doing."""
