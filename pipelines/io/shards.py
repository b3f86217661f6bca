"""WebDataset shards at any fsspec URL: the samples in them, in order; nothing is dropped unsaid.

A shard is read once, with bounded memory. What cannot be used comes out as a `Reject` with a
reason; a shard that is damaged or cut off raises ShardError, because nobody can say how many
samples were lost.
"""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import ShardError
from pipelines.io import archive
from pipelines.io.files import atomic_write
from pipelines.io.rejects import Reject
from pipelines.io.urls import without_secrets

IMAGE_TYPES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
OPEN = 16  # samples whose members may lie between one another's
SAMPLE_LIMIT = 1 << 28  # bytes, of one sample, and of all that are open


@dataclass(frozen=True)
class Sample:
    """One sample of a shard: its key, the encoded image, and its JSON text and fields (or none)."""

    key: str
    image: bytes
    meta: str | None
    fields: dict[str, Any]
    others: dict[str, bytes] = field(default_factory=dict)
    """Extension → bytes of the other members that were asked for."""


@dataclass
class _Group:
    """The members of a sample so far: extension → bytes."""

    key: str
    members: dict[str, bytes] = field(default_factory=dict)
    problem: Reject | None = None
    size: int = 0

    def add(self, extension: str, member: archive.Member) -> None:
        if extension in self.members:
            self._refuse("duplicate_member", f"two members .{extension}")
        elif member.data is None:
            self._refuse(member.reason, f"member {member.name}")
        self.members[extension] = member.data or b""
        self.size = sum(map(len, self.members.values()))
        if self.size > SAMPLE_LIMIT:
            self._refuse("too_large", f"{self.size} bytes in {len(self.members)} members")
        if self.problem is not None:  # the extensions are still wanted, the bytes are not
            self.members, self.size = dict.fromkeys(self.members, b""), 0

    def _refuse(self, reason: str, detail: str) -> None:
        self.problem = self.problem or Reject(self.key, reason, detail)


def shard_id(url: str) -> str:
    """Base name without extension, plus eight hex digits of the SHA-256 of the URL.

    The same for every signature or user the shard is read with.
    """
    url = without_secrets(url)
    name = re.sub(r"\.(tar|tar\.gz|tgz)$", "", os.path.basename(url.rstrip("/")))
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return f"{safe}-{hashlib.sha256(url.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _nothing(extension: str) -> bool:
    return False


def samples(
    url: str, others: Callable[[str], bool] = _nothing
) -> Generator[Sample | Reject, None, None]:
    """Stream the samples of one shard (tar or tar.gz), in the order of their first members.

    The members of up to OPEN samples may be interleaved. `others` says by its extension which
    members are wanted beside image and JSON. Raises ShardError if the shard cannot be read to its
    end, or a sample's members lie further apart than that.
    """
    for group in _groups(url):
        yield group.problem or _sample(group.key, group.members, others)


def _sample(key: str, members: dict[str, bytes], others: Callable[[str], bool]) -> Sample | Reject:
    kind = next((ext for ext in IMAGE_TYPES if ext in members), None)
    if kind is None:
        return Reject(key, "no_image", f"members: {', '.join(sorted(members))}")
    image = members[kind]
    more = {ext: data for ext, data in members.items() if ext != kind and others(ext)}
    meta = members.get("json")
    if meta is None:
        return Sample(key, image, None, {}, more)
    try:
        text = meta.decode("utf-8-sig")
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Reject(key, "invalid_json", str(error))
    if not isinstance(fields, dict):
        return Reject(key, "invalid_json", "the JSON is not an object")
    return Sample(key, image, text, fields, more)


def _groups(url: str) -> Iterator[_Group]:
    """The samples' members, brought together."""
    waiting: list[_Group] = []  # in the order of their first members
    by_key: dict[str, _Group] = {}  # of those, the last of each key
    seen: dict[str, frozenset[str]] = {}  # the extensions of the samples that were let go
    kinds: dict[frozenset[str], frozenset[str]] = {}  # so that each set is kept once
    last: _Group | None = None

    def release() -> _Group:
        group = waiting.pop(0)
        if by_key[group.key] is group:
            del by_key[group.key]
        kind = seen.get(group.key, frozenset()).union(group.members)
        seen[group.key] = kinds.setdefault(kind, kind)
        return group

    for member in archive.members(url):
        key, extension = split(member.name)
        group = by_key.get(key)
        again = group is not None and group is not last and extension in group.members
        if group is None or again:
            if not again and extension not in seen.get(key, (extension,)):
                raise ShardError(
                    f"the members of sample '{key}' of {without_secrets(url)} lie too far apart; "
                    "pack it again in the order of names"
                )
            group = by_key[key] = _Group(key)
            if again or key in seen:
                group.problem = Reject(key, "duplicate_key", "the key occurs twice in this shard")
            waiting.append(group)
        group.add(extension, member)
        last = group
        while len(waiting) > OPEN or (len(waiting) > 1 and _size(waiting) > SAMPLE_LIMIT):
            yield release()
    while waiting:
        yield release()


def _size(groups: list[_Group]) -> int:
    return sum(group.size for group in groups)


def split(name: str) -> tuple[str, str]:
    """Key and extension by WebDataset's rule: the key ends at the first dot of the base name.

    Hidden files have no key there; here each is a sample of its own.
    """
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (folder + slash + stem, extension.lower()) if stem else (name, "")


def fetch(urls: dict[str, str], wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """The encoded images of (shard id, key) pairs, read again from the shards at `urls`.

    Shards that are gone are passed over, so a report can be made without them.
    """
    by_shard: dict[str, set[str]] = {}
    for shard, key in wanted:
        by_shard.setdefault(shard, set()).add(key)
    found: dict[tuple[str, str], bytes] = {}
    for shard, keys in by_shard.items():
        try:
            for sample in samples(urls[shard]):
                if isinstance(sample, Sample) and sample.key in keys:
                    found[shard, sample.key] = sample.image
        except (ShardError, KeyError):
            continue
    return found


def write(url: str, members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, bytes) members as a tar, atomically; same input, same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    atomic_write(url, buffer.getvalue())
