#!/usr/bin/env python3
"""What the chart renders, on a real API server without nodes. Run by check.sh."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

CHART = pathlib.Path(__file__).parent / "keywright"
ROOT = CHART.parent.parent
CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
MINIMAL = ["--set", "config.urls.self.issuer=https://id.example.com/", "--set", "database.host=postgres"]

# Definitions of other projects, of which only the names count here.
FOREIGN = [
    ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
    ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
]


def run(program, *arguments, given=None):
    done = subprocess.run([os.environ[program], *arguments], input=given, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{program} {' '.join(arguments)}: {done.stderr}")
    return done


def render(*arguments, namespace="rendered"):
    return run("HELM", "template", "keywright", str(CHART), "--namespace", namespace, *arguments).stdout


def case(name):
    return ["--values", str(CHART / "ci" / f"{name}-values.yaml")]


def foreign(group, version, kind, plural):
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = {"name": version, "served": True, "storage": True, "schema": schema}
    annotations = {"api-approved.kubernetes.io": "unapproved, for tests"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": annotations},
        "spec": {"group": group, "names": {"kind": kind, "plural": plural}, "scope": "Namespaced", "versions": [served]},
    }


def namespace(name):
    labels = {"pod-security.kubernetes.io/warn": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    run("KUBECTL", "apply", "--server-side", "-f", "-", given=json.dumps(made))


def setUpModule():
    definitions = {"apiVersion": "v1", "kind": "List", "items": [foreign(*one) for one in FOREIGN]}
    run("KUBECTL", "apply", "--server-side", "-f", "-", given=json.dumps(definitions))
    run("KUBECTL", "apply", "--server-side", "-k", str(ROOT / "config/crd"))
    run("KUBECTL", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for name in ("rendered", "keywright", "released"):
        namespace(name)


def accepted(manifest, where):
    """What the API server would make of a manifest, with its defaults, and what it warns of."""
    # As a default, which objects may name another than.
    run("KUBECTL", "config", "set-context", "--current", "--namespace", where)
    apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-o", "json", "-f", "-"]
    done = run("KUBECTL", *apply, given=manifest)
    found = json.loads(done.stdout)
    return found.get("items", [found]), done.stderr


def pods(objects):
    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            yield one, one["spec"]["template"]["spec"]
        elif one["kind"] == "Pod":
            yield one, one["spec"]


def by_name(objects):
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


LUA = shutil.which("lua5.4") or shutil.which("lua")


def lua(value):
    """A value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{lua(key)}] = {lua(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(lua, value)) + "}"
    return json.dumps(value)


class ChartTest(unittest.TestCase):
    maxDiff = None

    def test_lint_finds_nothing(self):
        for name in CASES:
            with self.subTest(name):
                run("HELM", "lint", "--strict", "--quiet", str(CHART), *case(name))

    def test_rendering_twice_gives_the_same(self):
        for name in CASES:
            with self.subTest(name):
                self.assertEqual(render(*case(name)), render(*case(name)))

    def test_an_api_server_takes_all_of_it_without_a_warning(self):
        for name in CASES:
            with self.subTest(name):
                objects, warnings = accepted(render(*case(name)), "rendered")
                self.assertEqual(warnings, "")
                for owner, pod in pods(objects):
                    for container in pod["containers"]:
                        if "keywright" in container["image"]:
                            self.assertIn("requests", container["resources"], owner["metadata"]["name"])
                    self.assertEqual(pod["securityContext"]["runAsUser"], 65532)

    def test_secrets_stand_in_secrets_alone(self):
        objects, _ = accepted(render(*case("inline")), "rendered")
        for one in objects:
            if one["kind"] != "Secret":
                self.assertNotIn("canary", json.dumps(one), one["metadata"])
        environment = by_name(objects)["Deployment", "keywright"]["spec"]["template"]["spec"]["containers"][0]["env"]
        self.assertEqual(
            {one["name"]: one["valueFrom"]["secretKeyRef"]["key"] for one in environment},
            {
                "DSN": "dsn",
                "DB_LISTEN_DSN": "listenDsn",
                "DB_REPLICA_DSN": "replicaDsn",
                "SECRETS_SYSTEM": "secretsSystem",
                "OIDC_SUBJECT_IDENTIFIERS_PAIRWISE_SALT": "pairwiseSalt",
            },
        )
        secret = by_name(objects)["Secret", "keywright"]["data"]
        self.assertEqual(set(secret), {"dsn", "listenDsn", "replicaDsn", "secretsSystem", "pairwiseSalt"})

    def test_a_replicas_dsn_comes_from_the_secret_that_is_named(self):
        named = ["--set", "database.replicaDsnSecret.name=ours,config.db.replica_dsn=postgres://nobody"]
        for values in (case("everything"), [*MINIMAL, *named], [*case("secret"), *named]):
            objects = by_name(accepted(render(*values), "rendered")[0])
            pod = objects["Deployment", "keywright"]["spec"]["template"]["spec"]
            environment = {one["name"]: one.get("valueFrom") for one in pod["containers"][0]["env"]}
            named_secret = environment["DB_REPLICA_DSN"]["secretKeyRef"]
            self.assertIn(named_secret, [{"name": "cluster-replica", "key": "dsn"}, {"name": "ours", "key": "dsn"}])
            self.assertNotIn("nobody", json.dumps(list(objects.values())))
        self.assertNotIn("DB_REPLICA_DSN", render(*MINIMAL))

    def test_no_value_makes_a_secret_but_the_job(self):
        kinds = [one["kind"] for one in accepted(render(*case("parts")), "rendered")[0]]
        self.assertNotIn("Secret", kinds)
        jobs = [one["metadata"]["name"] for one in accepted(render(*case("secret")), "rendered")[0] if one["kind"] == "Job"]
        self.assertEqual(jobs, [])

    def test_the_operator_may_do_no_more_than_it_must(self):
        objects = by_name(accepted(render(*case("parts"), "--set", "rbac.watchSecrets=false"), "rendered")[0])
        rules = objects["ClusterRole", "keywright-operator"]["rules"]
        verbs = {}
        for rule in rules:
            for resource in rule["resources"]:
                verbs[resource] = verbs.get(resource, set()) | set(rule["verbs"])
        self.assertEqual(verbs["secrets"], {"get", "create", "patch"})
        self.assertEqual(verbs["namespaces"], {"get"})
        self.assertFalse(any("*" in rule["verbs"] + rule["resources"] + rule["apiGroups"] for rule in rules))
        lease = objects["Role", "keywright-operator-election"]["rules"]
        self.assertEqual(lease[1]["resourceNames"], ["keywright-default"])
        without = by_name(accepted(render(*case("secret")), "rendered")[0])
        self.assertNotIn(("ClusterRole", "keywright-operator"), without)

    def test_with_watched_namespaces_the_rights_are_in_these_alone(self):
        watched = ["--set", "operator.watchNamespaces={keywright}"]
        objects, _ = accepted(render(*case("parts"), *watched), "rendered")
        cluster = by_name(objects)["ClusterRole", "keywright-operator"]["rules"]
        self.assertEqual([(rule["resources"], rule["verbs"]) for rule in cluster], [(["namespaces"], ["get"])])
        roles = [one for one in objects if one["kind"] == "Role" and one["metadata"]["name"] == "keywright-operator"]
        self.assertEqual(sorted(one["metadata"]["namespace"] for one in roles), ["keywright", "rendered"])
        self.assertEqual({len(one["rules"]) for one in roles}, {5})
        arguments = by_name(objects)["Deployment", "keywright-operator"]["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertIn("rendered,keywright", arguments)

    def test_ids_in_secrets_for_maesters_resources_are_free_unless_namespaces_are_named(self):
        def arguments(*more):
            objects, _ = accepted(render(*case("parts"), "--set", "operator.compatMaester.enabled=true", *more), "rendered")
            operator = by_name(objects)["Deployment", "keywright-operator"]["spec"]["template"]["spec"]
            given = operator["containers"][0]["args"]
            flag = "--compat-maester-id-namespaces"
            return given[given.index(flag) + 1] if flag in given else None

        self.assertEqual(arguments(), None)
        self.assertEqual(arguments("--set", "operator.compatMaester.idNamespaces={a,b}"), "a,b")
        self.assertEqual(arguments("--set-json", "operator.compatMaester.idNamespaces=[]"), "")

    def test_the_admin_port_is_closed_but_for_those_who_are_named(self):
        closed = by_name(accepted(render(*MINIMAL), "rendered")[0])["NetworkPolicy", "keywright-server"]["spec"]["ingress"]
        self.assertEqual([[port["port"] for port in rule["ports"]] for rule in closed], [["public"]])
        policy = by_name(accepted(render(*case("everything")), "rendered")[0])["NetworkPolicy", "keywright-server"]
        admin = [rule for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] == "admin"]
        self.assertEqual([len(rule["from"]) for rule in admin], [2])

    def test_probes_ask_for_the_database_where_that_decides_about_traffic_alone(self):
        server = by_name(accepted(render(*MINIMAL), "rendered")[0])["Deployment", "keywright"]["spec"]["template"]["spec"]
        container = server["containers"][0]
        paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
        self.assertEqual(paths, {"startup": "/health/alive", "liveness": "/health/alive", "readiness": "/health/ready"})
        arguments = container["args"]
        delay = arguments[arguments.index("--shutdown-delay") + 1]
        self.assertGreater(server["terminationGracePeriodSeconds"], int(delay.removesuffix("s")) + 26)

    def test_the_configuration_is_what_was_given_over_the_defaults(self):
        def configuration(*arguments):
            objects = by_name(accepted(render(*MINIMAL, *arguments), "rendered")[0])
            return objects["ConfigMap", "keywright"]["data"]["config.yaml"]

        self.assertIn("rotation_grace_period: 10s", configuration())
        self.assertNotIn("ttl", configuration())
        self.assertIn("access_token: 10m\n  refresh_token: 24h", configuration("--set", "lifetimes.preset=strict"))
        self.assertIn("access_token: 15m\n  refresh_token: 168h", configuration("--set", "lifetimes.preset=standard"))
        mixed = configuration("--set", "lifetimes.preset=standard,config.ttl.access_token=7m,hydra.config.ttl.id_token=9m")
        self.assertIn("access_token: 7m\n  id_token: 9m\n  refresh_token: 168h", mixed)
        self.assertIn("autocreate: false", configuration())
        self.assertIn("autocreate: true", configuration("--set", "maester.enabled=false"))
        self.assertIn("autocreate: false", configuration("--set", "maester.enabled=false,operator.enabled=true"))

    def test_values_that_cannot_be_are_refused_by_name(self):
        for arguments, says in [
            ([], "config.urls.self.issuer is required"),
            (MINIMAL[:2], "the database is missing"),
            ([*MINIMAL, "--set", "secrets.generate=false"], "the system secret is missing"),
            ([*MINIMAL, "--set", "secret.enabled=false"], "name the Secret in secrets.existingSecret"),
            ([*MINIMAL, "--set", "replicaCoutn=3"], "replicaCoutn"),
            ([*MINIMAL, "--set", "operator.enable=true"], "enable"),
            ([*MINIMAL, "--set", "lifetimes.preset=short"], "lifetimes"),
            ([*MINIMAL, "--set", "ingress.public.enabled=true"], "ingress.public.hosts is empty"),
            ([*MINIMAL, "--set", "httpRoute.enabled=true"], "httpRoute.parentRefs is empty"),
        ]:
            with self.subTest(says), self.assertRaises(AssertionError) as refused:
                render(*arguments)
            self.assertIn(says, str(refused.exception))

    def test_values_of_hydras_chart_mean_the_same(self):
        objects = by_name(accepted(render(*case("hydra")), "rendered")[0])
        server = objects["Deployment", "keywright"]["spec"]
        self.assertEqual(server["replicas"], 3)
        pod = server["template"]["spec"]
        self.assertEqual([one["name"] for one in pod["initContainers"]], ["hello", "migrate"])
        self.assertEqual([one["name"] for one in pod["containers"]], ["keywright", "keywright-sidecar"])
        self.assertEqual(pod["containers"][0]["image"], "keywright:0.1.0")
        self.assertIn("--dev", pod["containers"][0]["args"])
        self.assertEqual(pod["serviceAccountName"], "hydra-deploy")
        environment = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in pod["containers"][0]["env"]}
        self.assertEqual(environment["DSN"], {"name": "hydra", "key": "dsn"})
        self.assertEqual(environment["SECRETS_SYSTEM"], {"name": "hydra", "key": "secretsSystem"})
        self.assertIn("issuer: https://id.example.com/", objects["ConfigMap", "keywright"]["data"]["config.yaml"])
        self.assertEqual(objects["PodDisruptionBudget", "keywright"]["spec"]["maxUnavailable"], "25%")
        self.assertNotIn("of-no-use", json.dumps(list(objects.values())))
        self.assertNotIn(("Deployment", "keywright-operator"), objects)
        notes = run("HELM", "install", "keywright", str(CHART), "-n", "rendered", "--dry-run=server", "--set", "crds.install=false", *case("hydra")).stdout
        for ignored in ("janitor", "watcher", "hydra.command", "image.repository", "job.lifecycle"):
            self.assertIn(ignored, notes.split("Without effect")[1])

    def test_alerts_and_dashboard_name_metrics_that_there_are(self):
        sources = [path.read_text() for crate in ("server", "operator", "keywright") for path in (ROOT / "crates" / crate / "src").rglob("*.rs")]
        exported = {name for text in sources for name in re.findall(r'\.register\(\s*"(\w+)"', text)}
        self.assertIn("jwk_rotation_failures", exported)
        dashboard = json.loads((CHART / "files/dashboard.json").read_text())
        rule = by_name(accepted(render(*case("everything")), "rendered")[0])["PrometheusRule", "keywright"]
        queries = [one["expr"] for one in rule["spec"]["groups"][0]["rules"]]
        queries += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        named = {name for query in queries for name in re.findall(r"(\w+)\{", query)} - {"up"}
        self.assertGreater(len(named), 10)
        for name in named:
            self.assertIn(re.sub("_(total|bucket|sum|count)$", "", name), exported)

    def test_kustomize_installs_what_the_chart_does(self):
        expected, _ = accepted(render("--values", str(ROOT / "config/values.yaml"), namespace="keywright"), "keywright")
        test = ("OAuth2Client", "keywright-test"), ("Pod", "keywright-test")
        expected = {name: one for name, one in by_name(expected).items() if name not in test}
        built = run("KUBECTL", "kustomize", str(ROOT / "config/overlays/monitoring")).stdout
        found, warnings = accepted(built, "keywright")
        found = by_name(found)
        del found["Namespace", "keywright"]
        self.assertEqual(warnings, "")
        self.assertEqual(sorted(found), sorted(expected))
        for name, one in expected.items():
            if name[0] not in ("NetworkPolicy", "CustomResourceDefinition"):
                with self.subTest(name):
                    self.assertEqual({**found[name], "metadata": None}, {**one, "metadata": None})

    def test_every_overlay_is_taken_and_without_a_warning(self):
        for overlay in (*(ROOT / "config/overlays").iterdir(), ROOT / "config/samples", ROOT / "config/guardrails"):
            with self.subTest(overlay.name):
                _, warnings = accepted(run("KUBECTL", "kustomize", str(overlay)).stdout, "keywright")
                self.assertEqual(warnings, "")

    @unittest.skipUnless(LUA, "install Lua")
    def test_argo_cd_takes_a_resource_for_healthy_when_it_is_ready(self):
        text = (ROOT / "config/gitops/argocd/health.yaml").read_text()
        script = re.search(r"&health \|\n((?:    .*\n)+)", text)[1]

        def health(generation, observed, *conditions):
            resource = {"metadata": {"generation": generation}}
            if observed:
                listed = [dict(zip(("type", "status", "reason", "message"), one)) for one in conditions]
                resource["status"] = {"observedGeneration": observed, "conditions": listed}
            program = f"obj = {lua(resource)}\nlocal function health()\n{script}\nend\nprint(health().status)"
            return subprocess.run([LUA, "-"], input=program, capture_output=True, text=True, check=True).stdout.strip()

        ready = ("Ready", "True", "Synced", "")
        self.assertEqual(health(1, 0), "Progressing")
        self.assertEqual(health(1, 1, ready), "Healthy")
        self.assertEqual(health(2, 1, ready), "Progressing")
        self.assertEqual(health(1, 1, ("Ready", "False", "SecretNotFound", "")), "Progressing")
        self.assertEqual(health(1, 1, ("Ready", "False", "InvalidSpec", ""), ("Stalled", "True", "InvalidSpec", "")), "Degraded")
        self.assertEqual(health(1, 1, ("Ready", "False", "Suspended", "")), "Suspended")

    def test_an_upgrade_with_the_same_values_changes_nothing_and_an_uninstall_leaves_the_definitions(self):
        run("KUBECTL", "delete", "crd", "oauth2clients.keywright.dev", "jsonwebkeysets.keywright.dev")
        release = ["keywright", str(CHART), "-n", "released", *MINIMAL]

        def state():
            kinds = "deployments,jobs,services,configmaps,secrets,serviceaccounts,networkpolicies,roles,poddisruptionbudgets"
            items = json.loads(run("KUBECTL", "get", kinds, "-n", "released", "-o", "json").stdout)["items"]
            items = [one for one in items if one.get("type") != "helm.sh/release.v1"]
            return {name: one["metadata"]["resourceVersion"] for name, one in by_name(items).items()}

        run("HELM", "install", *release)
        self.addCleanup(run, "HELM", "uninstall", "keywright", "-n", "released", "--ignore-not-found")
        installed = state()
        self.assertGreater(len(installed), 10)
        run("KUBECTL", "wait", "--for=condition=Established", "crd/oauth2clients.keywright.dev", "--timeout=30s")
        run("KUBECTL", "apply", "-n", "released", "-f", str(ROOT / "config/samples/client-credentials.yaml"))
        run("HELM", "upgrade", *release)
        self.assertEqual(state(), installed)

        run("HELM", "upgrade", *release, "--set", "image.tag=other")
        changed = {name for name, version in state().items() if installed.get(name) != version}
        self.assertEqual({kind for kind, _ in changed}, {"Deployment", "Job"})
        run("HELM", "rollback", "keywright", "1", "-n", "released")
        self.assertEqual(state().keys(), installed.keys())

        run("HELM", "uninstall", "keywright", "-n", "released")
        self.assertEqual(state().keys() - {("ConfigMap", "kube-root-ca.crt")}, set())
        run("KUBECTL", "get", "-n", "released", "oauth2clients.keywright.dev/orders-service")


if __name__ == "__main__":
    unittest.main(verbosity=1)
