#!/usr/bin/env python3
"""Makes the kustomize bases in config/ from the chart, so that both install the same.

HELM names the program.
Usage: kustomize.py [--check]     with --check nothing is written, and what is not current is named.
"""

import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
CONFIG = HERE.parent / "config"
NOTE = "# Made from the chart by charts/kustomize.py; change it there.\n"

# The chart's template → the file below config/.
FILES = {
    "operator_account.yaml": "rbac/service_account.yaml",
    "operator_role.yaml": "rbac/operator_role.yaml",
    "operator_role_binding.yaml": "rbac/operator_role_binding.yaml",
    "election_role.yaml": "rbac/election_role.yaml",
    "election_role_binding.yaml": "rbac/election_role_binding.yaml",
    "user_roles.yaml": "rbac/user_roles.yaml",
    "configmap.yaml": "server/configuration.yaml",
    "server_account.yaml": "server/service_account.yaml",
    "server_deployment.yaml": "server/deployment.yaml",
    "server_services.yaml": "server/services.yaml",
    "operator_deployment.yaml": "operator/deployment.yaml",
    "operator_service.yaml": "operator/service.yaml",
    "network_policy.yaml": "{component}/network_policy.yaml",
    "pod_disruption_budgets.yaml": "{component}/pod_disruption_budget.yaml",
    "service_monitors.yaml": "monitoring/service_monitors.yaml",
    "prometheus_rule.yaml": "monitoring/prometheus_rule.yaml",
    "dashboard.yaml": "monitoring/dashboard.yaml",
}


def rendered():
    """(template, document) of each object, but for the definitions, which config/crd has, and the test."""
    command = [os.environ.get("HELM", "helm"), "template", "keywright", HERE / "keywright"]
    command += ["--namespace", "keywright", "--values", CONFIG / "values.yaml"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for document in re.split(r"^---\n", text, flags=re.MULTILINE):
        source = re.match(r"# Source: keywright/templates/(.*)\n", document)
        if source and source[1] not in ("crds.yaml", "tests/token.yaml"):
            yield source[1], document[source.end() :].strip("\n") + "\n"


def plain(document):
    """Without what says that Helm manages it."""
    document = re.sub(r"^ +(helm.sh/chart|app.kubernetes.io/managed-by): .*\n", "", document, flags=re.MULTILINE)
    return re.sub(r" +checksum/\w+: .*\n", "", re.sub(r" +annotations:\n +checksum/\w+: .*\n", "", document))


def main():
    wanted = {}
    for template, document in rendered():
        component = re.search(r"app.kubernetes.io/component: (\w+)", document)[1]
        path = CONFIG / FILES[template].format(component=component)
        before = wanted[path] + "---\n" if path in wanted else NOTE
        wanted[path] = before + plain(document)
    stale = [path for path, content in wanted.items() if not path.exists() or path.read_text() != content]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is not what the chart renders; run charts/kustomize.py", file=sys.stderr)
        sys.exit(bool(stale))
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path])


main()
