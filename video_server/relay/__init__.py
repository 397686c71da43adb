"""The media relay: a process of its own that passes RTP between the participants of a room. See README.md here."""
