"""A stand-in for the Hugging Face hub on loopback: as much of its protocol as its own client speaks here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    """Files by name, a commit for each state."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    def commit(self) -> str:
        digest = hashlib.sha1(repr(sorted((n, hashlib.sha1(c).hexdigest()) for n, c in self.files.items())).encode())
        digest.update(str(len(self.commits)).encode())
        self.commits.append(digest.hexdigest())
        return self.commits[-1]


@dataclass
class Hub:
    """What the stand-in holds, and what it was asked."""

    address: str = ""
    token: str = "hf_right"
    repos: dict[str, Repo] = field(default_factory=dict)  # "models/me/x"
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.hub.uploads[self.path.rsplit("/", 1)[-1]] = self._body()
        self._send(200, b"")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, body: bool = True) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        given = self._body() if self.command == "POST" else b""
        if path == "/api/repos/create":
            return self._create(json.loads(given))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if found := re.fullmatch(r"(/datasets)?/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(given))
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(\w+)(?:/(.+))?)?", path):
            return self._api(f"{found[1]}/{found[2]}", found[3] or "revision", given)
        if found := re.fullmatch(r"(/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind = "datasets" if found[1] else "models"
            return self._resolve(f"{kind}/{found[2]}", found[4], body)
        self._json({"error": "nothing here"}, 404)

    def _create(self, asked: dict[str, Any]) -> None:
        if not self._may_write():
            return
        kind = "datasets" if asked.get("type") == "dataset" else "models"
        name = f"{kind}/{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.hub.repos:
            return self._json({"error": "exists", "url": name}, 409)
        repo = self.hub.repos[name] = Repo(private=bool(asked.get("private")) or asked.get("visibility") == "private")
        repo.commit()
        self._json({"url": f"{self.hub.address}/{name.removeprefix('models/')}"})

    def _may_write(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.hub.token}":
            return True
        self._json({"error": "Invalid username or password."}, 401)
        return False

    def _api(self, name: str, what: str, given: bytes) -> None:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.headers.get("Authorization") != f"Bearer {self.hub.token}"):
            return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if what == "preupload":
            asked = json.loads(given)["files"]
            large = (".safetensors", ".onnx", ".lance")
            modes = [
                {"path": each["path"], "shouldIgnore": False, "oid": None,
                 "uploadMode": "lfs" if each["path"].endswith(large) else "regular"} for each in asked
            ]  # fmt: skip
            return self._json({"files": modes})
        if what == "commit":
            return self._commit(name, repo, given) if self._may_write() else None
        siblings = [{"rfilename": each} for each in sorted(repo.files)]
        if what == "tree":
            return self._json([_entry(each, content) for each, content in sorted(repo.files.items())])
        if what == "paths-info":
            return self._json([])
        self._json({"id": name.split("/", 1)[1], "sha": repo.commits[-1], "siblings": siblings, "private": repo.private,
                    "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def _commit(self, name: str, repo: Repo, given: bytes) -> None:
        for line in given.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                repo.files[value["path"]] = self.hub.uploads[value["oid"]]
            elif entry["key"] == "deletedFile":
                repo.files.pop(value["path"], None)
        commit = repo.commit()
        url = f"{self.hub.address}/{name.removeprefix('models/')}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def _batch(self, asked: dict[str, Any]) -> None:
        if not self._may_write():
            return
        objects = [
            {**one, "authenticated": True, "actions": {"upload": {"href": f"{self.hub.address}/upload/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _resolve(self, name: str, file: str, body: bool) -> None:
        repo = self.hub.repos.get(name)
        if repo is None or file not in repo.files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = repo.files[file]
        mark = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{mark}"', "X-Repo-Commit": repo.commits[-1], "X-Linked-Etag": f'"{mark}"',
                   "X-Linked-Size": str(len(content)), "Accept-Ranges": "bytes"}  # fmt: skip
        self._send(200, content, headers, body=body)

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None, body: bool = True) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve on a free port of loopback."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
