"""Ways to the database."""

import contextlib
import socket
import threading
import urllib.parse


class Direct:
    """The database that a URL names, which pods reach by themselves."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.user, self.password = parts.username, urllib.parse.unquote(parts.password)
        self.host, self.port, self.name = parts.hostname, parts.port or 5432, parts.path.removeprefix("/")


class Gateway(Direct):
    """Listens where pods reach it, and passes connections on to the database that a URL names. It can be cut."""

    def __init__(self, address, url):
        super().__init__(url)
        self.host, self.behind = address, (self.host, self.port)
        self.listener, self.connections = None, set()
        self.port = 0
        self.open()

    def open(self):
        self.listener = socket.create_server((self.host, self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self):
        """Nobody gets through any more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self.behind)
                self.connections |= {client, server}
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one, other):
        with contextlib.suppress(OSError):
            while held := one.recv(65536):
                other.sendall(held)
        for end in (one, other):
            self.connections.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
