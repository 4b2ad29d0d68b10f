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
{{- else }}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- $full | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/*
The name stays whatever nameOverride says: the webhook leaves pods of this name alone, so that the
operator can always start, and the operator itself judges by the same literal.
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

{{/*
The annotations in the metadata of an object, if there are any: those of its own values, and all others
of commonAnnotations. Takes the root and the former.
*/}}
{{- define "sidecar-injector.annotations" -}}
{{- $common := (first .).Values.commonAnnotations | default dict }}
{{- with merge (deepCopy (last . | default dict)) (deepCopy $common) }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "sidecar-injector.fullname" .) }}
{{- end }}

{{- define "sidecar-injector.secretName" -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "sidecar-injector.fullname" .)) }}
{{- end }}

{{/*
A repository names a registry if its first part could be a host, as container engines judge it.
https://github.com/distribution/reference/blob/main/normalize.go
*/}}
{{- define "sidecar-injector.registryOf" -}}
{{- regexFind "^([^/]*[.:][^/]*|localhost)/" . }}
{{- end }}

{{- define "sidecar-injector.image" -}}
{{- $registry := (.Values.global).imageRegistry | default .Values.image.registry }}
{{- if and $registry (not (include "sidecar-injector.registryOf" .Values.image.repository)) }}
{{- printf "%s/" (trimSuffix "/" $registry) }}
{{- end }}
{{- with .Values.image }}
{{- .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat ((.Values.global).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with uniq $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Seconds of a number or of a duration such as 1h30m, whose form the schema has checked. The operator
reads both too; rendered is the number, so that no pod is replaced because of the way it is written.
*/}}
{{- define "sidecar-injector.seconds" -}}
{{- if or (not (kindIs "string" .)) (regexMatch "^[0-9]+$" .) }}
{{- int64 . }}
{{- else }}
{{- $seconds := 0 }}
{{- $units := dict "h" 3600 "m" 60 "s" 1 }}
{{- range regexFindAll "[0-9]+[hms]" . -1 }}
{{- $unit := . | trunc -1 }}
{{- $seconds = add $seconds (mul (trimSuffix $unit . | int64) (get $units $unit)) }}
{{- end }}
{{- $seconds }}
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
Values of an older chart, which `helm upgrade --reuse-values` brings, have no such port.
*/}}
{{- define "sidecar-injector.adminPort" -}}
{{- int64 (.Values.settings.adminPort | default 8080) }}
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

{{/*
The namespaces in which pods are injected.
*/}}
{{- define "sidecar-injector.namespaceSelector" -}}
matchLabels:
  sidecar-injection: enabled
  {{- with (.Values.webhook.namespaceSelector).matchLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: [kube-system, kube-public, kube-node-lease, {{ .Release.Namespace | quote }}]
  {{- with (.Values.webhook.namespaceSelector).matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/*
Whether LimitRanges and ResourceQuotas are read: true, unless the value says no. The values of an
older chart do not have it, with `helm upgrade --reuse-values`.
*/}}
{{- define "sidecar-injector.quotas" -}}
{{- ne (toString (.Values.quotas).enabled) "false" }}
{{- end }}

{{/*
Whether the operator keeps admission policies: the value says so, and the API server serves them. Without
a cluster (`helm template`) no kind is known, not even Pod, and then the release of Kubernetes decides. The
values of an older chart do not have it, with `helm upgrade --reuse-values`.
*/}}
{{- define "sidecar-injector.policies" -}}
{{- $kinds := .Capabilities.APIVersions }}
{{- $served := $kinds.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}
{{- if not ($kinds.Has "v1/Pod") }}
{{- $served = semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version }}
{{- end }}
{{- and $served (eq (toString (.Values.policies).managed) "true") }}
{{- end }}

{{/*
CEL for the pod template of an object, which is object or oldObject. Takes the root and that name.
*/}}
{{- define "sidecar-injector.podTemplate" -}}
{{- $object := last . -}}
(request.resource.group == 'batch' && request.resource.resource == 'cronjobs' ? {{ $object }}.spec.jobTemplate
{{- range ((first .).Values.webhook.workloads).extra -}}
{{- if .template }} : request.resource.group in {{ .apiGroups | toJson }} && request.resource.resource in {{ .resources | toJson }} ? {{ $object }}.{{ .template }}{{ end }}
{{- end }} : {{ $object }}.spec.template)
{{- end }}

{{- define "sidecar-injector.webhookAnnotations" -}}
{{- $annotations := deepCopy (.Values.webhook.annotations | default dict) }}
{{- if eq .Values.certificates.mode "certManager" }}
{{- $certificate := printf "%s/%s" .Release.Namespace (include "sidecar-injector.fullname" .) }}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" $certificate }}
{{- end }}
{{- include "sidecar-injector.annotations" (list . $annotations) }}
{{- end }}
