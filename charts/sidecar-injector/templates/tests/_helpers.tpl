{{/*
Of `helm test`: a component of its own, so that neither Service nor PodDisruptionBudget counts its pod
among the operator's. Takes the root, the weight (lower is made first) and when the object goes again.
*/}}
{{- define "sidecar-injector.testMetadata" -}}
{{- $own := dict "app.kubernetes.io/component" "test" }}
  labels:
    {{- merge $own (include "sidecar-injector.labels" (first .) | fromYaml) | toYaml | nindent 4 }}
{{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-weight" (index . 1) }}
{{- $_ := set $hook "helm.sh/hook-delete-policy" (printf "before-hook-creation,%s" (last .)) }}
{{- include "sidecar-injector.annotations" (list (first .) $hook) }}
{{- end }}

{{- define "sidecar-injector.testName" -}}
{{ include "sidecar-injector.fullname" . }}-test
{{- end }}

{{- define "sidecar-injector.testSubjects" -}}
- kind: ServiceAccount
  name: {{ include "sidecar-injector.testName" . }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}
