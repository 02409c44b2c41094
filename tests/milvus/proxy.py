"""A proxy on loopback that delays what passes through it, and drops connections."""

import contextlib
import socket
import threading
import time


class SlowProxy:
    """Passes bytes on after ``delay`` seconds each; the first ``drops`` connections end after some bytes."""

    def __init__(self, port: int, delay: float, drops: int) -> None:
        self._target, self._delay, self._drops = port, delay, drops
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.dropped = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                dropping = self.dropped < self._drops
                self.dropped += dropping
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink, dropping), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, dropping: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._delay)
                sink.sendall(data)
                passed += len(data)
                if dropping and passed > 500:
                    break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
