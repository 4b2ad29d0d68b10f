{{/*
Parts of the operator's pod.
*/}}

{{/*
Every variable is a field of the operator's Settings; a test compares both lists. fieldRef is atomic,
so without the default apiVersion a second server-side applier of the same manifest would conflict.
*/}}
{{- define "sidecar-injector.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.name
- name: SIDECAR_INJECTOR_POD_NAME
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.name
- name: SIDECAR_INJECTOR_NAMESPACE
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.namespace
- name: SIDECAR_INJECTOR_FULLNAME
  value: {{ include "sidecar-injector.fullname" . | quote }}
- name: SIDECAR_INJECTOR_SECRET_NAME
  value: {{ include "sidecar-injector.secretName" . | quote }}
- name: SIDECAR_INJECTOR_CERTIFICATE_MODE
  value: {{ .Values.certificates.mode | quote }}
- name: SIDECAR_INJECTOR_QUOTAS
  value: {{ eq (include "sidecar-injector.quotas" .) "true" | ternary "Checked" "Ignored" }}
- name: SIDECAR_INJECTOR_POLICIES
  value: {{ eq (include "sidecar-injector.policies" .) "true" | ternary "Managed" "Unmanaged" }}
- name: SIDECAR_INJECTOR_WEBHOOK_PORT
  value: {{ include "sidecar-injector.text" .Values.webhook.securePort | quote }}
- name: SIDECAR_INJECTOR_ADMIN_PORT
  value: {{ include "sidecar-injector.adminPort" . | quote }}
- name: SIDECAR_INJECTOR_SCRATCH_FOLDER
  value: /tmp
{{- range $key, $value := omit .Values.settings "adminPort" }}
{{- $form := hasSuffix "Seconds" $key | ternary "seconds" "text" }}
{{- /* The API server does not keep an empty value, and whoever applies it server-side meets a conflict. */}}
{{- with include (printf "sidecar-injector.%s" $form) $value }}
- name: SIDECAR_INJECTOR_{{ snakecase $key | upper }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.probe" -}}
httpGet:
  path: {{ first . }}
  port: admin
{{- with last . }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
A spread constraint without a selector of its own counts the operator's pods.
*/}}
{{- define "sidecar-injector.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $constraint := deepCopy . }}
  {{- if not (hasKey $constraint "labelSelector") }}
  {{- $labels := include "sidecar-injector.selectorLabels" $ | fromYaml }}
  {{- $_ := set $constraint "labelSelector" (dict "matchLabels" $labels) }}
  {{- end }}
  - {{ toYaml $constraint | indent 4 | trim }}
  {{- end }}
{{- end }}
{{- end }}
