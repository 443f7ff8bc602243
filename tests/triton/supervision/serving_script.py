"""A server that is ready at once and then does what its first argument says; see below.

With the name of a signal it ends by that before it is ready, and as Triton does where a backend
process has died with `stub`, or waits for one that has died with `stuck`; with ` once` after any
of them, the first time. With `refuses` or `sickens` it has a model.

python serving_script.py WORD PORT SERVER_ID FILE
"""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

WORD, PORT, NAME, FILE = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])


class Handler(http.server.BaseHTTPRequestHandler):
    """Ready, and without models, unless the word says otherwise."""

    def do_GET(self) -> None:
        bodies = {
            "/v2/health/ready": "",
            "/v2": f'{{"name": "{NAME}"}}',
            "/v2/models/net/config": '{"input": []}',
        }
        self.answer(bodies.get(self.path))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/infer"):
            with FILE.with_name("asked").open("a") as asked:
                asked.write("once\n")
            well = WORD == "sickens" and not any("/infer" in each for each in checks)
            self.answer("{}" if well else None)
        else:
            models = '[{"name": "net"}]' if WORD in ("refuses", "sickens") else "[]"
            self.answer(None if WORD == "ill" else models)
        checks.append(self.path)
        if WORD == "crash" and len(checks) == 3:  # by then its supervisor has seen it ready
            os.abort()

    def answer(self, body: str | None) -> None:
        self.send_response(500 if body is None else 200)
        self.end_headers()
        self.wfile.write((body or '{"error": "overheated"}').encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


checks: list[str] = []
starts = len(FILE.read_text().splitlines()) if FILE.exists() else 0
with FILE.open("a") as file:
    file.write(f"{os.getpid()}\n")
if WORD == "once" and starts:
    print("error: failed to start: Socket '127.0.0.1:1' already in use ")
    sys.exit(3)
end, _, how = WORD.partition(" ")
if not (how == "once" and starts):
    if end.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[end])
    if end == "stub":
        why = "failed to load 'mean' version 2: Internal: Stub process 'mean_0_0' is not healthy."
        print(f'E1128 07:24:25.945527 29892 model_lifecycle.cc:642] "{why}"')
        sys.exit(1)
    if end == "stuck":
        stub = FILE.with_name("triton_python_backend_stub")
        if not starts:
            stub.symlink_to("/bin/true")
        never_waited_for = subprocess.Popen([stub])
        threading.Event().wait()
if WORD == "hang":
    threading.Event().wait()
server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
if WORD == "children":
    subprocess.Popen(["sleep", "3"], start_new_session=True)
if WORD == "handler" and not starts:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGABRT})  # as in a handler that hangs
threading.Event().wait()
