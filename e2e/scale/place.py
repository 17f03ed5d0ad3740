"""An API server, a database and an operator between them, and what each of them says."""

import base64
import collections
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = ROOT / "e2e/cluster"
# The operator's own namespace, as config/rbac has it, and that of the clients.
HOME, SPACE = "keywright", "scale"
ACCOUNT = f"system:serviceaccount:{HOME}:keywright-operator"
GROUP = "/apis/keywright.dev/v1alpha1"
WRITES = ("create", "update", "patch", "delete", "deletecollection")
# How many requests the tests have under way at once.
HANDS = 8


def eventually(what, condition, seconds, pause=0.1):
    """Waits until something holds, and gives what it said."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)
    return found


Entry = collections.namedtuple("Entry", "verb resource name user code received done")


def seconds(stamp):
    return datetime.datetime.fromisoformat(stamp).timestamp()


class AuditLog:
    """The API server's audit log, read as far as it has come."""

    def __init__(self, path):
        self.file, self.rest, self.entries = open(path, "rb"), b"", []

    def read(self):
        """All requests so far that have their answer."""
        lines = (self.rest + self.file.read()).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            entry = json.loads(line)
            if entry["stage"] == "ResponseComplete" and (regarding := entry.get("objectRef")):
                user = entry.get("impersonatedUser", entry["user"])["username"]
                resource = "/".join(filter(None, (regarding.get("resource"), regarding.get("subresource"))))
                received, done = seconds(entry["requestReceivedTimestamp"]), seconds(entry["stageTimestamp"])
                code = entry.get("responseStatus", {}).get("code", 0)
                self.entries.append(Entry(entry["verb"], resource, regarding.get("name", ""), user, code, received, done))
        return self.entries

    def close(self):
        self.file.close()


