"""A stand-in for the Hugging Face hub on this machine: as much of its HTTP API as an upload of a folder uses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from jsonschema import Draft202012Validator

OBJECT_SIZE = 10_000_000
"""Files from here on, and those that LARGE matches, are large ones: `.gitattributes` of a new repository."""

LARGE = re.compile(r"\.(safetensors|bin|pt|ckpt|gguf)$")
HUB_ID = {"type": "string", "pattern": r"^([\w-]+/)?[\w.-]+$"}
TEXT = {"type": "string", "minLength": 1}


def record(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


def several(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


CARD = record(
    "",
    library_name=TEXT,
    tags=several(TEXT),
    pipeline_tag={"enum": ["text-classification", "token-classification", "question-answering"]},
    license={"enum": ["apache-2.0", "mit", "cc0-1.0", "other"]},
    language={"type": "string", "pattern": "^[a-z]{2,3}$"},
    base_model=HUB_ID,
    base_model_relation={"enum": ["adapter", "finetune", "merge", "quantized"]},
    datasets=several(HUB_ID),
    **{
        "model-index": several(
            record(
                "name results",
                name=TEXT,
                results=several(
                    record(
                        "task dataset metrics",
                        task=record("type", type=TEXT),
                        dataset=record(
                            "name type", name=TEXT, type=HUB_ID, config=TEXT, split=TEXT, revision=TEXT
                        ),
                        metrics=several(record("type value", type=TEXT, value={"type": "number"})),
                    )
                ),
            )
        )
    },
)
"""What the hub documents of a model card's metadata, with a few of its licences and tasks."""


@dataclass
class Repository:
    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


class Request(NamedTuple):
    method: str
    path: str
    authorization: str | None


@dataclass
class Refusal:
    path: str
    status: int
    body: Any
    times: float


class Answer(NamedTuple):
    body: Any = None
    status: int = 200
    code: str | None = None


