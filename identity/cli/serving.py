"""uvicorn's server and its workers, made to lose nobody who is at the door when it shuts."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

import uvicorn
from uvicorn.supervisors import Multiprocess, multiprocess

from identity.cli.connections import SharedState


class Server(uvicorn.Server):
    """Serves until told to stop. uvicorn closes the listening socket while clients wait there whom it did not take in yet: the
    kernel took them in, they have sent their request, and are cut off."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state: SharedState = SharedState()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shuts the door behind whoever came up to now, answers them too, then ends as uvicorn does."""
        self.server_state.is_stopping = True
        for each in self._shut(sockets or []):
            task = asyncio.create_task(self._take_in(each))
            self.server_state.tasks.add(task)
            task.add_done_callback(self.server_state.tasks.discard)
        await super().shutdown(sockets)

    def _shut(self, sockets: list[socket.socket]) -> list[socket.socket]:
        """Returns who waits. The copies keep the door open until the last was taken in; only who comes in the microseconds
        before they are closed is cut off."""
        doors = [_copy(each) for server in self.servers for each in server.sockets]
        for server in self.servers:
            server.close()
        for each in sockets:
            each.close()
        waiting: list[socket.socket] = []
        for door in doors:
            with door, suppress(OSError):  # Nobody is left, or there is no file descriptor for them.
                while len(waiting) < self.config.backlog:
                    waiting.append(door.accept()[0])
        return waiting

    async def _take_in(self, client: socket.socket) -> None:
        client.setblocking(False)
        with suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, client, ssl=self.config.ssl)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _copy(door: socket.socket) -> socket.socket:
    copy = socket.socket(fileno=os.dup(door.fileno()))
    copy.setblocking(False)
    return copy


class Worker(multiprocess.Process):
    """A worker that serves as `Server` does."""

    @property
    def server(self) -> uvicorn.Server:
        """The server, made in the process it runs in."""
        if self._server is None:
            self._server = Server(self.config)
        return self._server


# uvicorn's parent makes its workers under this name, in four places, and has no parameter for it.
multiprocess.Process = Worker  # type: ignore[misc]


class Workers(Multiprocess):
    """uvicorn's parent of workers, which would keep the listening socket until the last of them has ended: whoever connects
    meanwhile would be taken for admitted, wait for nobody, and be cut off in the end."""

    def terminate_all(self) -> None:
        """Lets go of the socket, and tells the workers to stop; each has its own copy."""
        for each in self.sockets:
            each.close()
        super().terminate_all()
