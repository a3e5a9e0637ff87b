"""An echo over WebSocket by a library of its own: `serve PORT`, or `talk PORT` which ends with 0 where all came back."""

import asyncio
import http
import sys

import websockets


async def echo(connection, *_):
    async for message in connection:
        await connection.send(message)


async def health(path, _headers):
    return (http.HTTPStatus.OK, [], b"ok") if path == "/health" else None


async def serve(port):
    async with websockets.serve(echo, "127.0.0.1", port, process_request=health, max_size=None, ping_interval=None):
        await asyncio.Future()


async def talk(port):
    address = f"ws://127.0.0.1:{port}/chat"
    async with websockets.connect(address, max_size=None) as connection:
        for size in [0, 1, 125, 126, 65535, 65536, 3_000_000]:
            for message in ["x" * size, bytes(i % 251 for i in range(size))]:
                await connection.send(message)
                assert await connection.recv() == message, size
        await (await connection.ping())
        both = [websockets.connect(address) for _ in range(20)]
        others = await asyncio.gather(*both)
        await asyncio.gather(*(other.send(str(i)) for i, other in enumerate(others)))
        answers = await asyncio.gather(*(other.recv() for other in others))
        assert answers == [str(i) for i in range(20)], answers
        await asyncio.gather(*(other.close() for other in others))
    assert connection.close_code == 1000, connection.close_code


asyncio.run({"serve": serve, "talk": talk}[sys.argv[1]](int(sys.argv[2])))
