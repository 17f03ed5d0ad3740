{{/* What the operator may do in the namespaces that it looks after, and no more. */}}
{{- define "keywright.namespaceRules" -}}
# The spec is never written: patch is for finalizers.
- apiGroups: [keywright.dev]
  resources: [oauth2clients, jsonwebkeysets]
  verbs: [get, list, watch, patch]
- apiGroups: [keywright.dev]
  resources: [oauth2clients/status, jsonwebkeysets/status]
  verbs: [patch]
{{- if .Values.operator.compatMaester.enabled }}
- apiGroups: [hydra.ory.sh]
  resources: [oauth2clients]
  verbs: [get, list, watch, patch]
- apiGroups: [hydra.ory.sh]
  resources: [oauth2clients/status]
  verbs: [patch]
{{- end }}
# Server-side apply needs both create and patch. Deleting is left to the garbage collector.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
{{- if .Values.rbac.watchSecrets }}
# To notice at once that a generated Secret was edited or deleted, the operator watches the metadata of those
# that carry its label. RBAC cannot tell Secrets by label, nor metadata from data: leave this rule out where that
# is too much, and tampering is noticed at the next resync.
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
