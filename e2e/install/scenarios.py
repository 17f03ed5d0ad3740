#!/usr/bin/env python3
"""What an installation must do, from the first install to the last uninstall. Run by run.sh; the tests go in their order."""

import base64
import http.client
import json
import os
import pathlib
import subprocess
import threading
import time
import unittest
import urllib.parse
import urllib.request

from database import Direct, Gateway

ROOT = pathlib.Path(__file__).parents[2]
CHART = str(ROOT / "charts/keywright")
PUBLIC = urllib.parse.urlsplit(os.environ["PUBLIC_URL"])
NAMESPACE = "keywright"

CLIENT = """
apiVersion: keywright.dev/v1alpha1
kind: OAuth2Client
metadata: {name: orders, namespace: apps}
spec: {grantTypes: [client_credentials], scopes: [read]}
"""

# Keys that are made in no time.
KEYS = """
apiVersion: keywright.dev/v1alpha1
kind: JsonWebKeySet
metadata: {name: hydra.openid.id-token, namespace: keywright}
spec: {algorithms: [ES256]}
---
apiVersion: keywright.dev/v1alpha1
kind: JsonWebKeySet
metadata: {name: hydra.jwt.access-token, namespace: keywright}
spec: {algorithms: [ES256]}
"""


def run(program, *arguments, given=None, fails=False):
    done = subprocess.run([os.environ[program], *arguments], input=given, capture_output=True, text=True)
    if bool(done.returncode) != fails:
        raise AssertionError(f"{program} {' '.join(arguments)}: {done.returncode} {done.stdout} {done.stderr}{state()}")
    return done.stdout + done.stderr


def state():
    """What a failure is understood by."""
    said = []
    for arguments in (
        ["get", "pods,jobs,keywright", "-A", "-o", "wide"],
        ["get", "events", "-n", NAMESPACE, "--sort-by=.lastTimestamp"],
        ["logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=keywright", "--tail=20", "--prefix"],
    ):
        done = subprocess.run([os.environ["KUBECTL"], *arguments], capture_output=True, text=True)
        said.append(done.stdout[-6000:] + done.stderr[-500:])
    return "\n" + "\n".join(said)


def kubectl(*arguments, given=None):
    return run("KUBECTL", *arguments, given=given)


def objects(kind, namespace=NAMESPACE, selector=""):
    arguments = ["get", kind, "-n", namespace, "-o", "json", *(["-l", selector] if selector else [])]
    return json.loads(kubectl(*arguments))["items"]


def pods(component):
    return objects("pods", selector=f"app.kubernetes.io/component={component}")


def is_ready(pod):
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def restarts(pod):
    return sum(one["restartCount"] for one in pod["status"]["containerStatuses"])


def eventually(what, condition, seconds=90):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come{state()}")
        time.sleep(0.3)
    return found


def values(gateway):
    return {
        "image": dict(zip(("repository", "tag"), os.environ["IMAGE"].rsplit(":", 1))),
        "replicaCount": 2,
        "config": {"urls": {"self": {"issuer": "https://id.example.com/"}}, "strategies": {"access_token": "jwt"}},
        "database": {
            "host": gateway.host,
            "port": gateway.port,
            "name": gateway.name,
            "user": gateway.user,
            "sslmode": "disable",
            "passwordSecret": {"name": "postgres-password"},
        },
        "service": {"public": {"type": "NodePort", "nodePort": 30444}},
        "test": {"timeoutSeconds": 60},
    }


def helm(command, gateway, **more):
    given = values(gateway) | more
    return run("HELM", command, "keywright", CHART, "-n", NAMESPACE, "--wait", "--timeout", "180s", "-f", "-", given=json.dumps(given))


class Credentials:
    def __init__(self):
        secret = json.loads(kubectl("get", "secret", "orders-oauth2-client", "-n", "apps", "-o", "json"))
        entry = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
        self.id, self.secret = entry["CLIENT_ID"], entry["CLIENT_SECRET"]

    def token(self, connection=None):
        """The answer to a request for a token, on a connection of its own unless one is given."""
        basic = base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        mine = connection or http.client.HTTPConnection(PUBLIC.hostname, PUBLIC.port, timeout=10)
        mine.request("POST", "/oauth2/token", "grant_type=client_credentials&scope=read", headers)
        answer = mine.getresponse()
        body = answer.read()
        if not connection:
            mine.close()
        return answer.status, body


