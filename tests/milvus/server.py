"""The standalone server of the package ``milvus``, which runs without root and without a network."""

import fcntl
import os
import socket
import subprocess
import tempfile
from pathlib import Path

from milvus import MilvusServer

QUICK = {
    "COMMON_SESSION_TTL": "3",  # s; after a crash, what the parts wait for before they count each other as gone
    "PROXY_TIMETICKINTERVAL": "50",  # ms; what a search with strong consistency waits for
    "ROOTCOORD_PROXY_TIMETICKINTERVAL": "50",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A server with its own data folder; it may be ended, killed and started again.

    Args:
        folder: for all it writes.
        settings: environment variables; the server reads ``a.b.c`` of its configuration as ``A_B_C``.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.port = folder, free_port()
        self.settings = QUICK | settings | {"ETCD_CONFIG_PATH": str(self._etcd())}
        self.start()

    def _etcd(self) -> Path:
        """Give the store inside ports of its own, so that two servers can run at once."""
        clients, peers = (f"http://127.0.0.1:{port}" for port in (self._client_port, free_port()))
        path = self.folder / "etcd.yaml"
        path.write_text(
            f"name: default\ndata-dir: {self.folder / 'etcd'}\nlisten-client-urls: {clients}\n"
            f"advertise-client-urls: {clients}\nlisten-peer-urls: {peers}\ninitial-advertise-peer-urls: {peers}\n"
            f"initial-cluster: default={peers}\nlog-outputs: [{self.folder / 'etcd.log'}]\n"
        )
        return path

    @property
    def _client_port(self) -> int:
        return int(self.__dict__.setdefault("_port_of_etcd", free_port()))

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = MilvusServer()
        self._server.set_base_dir(str(self.folder))
        self._server.listen_port = self.port
        before, here = dict(os.environ), os.getcwd()
        os.environ.update(self.settings, ETCD_ENDPOINTS=f"127.0.0.1:{self._client_port}")
        try:
            # its inner ports are looked for before they are taken: two that start at once would take the same
            with open(Path(tempfile.gettempdir()) / "deephash-milvus-tests.lock", "w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                self._server.start()
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._server.server_proc.kill()
        self._server.server_proc.wait()

    def start_again(self) -> None:
        """Start what was killed, with the ports it had, as a service manager does."""
        program, folder = self._server.get_milvus_executable_path(), self.folder
        metrics = str(self._server.webservice_port)
        inside = {"DEPLOY_MODE": "STANDALONE", "METRICS_PORT": metrics, "MILVUS_RUN_DIR": str(folder / "run")}
        library = {"LD_LIBRARY_PATH": str(Path(program).parent)}
        settings = self.settings | inside | library | {"ETCD_ENDPOINTS": f"127.0.0.1:{self._client_port}"}
        with (folder / "logs" / "again.log").open("w") as log:
            process = subprocess.Popen(
                [program, "run", "standalone"], cwd=folder, env=os.environ | settings, stdout=log, stderr=log
            )
        self._server.server_proc = process
        self._server.wait_started()

    def close(self) -> None:
        self._server.stop()
