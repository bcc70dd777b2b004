"""`python -m api.embedded.run DIR`: runs database and broker until Ctrl-C, for scripts and debugging."""

import signal
import sys
from pathlib import Path

from api.embedded import EmbeddedError, embedded_servers


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m api.embedded.run DIR", file=sys.stderr)  # noqa: T201 -- a command's own words
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with embedded_servers(Path(sys.argv[1]), lambda line: print(line, flush=True)) as servers:  # noqa: T201
            lines = (
                *servers.description,
                f"DATABASE_ADMIN_URL={servers.admin_url}",
                f"DATABASE_OWNER_URL={servers.owner_url}",
                f"DATABASE_URL={servers.database_url}",
                f"MQTT_URL={servers.mqtt_url}",
                "ready",
            )
            print("\n".join(lines), flush=True)  # noqa: T201
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except EmbeddedError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
