{{/* Parts of pods. */}}

{{/* Variables of a process: dict "root" $ "more" (list of further variables). One given later replaces one of its name. */}}
{{- define "keywright.env" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $fullname := include "keywright.fullname" $root -}}
{{- $existing := include "keywright.existingSecret" $root -}}
{{- $inline := include "keywright.inlineSecrets" $root | fromJson -}}
{{- $given := include "keywright.environment" $root | fromJson -}}
{{- $variables := list -}}
{{- $database := $v.database -}}
{{- if $database.dsnSecret.name -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "DSN" $database.dsnSecret.name $database.dsnSecret.key) | fromYaml) -}}
{{- else if $database.host -}}
{{- $query := printf "?sslmode=%s" $database.sslmode -}}
{{- range $name, $value := $database.parameters }}{{ $query = printf "%s&%s=%s" $query $name (urlquery $value) }}{{ end -}}
{{- $dsn := printf "postgres://%s@%s:%v/%s%s" (urlquery $database.user) $database.host $database.port $database.name $query -}}
{{- $variables = append $variables (dict "name" "DSN" "value" $dsn) -}}
{{- with $database.passwordSecret.name -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "PGPASSWORD" . $database.passwordSecret.key) | fromYaml) -}}
{{- end -}}
{{- else if $existing -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "DSN" $existing $v.secrets.keys.dsn) | fromYaml) -}}
{{- else if hasKey $inline "dsn" -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "DSN" $fullname "dsn") | fromYaml) -}}
{{- else if not (or (hasKey $given "DSN") (hasKey $given "DSN_FILE")) -}}
{{- fail "the database is missing: set database.dsnSecret.name, or database.host, or name a Secret with the DSN in secrets.existingSecret" -}}
{{- end -}}
{{- with $database.replicaDsnSecret -}}
{{- if .name -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "DB_REPLICA_DSN" .name .key) | fromYaml) -}}
{{- else if hasKey $inline "replicaDsn" -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "DB_REPLICA_DSN" $fullname "replicaDsn") | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $inline "listenDsn" -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "DB_LISTEN_DSN" $fullname "listenDsn") | fromYaml) -}}
{{- end -}}
{{- if not (or (hasKey $given "SECRETS_SYSTEM") (hasKey $given "SECRETS_SYSTEM_FILE")) -}}
{{- if $existing -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "SECRETS_SYSTEM" $existing $v.secrets.keys.system) | fromYaml) -}}
{{- else if hasKey $inline "secretsSystem" -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "SECRETS_SYSTEM" $fullname "secretsSystem") | fromYaml) -}}
{{- else -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "SECRETS_SYSTEM" (printf "%s-secrets" $fullname) $v.secrets.keys.system) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- if and $existing $v.secrets.keys.pairwiseSalt -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "OIDC_SUBJECT_IDENTIFIERS_PAIRWISE_SALT" $existing $v.secrets.keys.pairwiseSalt) | fromYaml) -}}
{{- else if hasKey $inline "pairwiseSalt" -}}
{{- $variables = append $variables (include "keywright.fromSecret" (list "OIDC_SUBJECT_IDENTIFIERS_PAIRWISE_SALT" $fullname "pairwiseSalt") | fromYaml) -}}
{{- end -}}
{{- $last := dict -}}
{{- $all := concat $variables (tpl (toYaml $v.deployment.extraEnv) $root | fromYamlArray) .more -}}
{{- range $all }}{{ $_ := set $last .name . }}{{ end -}}
{{- $names := list -}}
{{- range $all }}{{ if not (has .name $names) }}{{ $names = append $names .name }}{{ end }}{{ end -}}
{{- range $names }}
- {{ get $last . | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}

{{/* A variable from a Secret: list NAME SECRET ENTRY. */}}
{{- define "keywright.fromSecret" -}}
name: {{ index . 0 }}
valueFrom:
  secretKeyRef:
    name: {{ index . 1 }}
    key: {{ index . 2 }}
{{- end }}

{{/* A process: dict "root" $ "name" … "args" (list) "more" (variables) "mounts" (list) "security" (map). */}}
{{- define "keywright.container" -}}
name: {{ .name }}
image: {{ include "keywright.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args:
{{- range .args }}
- {{ . | quote }}
{{- end }}
env:
{{- include "keywright.env" . }}
securityContext:
  {{- toYaml .security | nindent 2 }}
volumeMounts:
- name: config
  mountPath: /etc/keywright
  readOnly: true
{{- with .mounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "keywright.migrationContainer" -}}
{{- $v := .Values -}}
{{- $more := concat $v.deployment.automigration.extraEnv $v.job.extraEnv -}}
{{- $more = tpl (toYaml $more) . | fromYamlArray -}}
{{- $security := $v.deployment.initContainerSecurityContext | default $v.deployment.securityContext -}}
{{- $mounts := $v.job.extraVolumeMounts | default $v.deployment.extraVolumeMounts -}}
{{- if ne (include "keywright.migrations" .) "job" }}{{ $mounts = $v.deployment.extraVolumeMounts }}{{ end -}}
{{- $args := list "migrate" "sql" "up" "-c" "/etc/keywright/config.yaml" -}}
{{ include "keywright.container" (dict "root" . "name" "migrate" "args" $args "more" $more "mounts" $mounts "security" $security) }}
resources:
  {{- toYaml ($v.hydra.automigration.resources | default $v.job.resources) | nindent 2 }}
{{- end }}

{{/* Volumes: dict "root" $ "extra" (list). */}}
{{- define "keywright.volumes" -}}
- name: config
  configMap:
    name: {{ include "keywright.fullname" .root }}
{{- with .extra }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{/* Labels and annotations of pods: dict "root" $ "component" … "own" (podMetadata). */}}
{{- define "keywright.podMetadata" -}}
{{- $global := .root.Values.global.podMetadata -}}
{{- $annotations := merge (deepCopy (.own.annotations | default dict)) ($global.annotations | default dict) -}}
{{- if .checksums -}}
{{- if .root.Values.configmap.hashSumEnabled }}{{ $_ := set $annotations "checksum/config" (include "keywright.config" .root | sha256sum) }}{{ end -}}
{{- if .root.Values.secret.hashSumEnabled -}}
{{- with include "keywright.inlineSecrets" .root | fromJson }}{{ $_ := set $annotations "checksum/secret" (toJson . | sha256sum) }}{{ end -}}
{{- end -}}
{{- end -}}
labels:
  {{- $labels := include "keywright.labels" . | fromYaml }}
  {{- $labels = merge $labels (deepCopy (.own.labels | default dict)) ($global.labels | default dict) }}
  {{- toYaml (omit $labels "helm.sh/chart" "app.kubernetes.io/version" "app.kubernetes.io/managed-by") | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How pods are spread: dict "root" $ "component" … "constraints" (list). */}}
{{- define "keywright.spread" -}}
{{- if .constraints }}
{{- tpl (toYaml .constraints) .root }}
{{- else }}
{{- range $topology := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $topology }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "keywright.selector" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{/* A list of containers, given as a list or as a text with templates: list $ VALUE. */}}
{{- define "keywright.containers" -}}
{{- $value := index . 1 -}}
{{- with kindIs "string" $value | ternary $value (empty $value | ternary "" (toYaml $value)) }}{{ tpl . (index $ 0) }}{{ end -}}
{{- end }}
