"""The standalone server of the package ``milvus``, which runs without root and without a network."""

import os
import socket
from pathlib import Path

from milvus import MilvusServer


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A server with its own data folder; it may be ended, killed and started again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.port, self.settings = folder, free_port(), settings
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = MilvusServer()
        self._server.set_base_dir(str(self.folder))
        self._server.listen_port = self.port
        for name, value in self.settings.items():
            self._server.config.set(name, value)
        here = os.getcwd()
        try:
            self._server.start()
        finally:
            os.chdir(here)

    @property
    def pid(self) -> int:
        return self._server.server_proc.pid

    def kill(self) -> None:
        """End it as a power cut does."""
        self._server.server_proc.kill()
        self._server.server_proc.wait()
        self._server.stop()

    def close(self) -> None:
        self._server.stop()
