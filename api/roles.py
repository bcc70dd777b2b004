"""The roles that a process of the service can have, and how to name them."""

from enum import StrEnum


class Role(StrEnum):
    """One loop of the service each; a process may have one of them, or all."""

    API = "api"
    INGEST = "ingest"
    EVALUATE = "evaluate"
    DELIVER = "deliver"


ALL_ROLES = frozenset(Role)


def parse_roles(text: str) -> frozenset[Role]:
    """Read `api,ingest`; raise ValueError that names the first word which is no role."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in set(Role):
            raise ValueError(f"{word!r} is no role: choose from {', '.join(Role)}")
    if not words:
        raise ValueError(f"no role given: choose from {', '.join(Role)}")
    return frozenset(Role(word) for word in words)
