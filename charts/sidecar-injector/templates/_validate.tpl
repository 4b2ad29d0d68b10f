{{/*
Combinations of values that make no sense together; single values are the schema's business. Each
message names the values and says what would be accepted.
*/}}
{{- define "sidecar-injector.validate" -}}
{{- include "sidecar-injector.validateAvailability" . }}
{{- include "sidecar-injector.validateCertificates" . }}
{{- include "sidecar-injector.validateService" . }}
{{- include "sidecar-injector.validateMonitors" . }}
{{- include "sidecar-injector.validateIdentity" . }}
{{- end }}

{{- define "sidecar-injector.validateAvailability" -}}
{{- $replicas := int64 .Values.replicas }}
{{- if and (eq .Values.webhook.failurePolicy "Fail") (lt $replicas 2) }}
{{- fail (printf "replicas: %d with webhook.failurePolicy: Fail would refuse every pod of the enabled namespaces whenever the only replica restarts; set replicas to 2 or more, or webhook.failurePolicy to Ignore." $replicas) }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- if .enabled }}
{{- if lt $replicas 2 }}
{{- fail (printf "podDisruptionBudget.enabled: true with replicas: %d would either block node drains or protect nothing; set replicas to 2 or more, or podDisruptionBudget.enabled to false." $replicas) }}
{{- end }}
{{- if eq (empty .minAvailable) (empty .maxUnavailable) }}
{{- fail "podDisruptionBudget: set exactly one of minAvailable and maxUnavailable (to unset a default: --set podDisruptionBudget.maxUnavailable=null)." }}
{{- end }}
{{- if and .minAvailable (not (kindIs "string" .minAvailable)) (ge (int64 .minAvailable) $replicas) }}
{{- fail (printf "podDisruptionBudget.minAvailable: %d with replicas: %d would block every node drain; set it below replicas." (int64 .minAvailable) $replicas) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.validateCertificates" -}}
{{- $mode := .Values.certificates.mode }}
{{- if and (eq $mode "provided") (not .Values.certificates.secretName) }}
{{- fail "certificates.mode: provided needs certificates.secretName: the name of a kubernetes.io/tls Secret with tls.crt, tls.key and ca.crt in the release's namespace." }}
{{- end }}
{{- if and (eq $mode "certManager") (not .Values.certificates.issuerRef.name) }}
{{- fail "certificates.mode: certManager needs certificates.issuerRef.name: an Issuer (or ClusterIssuer, with certificates.issuerRef.kind) of cert-manager that signs with a CA." }}
{{- end }}
{{- if and (ne $mode "certManager") .Values.certificates.issuerRef.name }}
{{- fail (printf "certificates.issuerRef.name: %s has no effect with certificates.mode: %s; set certificates.mode to certManager, or leave issuerRef.name empty." .Values.certificates.issuerRef.name $mode) }}
{{- end }}
{{- $leaf := int64 .Values.settings.leafSeconds }}
{{- $ca := int64 .Values.settings.caSeconds }}
{{- if and $leaf $ca (gt $leaf $ca) }}
{{- fail (printf "settings.leafSeconds: %d is more than settings.caSeconds: %d; a certificate cannot outlive its CA." $leaf $ca) }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.validateService" -}}
{{- with .Values.service }}
{{- if and (eq .type "ExternalName") (not .externalName) }}
{{- fail "service.type: ExternalName needs service.externalName: the DNS name under which the API server reaches the operator." }}
{{- end }}
{{- if and (ne .type "ExternalName") .externalName }}
{{- fail (printf "service.externalName: %s has no effect with service.type: %s; set service.type to ExternalName, or leave externalName empty." .externalName .type) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.validateMonitors" -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled together would count every figure twice; enable one of them." }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.validateIdentity" -}}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create: false needs serviceAccount.name: an existing ServiceAccount of the release's namespace, which gets the operator's rights." }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if or (hasPrefix "SIDECAR_INJECTOR_" .name) (eq "POD_NAME" .name) }}
{{- fail (printf "extraEnv: %s is set by the chart; the operator's own settings are the values under settings." .name) }}
{{- end }}
{{- end }}
{{- end }}
