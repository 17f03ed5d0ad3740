{{/* A Job that is no hook: dict "root" $ "name" … "account" … "token" bool "container" (YAML) "volumes" (YAML). A Job cannot be
     changed, so its name has a digest of what it does. */}}
{{- define "keywright.job" -}}
{{- $root := .root -}}
{{- $job := $root.Values.job -}}
{{- $annotations := dict -}}
{{- range $name, $value := $job.annotations }}{{ if not (hasPrefix "helm.sh/hook" $name) }}{{ $_ := set $annotations $name $value }}{{ end }}{{ end -}}
{{- $labels := include "keywright.labels" (dict "root" $root "component" .name) -}}
{{- $spec := include "keywright.jobSpec" . -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ printf "%s-%s-%s" (include "keywright.fullname" $root) .name (print $spec .seed | sha256sum | trunc 8) }}
  labels:
    {{- $labels | nindent 4 }}
    {{- with $job.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- $spec | nindent 2 }}
{{- end }}

{{- define "keywright.jobSpec" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
backoffLimit: {{ $v.job.spec.backoffLimit }}
template:
  metadata:
    {{- include "keywright.podMetadata" (dict "root" $root "component" .name "own" $v.job.podMetadata) | nindent 4 }}
  spec:
    restartPolicy: OnFailure
    serviceAccountName: {{ .account }}
    automountServiceAccountToken: {{ .token }}
    {{- with $v.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- toYaml $v.deployment.podSecurityContext | nindent 6 }}
    containers:
    - {{ .container | nindent 6 | trim }}
    {{- with .volumes }}
    volumes:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with $v.job.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.job.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
