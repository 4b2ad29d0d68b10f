{{/*
What ServiceMonitor and PodMonitor say alike about scraping the admin port.
*/}}
{{- define "sidecar-injector.endpoint" -}}
port: admin
path: /metrics
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- if .honorLabels }}
honorLabels: true
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The metadata of an object for the Prometheus operator, which finds it by extra labels. Takes the
root and the values of that object.
*/}}
{{- define "sidecar-injector.monitorMetadata" -}}
{{- $root := first . }}
{{- with last . }}
  name: {{ include "sidecar-injector.fullname" $root }}
  namespace: {{ .namespace | default $root.Release.Namespace | quote }}
  labels:
    {{- $own := include "sidecar-injector.labels" $root | fromYaml }}
    {{- merge $own (deepCopy (.labels | default dict)) | toYaml | nindent 4 }}
{{- include "sidecar-injector.annotations" (list $root .annotations) }}
{{- end }}
{{- end }}
