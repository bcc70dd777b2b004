"""Pure: the ids that people give to shipments, sites, products, contacts and policies, and the keys they are stored under.

An id is unique within an organization, and whoever gives one learns nothing of others. The key is `organization/id`; of
what belongs to nobody it is the id itself. A slash is in neither, so that no two things have one key. Tables, marks,
events and states hold keys; whatever comes in or goes out is an id, with the organization beside it.
"""

from typing import Final

SEPARATOR: Final = "/"


def key_of(id_: str, organization: str | None) -> str:
    """Return the key of what an organization, or nobody, calls by this id: `acme/SH-1` or `SH-1`."""
    return id_ if organization is None else f"{organization}{SEPARATOR}{id_}"


def id_of(key: str) -> str:
    """Return the id of what has this key: `SH-1` of `acme/SH-1`.

    A word before the key stays, as in what policies ask: `contact:night` of `contact:acme/night`.
    """
    before, _, id_ = key.rpartition(SEPARATOR)
    word, colon, _ = before.rpartition(":")
    return f"{word}{colon}{id_}"


def organization_of(key: str) -> str | None:
    """Return the organization in a key; None where the thing belongs to nobody."""
    before, _, _ = key.rpartition(SEPARATOR)
    return before.rpartition(":")[2] or None


def meant(id_: str, organization: str | None) -> tuple[str, ...]:
    """Return the keys that a word can mean in something of an organization, the first that there is: its own, everybody's.

    A word that is no id means nothing, whatever key it looks like: places of shipments are free text.
    """
    if SEPARATOR in id_:
        return ()
    return tuple(dict.fromkeys((key_of(id_, organization), id_)))
