{{- define "keywright.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "keywright.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* Labels by which a component's pods are selected: dict "root" $ "component" "server". They never change. */}}
{{- define "keywright.selector" -}}
app.kubernetes.io/name: {{ include "keywright.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "keywright.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "keywright.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: keywright
{{- end }}

{{- define "keywright.serverAccount" -}}
{{- $account := .Values.deployment.serviceAccount -}}
{{ $account.name | default (ternary (include "keywright.fullname" .) "default" $account.create) }}
{{- end }}

{{- define "keywright.operatorAccount" -}}
{{- $account := .Values.operator.serviceAccount -}}
{{ $account.name | default (ternary (printf "%s-operator" (include "keywright.fullname" .)) "default" $account.create) }}
{{- end }}

{{- define "keywright.image" -}}
{{- $image := .Values.image -}}
{{- $foreign := hasSuffix "oryd/hydra" $image.repository -}}
{{- $registry := .Values.global.imageRegistry | default (ternary "" $image.registry $foreign) -}}
{{- $repository := ternary "keywright" $image.repository $foreign -}}
{{- $tag := ternary "" $image.tag $foreign | default .Chart.AppVersion -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}
