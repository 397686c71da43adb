"""Telling the web server what happened: signed events, tried until they are taken."""