class Load:
    """Asks for tokens without a pause, each time by a new connection, while it is entered."""

    def __init__(self, credentials, threads=4):
        self.credentials, self.done, self.failed = credentials, 0, []
        self.ends = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self):
        while not self.ends.is_set():
            try:
                status, body = self.credentials.token()
                if status != 200:
                    self.failed.append((status, body[:200]))
            except OSError as error:
                self.failed.append(repr(error))
            self.done += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        for thread in self.threads:
            thread.join()


class Installation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        address, url = os.environ["DATABASE_GATEWAY"], os.environ["DATABASE_URL"]
        cls.gateway = Gateway(address, url) if address else Direct(url)
        for name in (NAMESPACE, "apps"):
            labels = {"pod-security.kubernetes.io/enforce": "restricted"}
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            kubectl("create", "-f", "-", given=json.dumps(namespace))
            cls.addClassCleanup(kubectl, "delete", "namespace", name)
        kubectl("create", "secret", "generic", "postgres-password", "-n", NAMESPACE, f"--from-literal=password={cls.gateway.password}")

    def secret(self):
        return json.loads(kubectl("get", "secret", "keywright-secrets", "-n", NAMESPACE, "-o", "json"))

    def lives_for(self, seconds):
        """Tokens do. Servers that are being replaced answer until nothing is sent to them any more."""
        lifetime = lambda: json.loads(Credentials().token()[1])["expires_in"]
        eventually(f"tokens of {seconds} seconds", lambda: all(lifetime() == seconds for _ in range(8)))

    def test_01_an_install_on_an_empty_database_comes_up(self):
        kubectl("apply", "--server-side", "-k", str(ROOT / "config/crd"))
        # The definitions are the release's from now on.
        for name in ("oauth2clients", "jsonwebkeysets"):
            crd = f"crd/{name}.keywright.dev"
            kubectl("label", crd, "app.kubernetes.io/managed-by=Helm")
            kubectl("annotate", crd, "meta.helm.sh/release-name=keywright", f"meta.helm.sh/release-namespace={NAMESPACE}")
        kubectl("apply", "-f", "-", given=KEYS)
        helm("install", self.gateway)
        self.assertEqual([is_ready(pod) for pod in pods("server")], [True, True])
        for kind in ("migrate", "init"):
            jobs = objects("jobs", selector=f"app.kubernetes.io/component={kind}")
            self.assertEqual(len(jobs), 1)
            eventually(f"the end of {kind}", lambda name=jobs[0]["metadata"]["name"]: json.loads(
                kubectl("get", "job", name, "-n", NAMESPACE, "-o", "json"))["status"].get("succeeded"))

    def test_02_a_client_gets_a_token_with_its_secret_through_the_service(self):
        kubectl("apply", "-f", "-", given=CLIENT)
        kubectl("wait", "-n", "apps", "oac/orders", "--for=condition=Ready", "--timeout=60s")
        status, body = Credentials().token()
        self.assertEqual(status, 200, body)
        token = json.loads(body)
        claims = json.loads(base64.urlsafe_b64decode(token["access_token"].split(".")[1] + "=="))
        self.assertEqual((claims["iss"], claims["client_id"], claims["scp"]), ("https://id.example.com/", Credentials().id, ["read"]))
        self.assertEqual(token["expires_in"], 3600)

    def test_03_helm_test_succeeds(self):
        self.assertIn("Succeeded", run("HELM", "test", "keywright", "-n", NAMESPACE))

    def test_04_helm_test_fails_without_an_operator_and_without_a_server(self):
        for deployment in ("keywright-operator", "keywright"):
            kubectl("scale", f"deployment/{deployment}", "-n", NAMESPACE, "--replicas=0")
            eventually("their end", lambda name=deployment: not pods("operator" if "operator" in name else "server"))
            run("HELM", "test", "keywright", "-n", NAMESPACE, "--timeout", "90s", fails=True)
            kubectl("scale", f"deployment/{deployment}", "-n", NAMESPACE, "--replicas=2")
            kubectl("rollout", "status", f"deployment/{deployment}", "-n", NAMESPACE, "--timeout=90s")
            kubectl("delete", "oac,pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=test", "--ignore-not-found")
        run("HELM", "test", "keywright", "-n", NAMESPACE)

    def test_05_an_upgrade_with_the_same_values_changes_no_secret_and_replaces_no_pod(self):
        before = self.secret(), {pod["metadata"]["uid"] for pod in pods("server") + pods("operator")}
        helm("upgrade", self.gateway)
        self.assertEqual((self.secret(), {pod["metadata"]["uid"] for pod in pods("server") + pods("operator")}), before)

    def test_06_servers_are_replaced_under_load_and_no_request_fails(self):
        before = {pod["metadata"]["uid"] for pod in pods("server")}
        with Load(Credentials()) as load:
            eventually("load", lambda: load.done > 20)
            kubectl("rollout", "restart", "deployment/keywright", "-n", NAMESPACE)
            kubectl("rollout", "status", "deployment/keywright", "-n", NAMESPACE, "--timeout=180s")
            eventually("the end of the former servers", lambda: not before & {pod["metadata"]["uid"] for pod in pods("server")})
        print(f"{load.done} requests, {len(load.failed)} failed", flush=True)
        self.assertEqual(load.failed, [])

    def test_07_changed_values_are_taken_over_and_a_rollback_takes_them_back(self):
        secret = self.secret()
        helm("upgrade", self.gateway, lifetimes={"preset": "strict"}, migrations={"mode": "initContainer"})
        self.lives_for(600)
        run("HELM", "rollback", "keywright", "-n", NAMESPACE, "--wait", "--timeout", "180s")
        self.lives_for(3600)
        self.assertEqual(self.secret(), secret)

    def test_08_while_the_database_is_away_nothing_is_restarted_and_no_server_is_ready(self):
        if not isinstance(self.gateway, Gateway):
            self.skipTest("the way to this database cannot be cut")
        eventually("one set of pods", lambda: len(pods("server")) == 2 and len(pods("operator")) == 2)
        before = {pod["metadata"]["uid"]: restarts(pod) for pod in pods("server") + pods("operator")}
        self.gateway.cut()
        try:
            eventually("servers that are not ready", lambda: not any(is_ready(pod) for pod in pods("server")))
            # Longer than a liveness probe would need to have them restarted.
            time.sleep(35)
            self.assertTrue(all(is_ready(pod) for pod in pods("operator")))
        finally:
            self.gateway.open()
        eventually("servers that are ready", lambda: all(is_ready(pod) for pod in pods("server")), 60)
        self.assertEqual({pod["metadata"]["uid"]: restarts(pod) for pod in pods("server") + pods("operator")}, before)
        self.assertEqual(Credentials().token()[0], 200)

    def test_09_an_uninstall_leaves_definitions_resources_and_secrets_and_an_install_goes_on_with_them(self):
        credentials, secret = Credentials(), self.secret()
        run("HELM", "uninstall", "keywright", "-n", NAMESPACE, "--wait")
        kubectl("get", "-n", "apps", "oac/orders")
        self.assertEqual(self.secret(), secret)
        helm("install", self.gateway)
        again = Credentials()
        self.assertEqual((again.id, again.secret), (credentials.id, credentials.secret))
        self.assertEqual(again.token()[0], 200)
        self.assertEqual(self.secret(), secret)

    def test_10_resources_are_deleted_before_the_operator(self):
        # As docs/install.md has it: what has a finalizer goes while an operator is there.
        kubectl("delete", "oauth2clients,jsonwebkeysets", "--all", "-A", "--timeout=60s")
        run("HELM", "uninstall", "keywright", "-n", NAMESPACE, "--wait")
        kubectl("delete", "crd", "oauth2clients.keywright.dev", "jsonwebkeysets.keywright.dev", "--timeout=60s")


if __name__ == "__main__":
    unittest.main(verbosity=2, failfast=True, warnings="ignore")
