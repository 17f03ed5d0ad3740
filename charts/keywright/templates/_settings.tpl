{{/* What the values mean. Each of these gives YAML or JSON: {{ include … | fromYaml }}. */}}

{{/* "true" or "". */}}
{{- define "keywright.operatorEnabled" -}}
{{- $enabled := true -}}
{{- if kindIs "bool" .Values.operator.enabled -}}
{{- $enabled = .Values.operator.enabled -}}
{{- else if kindIs "bool" .Values.maester.enabled -}}
{{- $enabled = .Values.maester.enabled -}}
{{- end -}}
{{- if $enabled }}true{{ end -}}
{{- end }}

{{- define "keywright.migrations" -}}
{{- if .Values.hydra.automigration.enabled }}{{ .Values.hydra.automigration.type }}{{ else }}{{ .Values.migrations.mode }}{{ end -}}
{{- end }}

{{/* The Secret that is there already, or "". */}}
{{- define "keywright.existingSecret" -}}
{{- if .Values.secrets.existingSecret -}}
{{ .Values.secrets.existingSecret }}
{{- else if not .Values.secret.enabled -}}
{{ required "secret.enabled is false: name the Secret in secrets.existingSecret (or secret.nameOverride)" .Values.secret.nameOverride }}
{{- end -}}
{{- end }}

{{/* config and hydra.config together, with all that is secret. */}}
{{- define "keywright.given" -}}
{{- $hydra := tpl (toYaml .Values.hydra.config) . | fromYaml -}}
{{- mergeOverwrite $hydra (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* The configuration file: what is given but for secrets, over the lifetimes' preset and the chart's own defaults. */}}
{{- define "keywright.config" -}}
{{- $lifetimes := dict
  "hydra" dict
  "standard" (dict "access_token" "15m" "refresh_token" "168h")
  "strict" (dict "access_token" "10m" "refresh_token" "24h") -}}
{{- $quiet := dict "disable_for_health" true -}}
{{- $base := dict
  "serve" (dict
    "public" (dict "port" 4444 "request_log" (deepCopy $quiet))
    "admin" (dict "port" 4445 "request_log" (deepCopy $quiet))
    "operator" (dict "port" 4447 "request_log" (deepCopy $quiet)))
  "oauth2" (dict "grant" (dict "refresh_token" (dict "rotation_grace_period" "10s")))
  "keys" (dict "autocreate" (not (include "keywright.operatorEnabled" .))) -}}
{{- with get $lifetimes .Values.lifetimes.preset }}{{ $_ := set $base "ttl" . }}{{ end -}}
{{- $config := mergeOverwrite $base (include "keywright.given" . | fromYaml) -}}
{{- $config = omit $config "dsn" "secrets" -}}
{{- with $config.db }}{{ $_ := unset . "listen_dsn" }}{{ $_ := unset . "replica_dsn" }}{{ end -}}
{{- with dig "oidc" "subject_identifiers" "pairwise" dict $config }}{{ $_ := unset . "salt" }}{{ end -}}
{{- if and (not (dig "urls" "self" "issuer" "" $config)) (not .Values.hydra.dev) (not $config.dev) -}}
{{- if not (include "keywright.environment" . | fromJson | dig "URLS_SELF_ISSUER" "") -}}
{{- fail "config.urls.self.issuer is required: the https URL at which applications find the server, to the letter" -}}
{{- end -}}
{{- end -}}
{{- $config | toYaml }}
{{- end }}

{{/* Of the configuration, what belongs into a Secret: entry → value. */}}
{{- define "keywright.inlineSecrets" -}}
{{- $given := include "keywright.given" . | fromYaml -}}
{{- $entries := dict -}}
{{- with $given.dsn }}{{ $_ := set $entries "dsn" . }}{{ end -}}
{{- with dig "db" "listen_dsn" "" $given }}{{ $_ := set $entries "listenDsn" . }}{{ end -}}
{{- with dig "db" "replica_dsn" "" $given }}{{ $_ := set $entries "replicaDsn" . }}{{ end -}}
{{- with dig "secrets" "system" "" $given }}{{ $_ := set $entries "secretsSystem" (kindIs "string" . | ternary . (toJson .)) }}{{ end -}}
{{- with dig "oidc" "subject_identifiers" "pairwise" "salt" "" $given }}{{ $_ := set $entries "pairwiseSalt" . }}{{ end -}}
{{- if include "keywright.existingSecret" . }}{{ $entries = omit $entries "dsn" "secretsSystem" }}{{ end -}}
{{- if or .Values.database.dsnSecret.name .Values.database.host }}{{ $entries = omit $entries "dsn" }}{{ end -}}
{{- if .Values.database.replicaDsnSecret.name }}{{ $entries = omit $entries "replicaDsn" }}{{ end -}}
{{- toJson $entries }}
{{- end }}

{{/* "true" where a Job has to make the Secret. */}}
{{- define "keywright.generates" -}}
{{- if and (not (include "keywright.existingSecret" .)) (not (hasKey (include "keywright.inlineSecrets" . | fromJson) "secretsSystem")) -}}
{{- if .Values.secrets.generate }}true{{ else -}}
{{- fail "the system secret is missing: name a Secret in secrets.existingSecret, or set secrets.generate" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* deployment.extraEnv by name: name → variable. */}}
{{- define "keywright.environment" -}}
{{- $variables := dict -}}
{{- range tpl (toYaml .Values.deployment.extraEnv) . | fromYamlArray }}{{ $_ := set $variables .name . }}{{ end -}}
{{- toJson $variables }}
{{- end }}

{{/* Where the public API speaks TLS itself: HTTPS, else HTTP. */}}
{{- define "keywright.scheme" -}}
{{- $serve := (include "keywright.config" . | fromYaml).serve -}}
{{- if or (dig "public" "tls" "enabled" false $serve) (dig "tls" "enabled" false $serve) }}HTTPS{{ else }}HTTP{{ end -}}
{{- end }}

{{/* Those keys of Ory's chart that are set and have no effect. */}}
{{- define "keywright.ignored" -}}
{{- $v := .Values -}}
{{- $ignored := list -}}
{{- range $key := list "janitor" "cronjob" "watcher" "hydra-maester" }}{{ if get $v $key }}{{ $ignored = append $ignored $key }}{{ end }}{{ end -}}
{{- range $key := list "command" "customArgs" "customMigrations" }}{{ if get $v.hydra $key }}{{ $ignored = append $ignored (print "hydra." $key) }}{{ end }}{{ end -}}
{{- range $key := list "customCommand" "customArgs" }}{{ if get $v.hydra.automigration $key }}{{ $ignored = append $ignored (print "hydra.automigration." $key) }}{{ end }}{{ end -}}
{{- range $key := list "extraContainers" "extraInitContainers" "lifecycle" "shareProcessNamespace" }}{{ if get $v.job $key }}{{ $ignored = append $ignored (print "job." $key) }}{{ end }}{{ end -}}
{{- if $v.deployment.environmentSecretsName }}{{ $ignored = append $ignored "deployment.environmentSecretsName" }}{{ end -}}
{{- if hasSuffix "oryd/hydra" $v.image.repository }}{{ $ignored = append $ignored "image.repository (it is Hydra)" }}{{ end -}}
{{- if $v.image.imagePullPolicy }}{{ $ignored = append $ignored "image.imagePullPolicy (it is image.pullPolicy)" }}{{ end -}}
{{- if $v.test.busybox }}{{ $ignored = append $ignored "test.busybox" }}{{ end -}}
{{- toJson $ignored }}
{{- end }}
