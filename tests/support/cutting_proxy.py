"""A wire that can be cut: between a client and its server, after so many bytes, or around one thing that is said.

    with CuttingProxy(server_port) as wire:
        wire.cut_after(sent=120)       # the server never gets byte 121 of a connection
        client = connect(port=wire.port)

It is cut once; later connections pass whole. While it is `down` every new one is hung up on; with `down_once_cut` that
begins before the client can notice that an answer is lost. With `hangs` an answer that is cut off does not end: the
client hears nothing more until `go_on` is set.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

How = Literal["before", "answer", "late"]


class CuttingProxy:
    """Listens on a free port of this machine and passes everything on."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = self.received = 0
        self.down = self.down_once_cut = self.hangs = False
        self.has_cut = threading.Event()
        self.go_on = threading.Event()
        self._limits: tuple[int | None, int | None] = (None, None)
        self._words: tuple[bytes, bytes, How] | None = None
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> CuttingProxy:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self.go_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        self._listener.close()

    def cut_after(self, *, sent: int | None = None, received: int | None = None) -> None:
        """Cut a connection when so many bytes have gone to the server, or come from it."""
        self.has_cut.clear()
        self.go_on.clear()
        self._limits, self._words = (sent, received), None

    def cut_around(self, word: bytes, *, once: bytes, how: How) -> None:
        """Cut a connection when the client says `word`, if it has said `once`.

        `before`: the server never gets it. `answer`: it does, but the client not the answer. `late`: the client is cut
        off at once, and the server gets the word when `go_on` is set.
        """
        self.has_cut.clear()
        self.go_on.clear()
        self._limits, self._words = (None, None), (word, once, how)

    def note_cut(self) -> None:
        """Say that a connection is cut, and be down from now on if that is wanted."""
        self.down = self.down or self.down_once_cut
        self.has_cut.set()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
            else:
                self.sent = self.received = 0
                connection = _Connection(self, client, socket.create_connection(self._to))
                self._threads.append(threading.Thread(target=connection.run, daemon=True))
                self._threads[-1].start()

    def _take(self) -> tuple[tuple[int | None, int | None], tuple[bytes, bytes, How] | None]:
        return ((None, None), None) if self.has_cut.is_set() else (self._limits, self._words)


class _Connection:
    """One client's two directions."""

    def __init__(self, wire: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self._wire, self._client, self._server = wire, client, server
        (self._sent, self._received), self._words = wire._take()
        self._said, self._answer_lost = b"", False
        self._back = threading.Thread(target=self._until_gone, args=(self._down,), daemon=True)

    def run(self) -> None:
        """Pass on until one end is gone, then let go of both."""
        with self._client, self._server:
            self._back.start()
            self._until_gone(self._up)
            self._back.join()

    def _until_gone(self, pump: Callable[[], None]) -> None:
        with suppress(OSError):  # the other direction was cut
            pump()
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _up(self) -> None:
        while piece := self._client.recv(65536):
            self._wire.sent += len(piece)
            if self._sent is not None and self._wire.sent > self._sent:
                self._server.sendall(piece[: len(piece) - (self._wire.sent - self._sent)])
                self._wire.note_cut()
                return
            if self._words and self._around(piece, *self._words):
                return
            self._server.sendall(piece)

    def _down(self) -> None:
        while piece := self._server.recv(65536):
            self._wire.received += len(piece)
            if self._answer_lost:
                self._wire.note_cut()
                return
            if self._received is not None and self._wire.received > self._received:
                self._client.sendall(piece[: len(piece) - (self._wire.received - self._received)])
                self._wire.note_cut()
                if self._wire.hangs:
                    self._wire.go_on.wait(60)
                return
            self._client.sendall(piece)

    def _around(self, piece: bytes, word: bytes, once: bytes, how: How) -> bool:
        """Whether to stop here."""
        self._said += piece
        if once not in self._said or word not in piece:
            return False
        if how == "answer":
            self._answer_lost = True
            return False
        self._wire.has_cut.set()
        if how == "late":
            self._client.shutdown(socket.SHUT_RDWR)
            self._wire.go_on.wait(60)
            self._server.sendall(piece)
            self._back.join(60)
        return True