class Hub:
    """Serves while it is entered; what was uploaded lies in `repositories`, what was asked in `requests`.

    Args:
        large: whether weights take the way of large files (LFS). The client takes its plain one, which needs no storage
            service, only where HF_HUB_DISABLE_XET=1 is set or hf_xet is missing: it asks no server. With False all files
            go into the commit itself, and any client can upload here.

    Attributes:
        tokens: who may write; anyone else is refused as the hub does it.
        usual: what a new repository is of which its maker says nothing.
    """

    def __init__(self, large: bool = True) -> None:
        self.large = large
        self.tokens = ["hf_test", "hf_reader"]
        self.usual = "public"
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.refusals: list[Refusal] = []

    def __enter__(self) -> Hub:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def refuse(self, path: str, status: int, body: Any = "", times: float = float("inf")) -> None:
        """Answer requests whose path the regular expression `path` is found in with `status`, so many times."""
        self.refusals.append(Refusal(path, status, body, times))

    def paths(self, method: str = "POST") -> list[str]:
        return [request.path for request in self.requests if request.method == method]

    def answer(self, request: Request, body: bytes) -> Answer:
        self.requests.append(request)
        for refusal in self.refusals:
            if refusal.times > 0 and re.search(refusal.path, request.path):
                refusal.times -= 1
                return Answer(refusal.body, refusal.status)
        for method, path, serve in ROUTES:
            if method == request.method and (found := re.fullmatch(path, request.path)):
                allowed = request.authorization in [f"Bearer {token}" for token in self.tokens]
                if serve in MEMBERS_ONLY and not allowed:
                    return Answer({"error": "Invalid username or password."}, 401)
                return serve(self, body, allowed=allowed, **found.groupdict())
        return Answer({"error": f"the stand-in has no {request.method} {request.path}"}, 404)

    def harnesses(self, body: bytes, allowed: bool) -> Answer:
        """Asked for by the client before all else, to name in its user agent the program that it runs in."""
        return Answer({"standardEnvVars": [], "harnesses": {}})

    def create(self, body: bytes, allowed: bool) -> Answer:
        given = json.loads(body)
        name = f"{given['organization'] or 'somebody'}/{given['name']}"
        there = {"url": f"{self.address}/{name}"}
        if name in self.repositories:
            return Answer({"error": "You already created this model repo", **there}, 409)
        self.repositories[name] = Repository(private=given.get("visibility", self.usual) == "private")
        return Answer(there)

    def describe(self, body: bytes, allowed: bool, name: str) -> Answer:
        """A repository that one may not see is told of as if it were not there."""
        found = self.repositories.get(name)
        if found is None or (found.private and not allowed):
            return Answer({"error": "Repository not found"}, 404 if allowed else 401, "RepoNotFound")
        return Answer(
            {
                "id": name,
                "private": found.private,
                "sha": found.commits[-1] if found.commits else "0" * 40,
                "siblings": [{"rfilename": path} for path in found.files],
            }
        )

    def validate_card(self, body: bytes, allowed: bool) -> Answer:
        """Check that a README.md's front matter is YAML, and the values of its keys against CARD."""
        content = json.loads(body)["content"]
        front = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        if front is None:
            return Answer(
                {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
            )
        try:
            metadata = yaml.safe_load(front[1])
        except yaml.YAMLError as error:
            return Answer({"errors": [{"message": f"bad YAML: {error}"}], "warnings": []}, 400)
        errors = [
            {
                "message": f'"{fault.json_path[2:]}" with value "{fault.instance}" is not valid: {fault.message}'
            }
            for fault in Draft202012Validator(CARD).iter_errors(metadata)
        ]
        return Answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, body: bytes, allowed: bool, name: str) -> Answer:
        """How each file is to come, and the object id of what lies at its path now."""
        files = self.repositories[name].files

        def plan(path: str, size: int) -> dict[str, Any]:
            large = self.large and (size >= OBJECT_SIZE or LARGE.search(path) is not None)
            known = {"oid": object_id(files[path], large)} if path in files else {}
            return {
                "path": path,
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": False,
                **known,
            }

        return Answer({"files": [plan(file["path"], file["size"]) for file in json.loads(body)["files"]]})

    def batch(self, body: bytes, allowed: bool, name: str) -> Answer:
        """Where large objects are to be put; those that are here already need no action."""

        def told(oid: str, size: int) -> dict[str, Any]:
            place = {
                kind: {"href": f"{self.address}/objects/{oid}{tail}"}
                for kind, tail in (("upload", ""), ("verify", "/verify"))
            }
            return {"oid": oid, "size": size, **({} if oid in self.objects else {"actions": place})}

        objects = [told(one["oid"], one["size"]) for one in json.loads(body)["objects"]]
        return Answer({"transfer": "basic", "objects": objects})

    def store(self, body: bytes, allowed: bool, oid: str) -> Answer:
        self.objects[oid] = body
        return Answer()

    def verify(self, body: bytes, allowed: bool, oid: str) -> Answer:
        there = self.objects.get(oid)
        right = there is not None and object_id(there, large=True) == oid == json.loads(body)["oid"]
        return Answer({}) if right else Answer({"error": "the object is not what it was said to be"}, 422)

    def commit(self, body: bytes, allowed: bool, name: str) -> Answer:
        repository = self.repositories[name]
        for line in body.splitlines():
            kind, value = (parsed := json.loads(line))["key"], parsed["value"]
            if kind == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                repository.files[value["path"]] = self.objects[value["oid"]]
            elif kind != "header":
                return Answer({"error": f"the stand-in does not know {kind}"}, 400)
        oid = hashlib.sha1(body).hexdigest()
        repository.commits.append(oid)
        return Answer({"commitUrl": f"{self.address}/{name}/commit/{oid}", "commitOid": oid})


REPOSITORY = r"(?P<name>[\w.-]+/[\w.-]+)"
ROUTES = [
    ("GET", "/api/agent-harnesses", Hub.harnesses),
    ("POST", "/api/repos/create", Hub.create),
    ("GET", f"/api/models/{REPOSITORY}(/revision/main)?", Hub.describe),
    ("POST", "/api/validate-yaml", Hub.validate_card),
    ("POST", f"/api/models/{REPOSITORY}/preupload/main", Hub.preupload),
    ("POST", f"/{REPOSITORY}\\.git/info/lfs/objects/batch", Hub.batch),
    ("PUT", r"/objects/(?P<oid>\w+)", Hub.store),
    ("POST", r"/objects/(?P<oid>\w+)/verify", Hub.verify),
    ("POST", f"/api/models/{REPOSITORY}/commit/main", Hub.commit),
]
MEMBERS_ONLY = (Hub.create, Hub.preupload, Hub.batch, Hub.verify, Hub.commit)


def object_id(content: bytes, large: bool) -> str:
    """As git names a blob; as LFS names an object."""
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """HTTP around `Hub.answer`."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self.respond()

    do_POST = do_PUT = do_GET  # noqa: N815

    def respond(self) -> None:
        body = self.read_body()
        path = urlsplit(self.path).path
        answer = self.hub.answer(Request(self.command, path, self.headers["authorization"]), body)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer.body, str) else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        if answer.code:
            self.send_header("X-Error-Code", answer.code)
        self.end_headers()
        self.wfile.write(text.encode())

    def read_body(self) -> bytes:
        if self.headers["transfer-encoding"] != "chunked":
            return self.rfile.read(int(self.headers["content-length"] or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def log_message(self, *words: object) -> None:
        pass
