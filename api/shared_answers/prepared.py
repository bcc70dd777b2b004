"""Answers that are the same for everybody: their bytes are made once, and compressed once."""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self, TypedDict

_WORTH_COMPRESSING: Final = 1024
_GZIP: Final = re.compile(
    r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)", re.IGNORECASE
)


class Sent(TypedDict):
    """What a response of the web framework is made of."""

    content: bytes
    status_code: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The bytes of an answer, plain and compressed, and the tag by which a caller knows that it has them already."""

    plain: bytes
    compressed: bytes | None
    media_type: str
    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, plain: bytes, media_type: str, *, level: int = 9, headers: Mapping[str, str] | None = None
    ) -> Self:
        """Compress them, if that is worth it. Takes long for long ones: in a thread, or once."""
        compressed = gzip.compress(plain, level, mtime=0) if len(plain) > _WORTH_COMPRESSING else None
        return cls(
            plain=plain,
            compressed=compressed if compressed and len(compressed) < len(plain) else None,
            media_type=media_type,
            etag=f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"',
            headers={"Cache-Control": "no-cache", **(headers or {})},
        )

    def answer(self, asked: Mapping[str, str]) -> Sent:
        """Answer with them, or with 304 to who has them; `asked` are the headers of the request."""
        headers = {**self.headers, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if self._is_had(asked.get("if-none-match", "")):
            return Sent(content=b"", status_code=304, headers=headers)
        headers["Content-Type"] = self.media_type
        if self.compressed is not None and _GZIP.search(asked.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            return Sent(content=self.compressed, status_code=200, headers=headers)
        return Sent(content=self.plain, status_code=200, headers=headers)

    def _is_had(self, tags: str) -> bool:
        # Bounded by the length of a head. A weak comparison, which is the one for If-None-Match.
        return any(tag.strip() in {self.etag, self.etag.removeprefix("W/"), "*"} for tag in tags.split(","))
