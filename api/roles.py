"""The roles that a process of the service can run, and how to parse their names."""

from enum import StrEnum


class Role(StrEnum):
    """One part of the service; a process runs one, several or all of them."""

    API = "api"
    INGEST = "ingest"
    EVALUATE = "evaluate"
    DELIVER = "deliver"


ALL_ROLES = frozenset(Role)


def parse_roles(text: str) -> frozenset[Role]:
    """Parse roles such as `api,ingest`; raise ValueError that names the first word that is not one."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in set(Role):
            raise ValueError(f"{word!r} is not a role: choose from {', '.join(Role)}")
    if not words:
        raise ValueError(f"no role given: choose from {', '.join(Role)}")
    return frozenset(Role(word) for word in words)
