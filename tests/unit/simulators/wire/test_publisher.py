"""The connection falls back to MQTT 3.1.1."""

import asyncio

from simulators.wire.publisher import MqttPublisher

CONNACK_REFUSED, CONNACK_ACCEPTED = b"\x20\x02\x00\x01", b"\x20\x02\x00\x00"


async def test_a_broker_that_refuses_mqtt_5_is_spoken_to_in_3_1_1():
    levels = []

    async def serve(reader, writer):
        connect = await reader.readuntil(b"MQTT")
        assert connect[0] == 0x10
        levels.append((await reader.readexactly(1))[0])
        writer.write(CONNACK_ACCEPTED if levels[-1] == 4 else CONNACK_REFUSED)
        await writer.drain()
        if levels[-1] == 4:
            await reader.read(-1)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    publisher = MqttPublisher(
        f"mqtt://127.0.0.1:{port}", limit=10, on_ack=lambda *_: None, on_change=lambda: None
    )
    await asyncio.wait_for(publisher.start(), 30)
    assert publisher.connected
    assert publisher.has_room()
    await publisher.stop()
    assert not publisher.has_room()
    server.close()
    await server.wait_closed()
    assert 5 in levels
    assert levels[-1] == 4
