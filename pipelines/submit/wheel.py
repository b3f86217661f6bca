"""nhd as it is installed here, as a wheel whose bytes depend on nothing but its files.

It asks for no dependencies: torch and the others come from the image of the nodes.
"""

import base64
import hashlib
import importlib.metadata
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("jobs", "nhd_ops", "pipelines")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
TAG = "py3-none-any"


def wheel() -> bytes:
    """The wheel (PEP 427): packages, METADATA, WHEEL, entry points and RECORD."""
    contents = {name: path.read_bytes() for name, path in sorted(_files())}
    info = f"nhd-{version()}.dist-info"
    contents[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: nhd\nVersion: {version()}\n".encode()
    )
    contents[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: nhd\nRoot-Is-Purelib: true\nTag: {TAG}\n"
    ).encode()
    contents[f"{info}/entry_points.txt"] = b"[console_scripts]\nnhd = jobs.cli:main\n"
    record = "".join(f"{name},{_digest(data)},{len(data)}\n" for name, data in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return _zipped(contents)


def version() -> str:
    """nhd's version."""
    return importlib.metadata.version("nhd")


def _files() -> Iterator[tuple[str, Path]]:
    """Name in the wheel → file, of every file of the packages."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.submodule_search_locations is not None
        folder = Path(next(iter(spec.submodule_search_locations)))
        for path in folder.rglob("*"):
            name = path.relative_to(folder)
            hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
            if path.is_file() and not hidden:
                yield f"{package}/{name.as_posix()}", path


def _zipped(contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return out.getvalue()


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={digest.decode().rstrip('=')}"
