{{/*
Names and labels that more than one template uses. What the operator and the API server must agree
on (webhook names and paths, label keys) is pinned to the operator's own list by a test.
*/}}

{{/*
The name of Service, Deployment, ServiceAccount and both webhook configurations. The longest name
made from it (-metrics) must be a DNS label, hence 55.
*/}}
{{- define "sidecar-injector.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/*
There is no nameOverride: the webhook leaves pods of this name alone, so that the operator can
always start, and the operator itself judges by the same literal.
*/}}
{{- define "sidecar-injector.selectorLabels" -}}
app.kubernetes.io/name: sidecar-injector
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "sidecar-injector.labels" -}}
{{- $own := include "sidecar-injector.selectorLabels" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/part-of" "sidecar-injector" }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- merge $own (deepCopy (.Values.commonLabels | default dict)) | toYaml }}
{{- end }}

{{- define "sidecar-injector.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "sidecar-injector.fullname" .) }}
{{- end }}

{{- define "sidecar-injector.secretName" -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "sidecar-injector.fullname" .)) }}
{{- end }}

{{- define "sidecar-injector.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
A value as the text of an environment variable. Helm reads numbers as floats, whose own text would
be 3.1536e+07.
*/}}
{{- define "sidecar-injector.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end }}
{{- end }}

{{/*
What a webhook configuration says about how to reach us. Never a caBundle: the operator writes it
(or cert-manager), and Helm, which applies server-side, would fight over the field.
*/}}
{{- define "sidecar-injector.clientConfig" -}}
service:
  name: {{ include "sidecar-injector.fullname" .root }}
  namespace: {{ .root.Release.Namespace | quote }}
  path: {{ .path }}
  port: {{ int64 .root.Values.service.port }}
{{- end }}

{{- define "sidecar-injector.webhookAnnotations" -}}
{{- $annotations := deepCopy (.Values.webhook.annotations | default dict) }}
{{- if eq .Values.certificates.mode "certManager" }}
{{- $certificate := printf "%s/%s" .Release.Namespace (include "sidecar-injector.fullname" .) }}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" $certificate }}
{{- end }}
{{- with $annotations }}
{{- toYaml . }}
{{- end }}
{{- end }}
