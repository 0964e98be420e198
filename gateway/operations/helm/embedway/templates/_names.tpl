{{- define "embedway.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "embedway.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "embedway.labels" -}}
{{ include "embedway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "embedway.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "embedway.name" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "embedway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* What the gateway reads: the values' configuration, and what the chart decides. */ -}}
{{- define "embedway.config" -}}
{{- $server := dict "host" "0.0.0.0" "port" 8080 -}}
{{- $_ := set $server "drain_delay" (printf "%ds" (int .Values.drain.delaySeconds)) -}}
{{- $_ := set $server "grace" (printf "%ds" (int .Values.drain.graceSeconds)) -}}
{{- if .Values.keys.existingSecret -}}
{{- $_ := set $server "keys" (printf "/run/secrets/embedway/keys/%s" .Values.keys.key) -}}
{{- else if not (dig "server" "oidc" "" .Values.config) -}}
{{- fail "keys.existingSecret is needed (or config.server.oidc): without keys the gateway listens on loopback only" -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) (dict "server" $server)) -}}
{{- end -}}
