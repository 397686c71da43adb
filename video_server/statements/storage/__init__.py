"""The tables of statements and all SQL about them, by what each module keeps."""

from video_server.statements.storage import answers, back_pages, certificates, seals, signatures, statements

__all__ = ["answers", "back_pages", "certificates", "seals", "signatures", "statements"]
