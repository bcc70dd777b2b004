"""An ingester in its own process, to be killed: `python -m … MQTT_URL DATABASE_URL`; it prints when it is connected."""

import asyncio
import sys

import asyncpg

from telemetry.mqtt.bridge import IngestState, run_ingest


async def main(mqtt_url: str, database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=5) as pool:
        await run_ingest(mqtt_url=mqtt_url, pool=pool, stop=asyncio.Event(), on_state=say)


def say(state: IngestState) -> None:
    if state.connected:
        sys.stdout.write("connected\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
