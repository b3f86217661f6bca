"""Decoding is open_clip's own transform, and whatever cannot be decoded is a reject.

Here with the exact preprocessing; `test_preprocess` has what the fast one does otherwise.
"""

import io
import json
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.io import images
from pipelines.io import preprocess as preprocess_module
from pipelines.io.images import Decoded, decode
from pipelines.io.preprocess import preprocess_of
from pipelines.io.rejects import Reject
from pipelines.io.shards import Sample
from pipelines.tiny.model import preprocess


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """The same pixels whatever else has drawn noise in this process (Pillow's own has no seed)."""
    values = np.random.default_rng([*size, 1]).normal(128, 90, size[::-1])
    grey = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if mode == "I;16":
        return grey.convert("I").point(lambda v: v * 200 + 9).convert("I;16")
    coloured = Image.merge("RGB", (grey, grey.transpose(Image.Transpose.ROTATE_180), grey))
    return (grey if mode in ("I", "F") else coloured).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def frames(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A file of several images, this one first."""
    others = [noise(image.size) for _ in range(3)]
    return encoded(image.copy(), kind, save_all=True, append_images=others, **options)


EXACT = preprocess_of(preprocess(), "exact")


def decoded(data: bytes, transform: images.Transform = EXACT) -> Decoded | Reject:
    return decode(Sample("key", data, None, {}), transform)


def normalised(found: Decoded) -> torch.Tensor:
    """What the model takes of it, [3,S,S]."""
    return EXACT.normalise(found.pixels[None])[0]


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


SMALL = noise((40, 30))
PALETTE = SMALL.quantize(64)
CMYK = encoded(noise((40, 30), "CMYK"), "JPEG")  # inverted, with Adobe's marker
ADOBE = CMYK.index(b"\xff\xee\x00\x0eAdobe")
STILL = {
    "jpeg": encoded(SMALL, "JPEG"),
    "jpeg grey": encoded(SMALL.convert("L"), "JPEG"),
    "jpeg progressive": encoded(SMALL, "JPEG", progressive=True),
    "jpeg turned": encoded(SMALL, "JPEG", exif=rotated()),
    "jpeg CMYK of Adobe": CMYK,
    "jpeg CMYK": CMYK[:ADOBE] + CMYK[ADOBE + 16 :],
    "png transparent colour": encoded(SMALL, transparency=(9, 9, 9)),
    "png transparent grey": encoded(SMALL.convert("L"), transparency=9),
    "png transparent index": encoded(PALETTE, transparency=3),
    "png transparent bytes": encoded(PALETTE, transparency=bytes(range(64))),
    "webp": encoded(SMALL, "WEBP"),
    "webp lossless": encoded(SMALL, "WEBP", lossless=True, exif=rotated()),
    "webp alpha": encoded(noise((40, 30), "RGBA"), "WEBP"),
    "gif": encoded(PALETTE, "GIF"),
    "gif transparent": encoded(PALETTE, "GIF", transparency=3),
    "gif grey": encoded(SMALL.convert("L"), "GIF"),
    "dib": encoded(SMALL, "DIB"),
    "tiff turned": encoded(SMALL, "TIFF", exif=rotated()),
    **{f"png {mode}": encoded(noise((40, 30), mode))
       for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **{f"bmp {mode}": encoded(noise((40, 30), mode), "BMP") for mode in ("1", "L", "P", "RGB")},
    **{f"tiff {mode}": encoded(noise((40, 30), mode), "TIFF")
       for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F")},
    **{f"tiff {how}": encoded(SMALL, "TIFF", compression=how)
       for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")},
    "tiff group4": encoded(SMALL.convert("1"), "TIFF", compression="group4"),
}  # fmt: skip
MANY = {
    "mpo": frames(SMALL, "MPO"),
    "apng": frames(SMALL),
    "gif animated": frames(PALETTE, "GIF"),
    "webp animated": frames(SMALL, "WEBP", lossless=True),
    "tiff pages": frames(SMALL, "TIFF"),
}
VALID = STILL | MANY


@pytest.mark.parametrize("name", VALID)
def test_every_format_goes_through_the_transform_unchanged(name: str) -> None:
    found = decoded(VALID[name])
    assert isinstance(found, Decoded)
    assert (found.width, found.height) == ((30, 40) if name == "tiff turned" else (40, 30))
    assert torch.equal(normalised(found), preprocess()(Image.open(io.BytesIO(VALID[name]))))
    assert found.sample == Sample("key", b"", None, {})


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "LA", "1", "I;16"])
@pytest.mark.parametrize("size", [(128, 128), (200, 90), (1, 1), (31, 300)])
def test_every_mode_and_size_goes_through_unchanged(mode: str, size: tuple[int, int]) -> None:
    data = encoded(noise(size, mode), "TIFF")
    found = decoded(data)
    assert isinstance(found, Decoded)
    assert (found.width, found.height) == size
    assert torch.equal(normalised(found), preprocess()(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("jpeg turned", "jpeg"),
        ("mpo", "jpeg"),
        ("apng", "png of the same"),
        ("gif animated", "gif"),
        ("webp animated", "png of the same"),
        ("webp lossless", "png of the same"),
        ("tiff pages", "png of the same"),
    ],
)
def test_exif_turns_nothing_and_frames_after_the_first_are_not_seen(name: str, same: str) -> None:
    files = VALID | {"png of the same": encoded(SMALL)}
    one, other = decoded(files[name]), decoded(files[same])
    assert isinstance(one, Decoded)
    assert isinstance(other, Decoded)
    assert torch.equal(one.pixels, other.pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "I;16", "CMYK", "F"])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 900), (900, 1), (3, 100), (401, 7), (64, 48), (90, 2000), (301, 300)]
)
def test_cropping_while_resizing_agrees_with_cropping_afterwards(
    mode: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(noise(size, mode), "TIFF")
    whole = decoded(data)
    monkeypatch.setattr(preprocess_module, "WHOLE_LIMIT", 0)
    found = decoded(data)
    assert isinstance(found, Decoded)
    assert isinstance(whole, Decoded)
    difference = (found.pixels.int() - whole.pixels.int()).abs()
    if mode in ("1", "P"):  # nearest neighbours: where two are as near, either may be taken
        assert (difference > 0).float().mean() <= 1 / 128
    else:  # a colour of CMYK, or one with alpha, is a product of two channels
        # Each of the two passes of a resize rounds.
        assert difference.max() <= (3 if mode in ("CMYK", "LA", "RGBA") else 2)


def test_the_middle_of_a_very_long_image_is_exact() -> None:
    middle, width = noise((401, 1), "L"), 40_000_003
    long = Image.new("L", (width, 1))
    long.paste(middle, ((width - 401) // 2, 0))
    one, other = decoded(encoded(long, compress_level=1)), decoded(encoded(middle))
    assert isinstance(one, Decoded)
    assert isinstance(other, Decoded)
    assert (one.pixels.int() - other.pixels.int()).abs().max() <= 1


def reason(data: bytes) -> str:
    found = decoded(data)
    assert isinstance(found, Reject), found
    assert found.stage == "decode"
    return found.reason


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize("name", STILL)
def test_a_file_cut_in_half_is_undecodable(name: str) -> None:
    assert reason(STILL[name][: len(STILL[name]) // 2]) == "undecodable_image"


@pytest.mark.parametrize("name", VALID)
def test_a_file_cut_anywhere_is_an_image_or_undecodable(name: str) -> None:
    data = VALID[name]
    for length in (12, 20, 40, len(data) // 4, 3 * len(data) // 4, len(data) - 9, len(data) - 1):
        found = decoded(data[:length])
        assert isinstance(found, Decoded) or found.reason == "undecodable_image"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty_image"),
        (b"GIF89a", "undecodable_image"),
        (flipped(STILL["png RGB"], 30), "undecodable_image"),  # the checksum of IHDR
        (flipped(STILL["png RGB"], 100), "undecodable_image"),  # within IDAT
        (b"<html>404</html>", "unsupported_format"),
        (b"not found", "unsupported_format"),
        (b"\0" * 100, "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "unsupported_format"),
        (encoded(SMALL, "EPS"), "unsupported_format"),
        (encoded(SMALL, "JPEG2000"), "unsupported_format"),
        (encoded(SMALL, "ICO"), "unsupported_format"),
        (encoded(SMALL, "PPM"), "unsupported_format"),
    ],
)
def test_what_is_no_image_is_a_reject(data: bytes, expected: str) -> None:
    assert reason(data) == expected


def test_the_detail_of_a_reject_does_not_change_between_runs() -> None:
    found = decoded(b"<html>404</html>")
    assert isinstance(found, Reject)
    assert found.detail == "begins with b'<html>404</html>'"


def test_a_machine_without_memory_is_not_the_fault_of_the_sample() -> None:
    def transform(image: Image.Image, data: bytes) -> torch.Tensor:
        raise MemoryError

    with pytest.raises(MemoryError):
        decoded(STILL["jpeg"], transform)


edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"]) | st.binary(min_size=1),
    ),
    min_size=1,
    max_size=8,
)


def edited(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for change, where, new in changes:
        at = int(len(data) * where**3)  # mostly in the headers
        rest = {"flip": len(new), "insert": 0, "delete": len(new), "cut": len(data)}[change]
        data = data[:at] + (new if change in ("flip", "insert") else b"") + data[at + rest :]
    return data


@settings(max_examples=500)
@given(st.sampled_from(sorted(VALID)), edits)
def test_damaged_files_are_images_or_rejects(
    name: str, changes: list[tuple[str, float, bytes]]
) -> None:
    start = time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = decoded(edited(VALID[name], changes))
    assert isinstance(found, Decoded | Reject)
    assert not warned
    assert time.process_time() - start < 10


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"0"))


def tiff(width: int, height: int, **tile: int) -> bytes:
    """Deflated RGB; with tile=n, in tiles of n x n."""
    tags = [(256, width), (257, height), (258, 8), (259, 8), (262, 2), (277, 3)]
    side = tile.get("tile")
    tags += [(322, side), (323, side), (324, 8), (325, 99)] if side else [(273, 8), (279, 99)]
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(200)


def bombs() -> dict[str, tuple[str, bytes]]:
    """Small files that say they are large, by name: the reason expected, the bytes."""
    zeros = zlib.compress(bytes(64 << 20))
    vp8x = b"WEBPVP8X" + struct.pack("<II", 10, 0) + b"\x4f\xc3\0" * 2
    vp8l = b"WEBPVP8L" + struct.pack("<IBI", 5, 0x2F, 0x3FFF | 0x3FFF << 14) + bytes(3)
    jpeg = bytearray(STILL["jpeg"])
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    large = {
        "png": png(50_000, 50_000),
        "apng": png(50_000, 50_000, chunk(b"acTL", struct.pack(">II", 1 << 30, 0))),
        "gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + STILL["gif"][10:],
        "bmp": STILL["bmp RGB"][:18] + struct.pack("<ii", 50_000, -50_000) + STILL["bmp RGB"][26:],
        "dib": STILL["dib"][:4] + struct.pack("<ii", 50_000, 50_000) + STILL["dib"][12:],
        "tiff": tiff(50_000, 50_000),
        "tiff tile": tiff(10, 10, tile=20_000),
        "webp": b"RIFF" + struct.pack("<I", 22) + vp8x,
        "webp lossless": b"RIFF" + struct.pack("<I", 20) + vp8l,
        "jpeg": bytes(jpeg),
        "just too large": png(178_956_971, 1),
    }
    text = {
        "text": png(9, 9, chunk(b"zTXt", b"a\0\0" + zeros)),
        "texts": png(9, 9, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))] * 99),
        "profile": png(9, 9, chunk(b"iCCP", b"a\0\0" + zeros)),
        "tag": tiff(9, 9).replace(struct.pack("<HHII", 258, 4, 1, 8), b"\2\1\4\0" + b"\xff" * 8),
    }
    return {name: ("too_many_pixels", data) for name, data in large.items()} | {
        name: ("undecodable_image", data) for name, data in text.items()
    }


DECODE = """
import json, os, pathlib, sys
from pipelines.bench import child
from pipelines.io.images import decode
from pipelines.io.preprocess import preprocess_of
from pipelines.io.shards import Sample
from pipelines.vision import open_clip

def read(path):
    return decode(Sample("key", path.read_bytes(), None, {}), transform)

def peak():
    return child.peak(os.getpid()) / 2**20  # MiB; ru_maxrss begins at that of whoever starts us

transform = preprocess_of(open_clip.image_transform(448, is_train=False), sys.argv[2])
first, *paths = sorted(pathlib.Path(sys.argv[1]).iterdir())
read(first)
found = {}
for path in paths:
    before = peak()
    item = read(path)
    found[path.name] = [getattr(item, "reason", "decoded"), peak() - before]
print(json.dumps(found))
"""


def decoded_elsewhere(
    folder: Path, files: dict[str, bytes], how: str
) -> dict[str, tuple[str, float]]:
    """Each file's reason or "decoded", and by how many MiB it raised the peak of memory.

    In a process where every warning would be shown; nothing may be printed.
    """
    for name, data in {" warm-up": STILL["tiff tiff_lzw"], **files}.items():
        (folder / name).write_bytes(data)
    command = [sys.executable, "-W", "always", "-c", DECODE, str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert done.stderr == ""
    found: dict[str, tuple[str, float]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("how", ["fast", pytest.param("exact", marks=pytest.mark.slow)])
def test_bombs_take_no_memory_and_long_and_large_images_only_their_own(
    how: str, tmp_path: Path
) -> None:
    good = {
        "wide": encoded(noise((20_000, 1))),
        "wide jpeg": encoded(noise((20_000, 1)), "JPEG"),
        "tall": encoded(noise((1, 20_000))),
        "~large": encoded(Image.new("1", (10_000, 9_000))),  # the last; Pillow would warn
        "transparent": STILL["png transparent bytes"],  # here, too
    }
    expected = bombs() | {name: ("decoded", data) for name, data in good.items()}
    found = decoded_elsewhere(tmp_path, {name: data for name, (_, data) in expected.items()}, how)
    assert {n: found[n][0] for n in expected} == {n: why for n, (why, _) in expected.items()}
    growth = {name: mib for name, (_, mib) in found.items()}
    assert growth.pop("~large") < 2 * 90
    assert sum(growth.values()) < 40, growth
