"""A server on a fresh ledger, for the scripts here that look at it from outside."""

import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What `cargo build` and `cargo test` leave.
BUILT = str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/ringledger")
# The drain's own deadline, and as much again.
END_S = 20
PASSWORD = "correct horse battery"


class Server:
    def __init__(self, program, data, *arguments):
        self.program, self.data = program, data
        command = [program, "serve", "--listen", "127.0.0.1:0", "--data", data, *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"listening on http://(127\.0\.0\.1):(\d+)", line):
                self.host, self.port = found[1], int(found[2])
                break
        else:
            sys.exit("the server did not start")
        # So that the pipe never fills.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def url(self, path=""):
        return f"http://{self.host}:{self.port}{path}"

    def token(self, *identity):
        """A token of `--operator` or `--user NAME`."""
        command = [self.program, "--data", self.data, "token", *(identity or ["--operator"])]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def caller(self, token=None):
        return Caller(self, token)

    def end(self):
        """Drains; whatever is under way is answered. The exit code."""
        self.process.terminate()
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit(f"the server did not end within {END_S} s")


class Caller:
    """A connection of somebody who calls."""

    def __init__(self, server, token):
        self.connection = http.client.HTTPConnection(server.host, server.port)
        self.fields = {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, method, path, body=None, key=None):
        """The reply's body as JSON, whatever its status."""
        fields = dict(self.fields)
        if key:
            fields["Idempotency-Key"] = key
        if body is not None:
            fields["Content-Type"] = "application/json"
        self.connection.request(method, path, None if body is None else json.dumps(body), fields)
        return json.loads(self.connection.getresponse().read() or "null")