class Api:
    """The API server, as an administrator. Each thread has a connection of its own."""

    def __init__(self, kubeconfig):
        self.config, self.local = kubeconfig, threading.local()
        cluster = kubeconfig["clusters"][0]["cluster"]
        self.host = urllib.parse.urlsplit(cluster["server"]).netloc
        self.trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.token = kubeconfig["users"][0]["user"]["token"]

    def ask(self, method, path, body=None, kind="application/json"):
        """The status and the answer."""
        # The server closes what is not used.
        if time.monotonic() - getattr(self.local, "used", 0) > 20:
            self.local.connection = http.client.HTTPSConnection(self.host, context=self.trust, timeout=60)
        self.local.used = time.monotonic()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        self.local.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.local.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def do(self, method, path, body=None, kind="application/json"):
        status, answer = self.ask(method, path, body, kind)
        if status not in (200, 201, 202):
            raise AssertionError(f"{method} {path}: {status} {answer.get('message')}")
        return answer

    def create(self, path, kind, name, spec):
        namespace = path.split("/namespaces/")[1].split("/")[0]
        metadata = {"name": name, "namespace": namespace}
        self.do("POST", path, {"apiVersion": "keywright.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})

    def edit(self, path, name, spec):
        self.do("PATCH", f"{path}/{name}", {"spec": spec}, "application/merge-patch+json")

    def list(self, path):
        """All of them, page by page."""
        items, more = [], ""
        while True:
            page = self.do("GET", f"{path}?limit=500&continue={urllib.parse.quote(more)}")
            items += page["items"]
            if not (more := page["metadata"].get("continue", "")):
                return items


class Operator:
    """The program, and what it uses."""

    def __init__(self, place, dsn, server=None):
        self.port = free_port()
        config = json.loads(json.dumps(place.api.config))
        config["users"][0]["user"] |= {"as": ACCOUNT, "as-groups": ["system:serviceaccounts", "system:authenticated"]}
        config["clusters"][0]["cluster"]["server"] = server or config["clusters"][0]["cluster"]["server"]
        kubeconfig = place.folder / "operator.kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "DSN": dsn,
            "SECRETS_SYSTEM": "a-system-secret-for-tests-only",
            "URLS_SELF_ISSUER": "https://id.example.com",
            "SERVE_OPERATOR_HOST": "127.0.0.1",
            "SERVE_OPERATOR_PORT": str(self.port),
        }
        self.log = open(place.folder / "operator.log", "ab")
        self.started = time.time()
        command = [os.environ["KEYWRIGHT"], "operator", "--namespace", HOME]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        eventually("the operator leads", lambda: self.metric("leader") == 1, 60)

    def metric(self, name, labels=""):
        """The sum of a metric over those of its series that have these labels."""
        if self.process.poll() is not None:
            raise AssertionError(f"the operator ended: {self.process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        found = re.findall(rf"^{name}(?:\{{([^}}]*)\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for told, value in found if labels in told)

    def memory(self, which="VmRSS"):
        """In MiB: resident now, or the most so far (VmHWM)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{which}:\s+(\d+) kB", status, re.MULTILINE).group(1)) / 1024

    def stop(self):
        self.process.terminate()
        if self.process.wait(30) != 0:
            raise AssertionError(f"the operator ended with {self.process.returncode}")
        self.log.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def processor_time(pid):
    """What a process has used so far, in seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Place:
    """A cluster and a database of its own; all ends with it."""

    def __init__(self, controller_manager=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="keywright-scale-"))
        self.environment = os.environ | {"DIR": str(self.folder / "cluster"), "AUDIT": "1", "OWNER_PID": str(os.getpid())}
        (self.folder / "cluster").mkdir()
        if controller_manager:
            self.environment["CONTROLLER_MANAGER"] = "1"
        self.binaries = self.script("build.sh")
        self.kubeconfig = self.script("up.sh")
        self.api = Api(json.loads(self.kubectl("config", "view", "--raw", "-o", "json")))
        self.audit = AuditLog(self.folder / "cluster/audit.log")
        self.kubectl("apply", "--kustomize", str(ROOT / "config/crd"))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self.kubectl("apply", "--kustomize", str(ROOT / "config/rbac"))
        self.kubectl("create", "namespace", SPACE)
        self.clients = f"{GROUP}/namespaces/{SPACE}/oauth2clients"
        self.key_sets = f"{GROUP}/namespaces/{HOME}/jsonwebkeysets"
        self.secrets = f"/api/v1/namespaces/{SPACE}/secrets"
        database = f"scale_{os.getpid()}_{time.time_ns()}"
        self.sql(f"CREATE DATABASE {database}", os.environ["DATABASE_URL"])
        self.dsn = os.environ["DATABASE_URL"].rsplit("/", 1)[0] + f"/{database}"
        self.operator = None

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure:
            with contextlib.suppress(OSError):
                print((self.folder / "operator.log").read_bytes()[-4000:].decode(errors="replace"))
        if self.operator and self.operator.process.poll() is None:
            self.operator.kill()
        self.audit.close()
        subprocess.run([SCRIPTS / "down.sh"], env=self.environment, check=True)
        self.sql(f"DROP DATABASE {self.dsn.rsplit('/', 1)[1]} WITH (FORCE)", os.environ["DATABASE_URL"])
        shutil.rmtree(self.folder)

    def script(self, name):
        extra = ["kube-controller-manager"] if name == "build.sh" and "CONTROLLER_MANAGER" in self.environment else []
        command = [SCRIPTS / name, *extra]
        return subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def kubectl(self, *arguments):
        command = [f"{self.binaries}/kubectl", "--kubeconfig", self.kubeconfig, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def sql(self, statement, url=None):
        """The first column of the first row."""
        command = ["psql", "-AtXq", "-v", "ON_ERROR_STOP=1", url or self.dsn, "-c", statement]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")[0]

    def count(self, table, where="TRUE"):
        return int(self.sql(f"SELECT count(*) FROM {table} WHERE {where}"))

    def start(self, **how):
        self.operator = Operator(self, **({"dsn": self.dsn} | how))
        return self.operator

    def server_processor_time(self):
        """What the API server has used so far."""
        for line in (self.folder / "cluster/pids").read_text().splitlines():
            pid, _, name = line.split()
            if name == "kube-apiserver":
                return processor_time(pid)
        raise AssertionError("no API server")

    def at_once(self, work, names):
        """Does something with each name, several at a time, and says when the last one was done."""
        with ThreadPoolExecutor(HANDS) as hands:
            for _ in hands.map(work, names):
                pass
        return time.time()

    def requests(self, since=0.0):
        """The operator's requests that were received since then, but for its Lease and its watches; the last may be late."""
        entries = self.audit.read()
        of_operator = (one for one in entries if one.user == ACCOUNT and one.received >= since)
        return [one for one in of_operator if one.resource != "leases" and one.verb != "watch"]

    def all_requests(self, since=0.0):
        """The same, with those of which the log did not tell yet: it is read up to a request of our own."""
        marker = f"marker-{time.time_ns()}"
        self.api.do("POST", f"/api/v1/namespaces/{SPACE}/configmaps", {"metadata": {"name": marker}})
        logged = lambda: any(one.name == marker for one in reversed(self.audit.read()[-1000:]))
        eventually("the marker is in the audit log", logged, 60)
        return self.requests(since)

    def writes(self, since=0.0):
        """Those of all requests that change something, or try to."""
        return [one for one in self.all_requests(since) if one.verb in WRITES]

    def rest(self, limit):
        """Waits until the operator has asked nothing for three seconds, and gives its last request."""

        def rests():
            requests = self.requests()
            return requests and time.time() - requests[-1].done > 3 and requests

        return eventually("the operator rests", rests, limit, 0.5)[-1]


def ready(resource):
    """True for a status that tells of the present generation that all is as declared."""
    status, generation = resource.get("status", {}), resource["metadata"]["generation"]
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    return status.get("observedGeneration") == generation and conditions.get("Ready") == "True"


def reason(resource):
    """Why it is ready, or not."""
    conditions = resource.get("status", {}).get("conditions", [])
    return next((one["reason"] for one in conditions if one["type"] == "Ready"), None)
