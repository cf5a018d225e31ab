"""A local HTTP server in the place of W&B's: answers enough for a run to begin, is gone after that, or never answers."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "a" * 40
HELD = 4
"""Seconds for which a request that is never answered is held."""
ENTITY = {"id": "entity", "name": "us"}


def answer(operation, given):
    if operation == "Viewer":
        return {
            "viewer": {"id": "1", "entity": "us", "username": "us", "flags": "{}", "teams": {"edges": []}}
        }
    if operation == "RunResumeStatus":
        return {"model": {"id": "project", "name": "tlplug", "entity": ENTITY, "bucket": None}}
    if operation == "UpsertBucket":
        bucket = {"id": "run", "name": given["name"], "displayName": "run", "config": "{}", "tags": []}
        project = {"id": "project", "name": "tlplug", "entity": ENTITY}
        bucket |= {"description": "", "summaryMetrics": "{}", "historyLineCount": 0, "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}
    return {}


@contextmanager
def service(answers=True):
    """The environment in which runs are sent there, and what was asked. It is gone once it has begun a run.

    Args:
        answers: whether it does.
    """
    asked, over, begun = [], threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if not answers:
                over.wait(HELD)
                return
            if begun:
                self.close_connection = True
                return
            given = json.loads(body) if self.path == "/graphql" else {}
            operation = given.get("operationName")
            asked.append((operation, given.get("variables")))
            text = json.dumps({"data": answer(operation, given.get("variables"))}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            if operation == "UpsertBucket":
                begun.append(True)
                threading.Thread(target=server.server_close).start()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield (
            {
                "WANDB_BASE_URL": address,
                "WANDB_API_KEY": KEY,
                "WANDB_MODE": "online",
                "WANDB_ERROR_REPORTING": "false",
            },
            asked,
        )
    finally:
        over.set()
        server.shutdown()
        server.server_close()
