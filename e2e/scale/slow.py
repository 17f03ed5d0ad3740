"""A slow way to a server."""

import asyncio
import threading


class SlowWay:
    """Listens on loopback and passes all on to a server. What is asked arrives `delay` seconds late, what is answered at
    once; nothing that follows waits any longer for that."""

    def __init__(self, host, port, delay):
        self.behind, self.delay = (host, port), delay
        self.loop, listening = asyncio.new_event_loop(), threading.Event()

        async def listen():
            server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            listening.set()
            await server.serve_forever()

        threading.Thread(target=self.loop.run_until_complete, args=(listen(),), daemon=True).start()
        listening.wait()

    async def _carry(self, reader, writer):
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.behind)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, server_writer, self.delay), self._pass(server_reader, writer, 0))

    async def _pass(self, reader, writer, delay):
        """Each piece waits for itself: what is read meanwhile is on its way as well."""
        under_way = asyncio.Queue()

        async def arrive():
            while (piece := await under_way.get()) is not None:
                due, data = piece
                await asyncio.sleep(due - self.loop.time())
                writer.write(data)
                await writer.drain()

        arrivals = asyncio.ensure_future(arrive())
        try:
            while data := await reader.read(65536):
                under_way.put_nowait((self.loop.time() + delay, data))
            under_way.put_nowait(None)
            await arrivals
        except OSError:
            arrivals.cancel()
        finally:
            writer.close()
