{{/*
Of `helm test`: a component of its own, so that neither Service nor PodDisruptionBudget counts its pod
among the operator's. Takes the root, the weight (lower is made first) and when the object goes again.
*/}}
{{- define "sidecar-injector.testMetadata" -}}
{{- $own := dict "app.kubernetes.io/component" "test" -}}
labels:
  {{- merge $own (include "sidecar-injector.labels" (first .) | fromYaml) | toYaml | nindent 2 }}
annotations:
  helm.sh/hook: test
  helm.sh/hook-weight: {{ index . 1 | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,{{ last . }}
{{- end }}

{{- define "sidecar-injector.testName" -}}
{{ include "sidecar-injector.fullname" . }}-test
{{- end }}

{{- define "sidecar-injector.testSubjects" -}}
- kind: ServiceAccount
  name: {{ include "sidecar-injector.testName" . }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}
