"""The pages of an installation, for tests: everybody is alice, and agrees to all that is asked.

Usage: login_app.py PORT PUBLIC_URL ADMIN_URL MANIFEST

GET /login, /consent, /logout and /device answer the server's challenges over its admin API and send the browser on.
POST /rotate replaces the keys that MANIFEST declares, as an operator of the installation would, and answers when the
server publishes one that it did not publish before.
"""

import http.server
import json
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request
import uuid

PORT, PUBLIC, ADMIN, MANIFEST = int(sys.argv[1]), sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def answer(kind, challenge, decide):
    url = f"{ADMIN}/admin/oauth2/auth/requests/{kind}"
    query = urllib.parse.urlencode({f"{kind}_challenge": challenge})
    asked = {} if kind == "device" else call("GET", f"{url}?{query}")
    return call("PUT", f"{url}/accept?{query}", decide(asked))["redirect_to"]


def consent(asked):
    return {
        "grant_scope": asked["requested_scope"],
        "grant_access_token_audience": asked["requested_access_token_audience"],
        "session": {"id_token": {"email": "alice@example.com"}},
    }


def published():
    with urllib.request.urlopen(f"{PUBLIC}/.well-known/jwks.json") as response:
        return {key["kid"] for key in json.load(response)["keys"]}


def rotate():
    before = published()
    written = MANIFEST.with_suffix(".new")
    request = f'keywright.dev/rotate-now: "{uuid.uuid4()}"'
    written.write_text(re.sub(r'keywright.dev/rotate-now: ".*"', request, MANIFEST.read_text()))
    written.replace(MANIFEST)
    deadline = time.monotonic() + 30
    while not published() - before:
        assert time.monotonic() < deadline, "no new key is published"
        time.sleep(0.05)


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        decide = {
            "login": lambda asked: {"subject": asked["subject"] or "alice", "remember": True, "acr": "1", "amr": ["pwd"]},
            "consent": consent,
            "logout": lambda asked: None,
            "device": lambda asked: {"user_code": query["user_code"]},
        }
        kind = url.path[1:]
        if kind not in decide:
            return self.end(404)
        location = answer(kind, query[f"{kind}_challenge"], decide[kind])
        self.send_response(302)
        self.send_header("Location", location)
        self.end_headers()

    def do_POST(self):
        if self.path != "/rotate":
            return self.end(404)
        rotate()
        self.end(204)

    def end(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Pages).serve_forever()
