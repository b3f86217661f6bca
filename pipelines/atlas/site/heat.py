"""Heat maps as tiny PNGs inside the page: fog, clear where the heat is; the browser enlarges it.

Grey fog keeps the hues of what it leaves clear, and shows on black images and on white ones alike;
a coloured map would hide just the colours that many units are about.
"""

import base64
import struct
import zlib

FOG = 140
_CLEAR = bytes(range(255, -1, -1))
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def data_uri(heat: bytes, grid: int) -> str:
    """A [grid,grid] map of bytes, row by row, as the data URI of a PNG of that many pixels.

    Written by hand, for an atlas holds tens of thousands: an encoder of pictures takes ten times
    as long for each. Raises ValueError where the map does not have grid² places.
    """
    if len(heat) != grid * grid:
        raise ValueError(f"a heat map has {len(heat)} places, not {grid}² = {grid * grid}")
    pixels = bytearray([FOG, 0]) * len(heat)
    pixels[1::2] = heat.translate(_CLEAR)
    rows = b"".join(b"\0" + pixels[i : i + 2 * grid] for i in range(0, len(pixels), 2 * grid))
    header = struct.pack(">IIBBBBB", grid, grid, 8, 4, 0, 0, 0)  # 8 bits of grey, 8 of opacity
    png = _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9))
    return "data:image/png;base64," + base64.b64encode(png + _chunk(b"IEND", b"")).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
