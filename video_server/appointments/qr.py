"""A link as a QR code (ISO/IEC 18004), for somebody who stands beside the screen."""


def draw(link: str) -> str:
    """Return the picture as a data URI, dark on white with its quiet zone."""
    import segno  # only for who asks for it

    uri: str = segno.make(link, error="m", micro=False).svg_data_uri(scale=4, border=4, light="#fff")
    return uri
