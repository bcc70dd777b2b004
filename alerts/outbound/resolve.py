"""Resolves a target and checks every address, at creation and again for each connection."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

import structlog

from alerts.outbound.addresses import Network, address_of, refusal
from alerts.outbound.target import Target, parse

Lookup: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Resolves a name to all addresses of both families; raises OSError."""

LOOKUP_WITHIN_S: Final = 10.0

NO_WAY: Final = (
    "must lead to a public address over https, or to a network that the operator allows: this one does not, or its name "
    "is not known"
)
"""One text for whatever a name leads to: two would tell strangers which names there are inside, and where."""

log = structlog.get_logger(__name__)

# Threads of its own: a partner's name server that hangs must not hold up what else runs in threads.
_threads = ThreadPoolExecutor(32, thread_name_prefix="webhook-names")


async def system_lookup(host: str) -> Sequence[str]:
    """Ask the system's resolver, for both families."""
    asked = asyncio.get_running_loop().run_in_executor(
        _threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(found[4][0]) for found in await asked))


class RefusedTargetError(OSError):
    """The target must not be reached; why, is in the log only."""

    def __init__(self, why: str) -> None:
        super().__init__(NO_WAY)
        self.why = why


class Targets:
    """Decides which targets may be reached: public ones over https; those in `networks` over http too.

    `of_organizations` are networks that only the endpoints of an organization may reach, beside those of everybody.
    """

    def __init__(
        self,
        networks: Sequence[Network] = (),
        lookup: Lookup = system_lookup,
        of_organizations: Mapping[str, Sequence[Network]] | None = None,
    ) -> None:
        self.networks = networks
        self.of_organizations = of_organizations or {}
        self._lookup = lookup
        self._under_way: dict[str, asyncio.Future[Sequence[str]]] = {}

    def reach_of(self, organization: str | None) -> str | None:
        """Return the organization if it reaches more than others do: connections of the two must not be mixed."""
        return organization if organization in self.of_organizations else None

    def _networks(self, organization: str | None) -> Sequence[Network]:
        return (*self.networks, *self.of_organizations.get(organization or "", ()))

    async def check(self, url: str, organization: str | None = None) -> Target | str:
        """Parse a URL and check its addresses; return why it is refused.

        A name that cannot be looked up right now passes: what it leads to is decided when it is connected to.
        """
        target = parse(url)
        if isinstance(target, str):
            return target
        try:
            async with asyncio.timeout(LOOKUP_WITHIN_S):
                await self.addresses(target.host, organization, encrypted=target.encrypted)
        except RefusedTargetError as error:
            log.info("target_refused", host=target.host, organization=organization, why=error.why)
            return NO_WAY
        except socket.gaierror as error:
            if error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}:
                log.info("target_refused", host=target.host, organization=organization, why=str(error))
                return NO_WAY
        except (OSError, TimeoutError):
            return target
        return target

    async def addresses(
        self, host: str, organization: str | None = None, *, encrypted: bool
    ) -> Sequence[str]:
        """Return the addresses of a host; raises RefusedTargetError if one is denied, OSError if none is known."""
        found = [host] if address_of(host) is not None else await self._look_up(host)
        if why := refusal(found, self._networks(organization), encrypted=encrypted):
            raise RefusedTargetError(why)
        return found

    async def _look_up(self, host: str) -> Sequence[str]:
        """Resolve a name once for all concurrent callers: a name server that hangs takes one thread, not all of them."""
        if (under_way := self._under_way.get(host)) is None:
            under_way = self._under_way[host] = asyncio.ensure_future(self._lookup(host))
            under_way.add_done_callback(lambda done: self._looked_up(host, done))
        return await asyncio.shield(under_way)

    def _looked_up(self, host: str, done: asyncio.Future[Sequence[str]]) -> None:
        del self._under_way[host]
        if not done.cancelled():
            done.exception()  # whoever asked may have gone

    def open_socket(
        self,
        family: int,
        type_: int,
        proto: int,
        address: str,
        organization: str | None = None,
        *,
        encrypted: bool,
    ) -> socket.socket:
        """Open the socket of a connection; raises RefusedTargetError, without opening one, if the address is denied.

        The last look, at the address that is about to be connected to, however it got here.
        """
        if why := refusal([address], self._networks(organization), encrypted=encrypted):
            raise RefusedTargetError(why)
        opened = socket.socket(family, type_, proto)
        opened.setblocking(False)  # noqa: FBT003 - the standard library's
        return opened
