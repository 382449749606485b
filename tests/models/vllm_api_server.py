# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A small server of vLLM's HTTP interface on a Unix domain socket, with the responses and errors of vLLM 0.32.

``install`` writes a package named vllm whose command starts it, for tests of how the real one's process is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

MAX_WORDS = 100


class Failure(Exception):  # noqa: N818
    """What the server answers instead of a text.

    Args:
        code: The HTTP status.
        message: Why.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        types = {400: "BadRequestError", 500: "InternalServerError", 404: "NotFoundError"}
        error = {"message": message, "type": types.get(code, "Error"), "param": None, "code": code}
        self.body = {"error": error}


def refused(prompt):
    """Refuses what vLLM refuses."""
    if not prompt:
        raise Failure(400, "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)")
    if len(prompt.split()) > MAX_WORDS:
        raise Failure(400, f"This model's maximum context length is {MAX_WORDS} tokens. Please reduce the length.")


def echo(body):
    """Returns the last message, or the prompt, in capitals."""
    prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    refused(prompt)
    return prompt.upper()


class VllmServer(ThreadingUnixStreamServer):
    """Answers with the text that ``complete(body)`` returns, or with the Failure that it raises.

    Attributes:
        requests: Resources and bodies that came, in order.
        most: How many were under way at once, at most.
        health: The HTTP status of /health.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, path, complete=echo):
        super().__init__(str(path), _Handler)
        self.complete, self.requests, self.health = complete, [], 200
        self.under_way, self.most, self.lock = 0, 0, threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.server_close()
        Path(self.server_address).unlink(missing_ok=True)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(self.server.health if self.path == "/health" else 404, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((self.path, body))
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
        try:
            text = self.server.complete(body)
            code, answer = 200, text if isinstance(text, dict) else response(self.path, text, body)
        except Failure as failure:
            code, answer = failure.code, failure.body
        finally:  # before the client is answered, whose next request may come sooner than this thread goes on
            with self.server.lock:
                self.server.under_way -= 1
        self._answer(code, answer)

    def _answer(self, code, body):
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        """Says nothing."""


def response(resource, text, body, finish_reason="stop"):
    """Returns a response of vLLM 0.32, with all that it says."""
    further = {"logprobs": None, "stop_reason": None, "token_ids": None, "routed_experts": None}
    choice = {"index": 0, "finish_reason": finish_reason, **further}
    if resource == "/v1/completions":
        kind = "text_completion"
        choice |= {"text": text, "prompt_logprobs": None, "prompt_token_ids": None}
    else:
        kind = "chat.completion"
        message = {"role": "assistant", "content": text, "refusal": None, "annotations": None, "audio": None}
        choice["message"] = {**message, "function_call": None, "reasoning": None}
    prompt = body.get("prompt") or " ".join(each["content"] for each in body["messages"])
    prompt_tokens, completion_tokens = len(prompt.split()), len((text or "").split())
    return {
        "id": "cmpl-8c645f7e4da8910e",
        "object": kind,
        "created": 1795544601,
        "model": "tiny",
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": "vllm-0.32.0-7eb0555d",
        "usage": {
            "prompt_tokens": prompt_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "completion_tokens": completion_tokens,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def install(folder, version="0.32.0+cpu"):
    """Writes the package into a folder for sys.path; each start of its server adds a line to ``starts`` there."""
    package = folder / "vllm/entrypoints/cli"
    package.mkdir(parents=True)
    for parent in (package, package.parent, package.parent.parent):
        (parent / "__init__.py").touch()
    here = str(Path(__file__).parent)
    code = f"import sys\nsys.path.insert(0, {here!r})\nimport vllm_api_server\nvllm_api_server.main({str(folder)!r})\n"
    (package / "main.py").write_text(code)
    about = folder / f"vllm-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


def starts(folder):
    """Returns what the servers of a folder were started with, in order: pid, engine, arguments and variables."""
    path = folder / "starts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(folder):
    """Serves, with a child that stands for the engine; texts are orders to it: die, wait, pid. Ends if told to."""
    folder = Path(folder)
    arguments = sys.argv[1:]
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    variables = {name: os.environ.get(name) for name in ("VLLM_NO_USAGE_STATS", "CUDA_VISIBLE_DEVICES")}
    with (folder / "starts").open("a") as file:
        start = {"pid": os.getpid(), "engine": engine.pid, "arguments": arguments, "variables": variables}
        file.write(json.dumps(start) + "\n")
    print("(APIServer pid=7) INFO 11-24 18:22:28 [model.py:733] Resolved architecture: LlamaForCausalLM", flush=True)
    if (folder / "broken").exists():
        print((folder / "broken").read_text(), file=sys.stderr, flush=True)
        sys.exit(1)

    def obey(body):
        order = body.get("prompt")
        if order == "die" and len(starts(folder)) == 1:
            os._exit(3)
        if order == "unwell" and len(starts(folder)) == 1:
            server.health = 503
            raise Failure(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")
        return str(os.getpid()) if order == "pid" else echo(body)

    path = next(each.removeprefix("--uds=") for each in arguments if each.startswith("--uds="))
    server = VllmServer(path, obey)
    while True:
        time.sleep(1)
