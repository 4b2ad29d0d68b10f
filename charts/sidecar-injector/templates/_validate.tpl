{{/*
Combinations of values that make no sense together; single values are the schema's business. Each
message names the values and says what would be accepted.
*/}}
{{- define "sidecar-injector.validate" -}}
{{- include "sidecar-injector.validateOnlyRelease" . }}
{{- include "sidecar-injector.validateDurations" . }}
{{- include "sidecar-injector.validateAvailability" . }}
{{- include "sidecar-injector.validateCertificates" . }}
{{- include "sidecar-injector.validatePorts" . }}
{{- include "sidecar-injector.validateService" . }}
{{- include "sidecar-injector.validateSelectors" . }}
{{- include "sidecar-injector.validateMonitors" . }}
{{- include "sidecar-injector.validateIdentity" . }}
{{- include "sidecar-injector.validateImage" . }}
{{- end }}

{{- define "sidecar-injector.validateAvailability" -}}
{{- $replicas := int64 .Values.replicas }}
{{- if and (eq .Values.webhook.failurePolicy "Fail") (lt $replicas 2) }}
{{- fail (printf "replicas: %d with webhook.failurePolicy: Fail would refuse every pod of the enabled namespaces whenever the only replica restarts; set replicas to 2 or more, or webhook.failurePolicy to Ignore." $replicas) }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- if and .enabled .minAvailable .maxUnavailable }}
{{- fail (printf "podDisruptionBudget: minAvailable: %v and maxUnavailable: %v exclude each other; leave one of them empty." .minAvailable .maxUnavailable) }}
{{- end }}
{{- if and .enabled .minAvailable (gt $replicas 1) }}
{{- /* Kubernetes rounds a percentage up. */}}
{{- $least := kindIs "string" .minAvailable | ternary (div (add 99 (mul $replicas (toString .minAvailable | trimSuffix "%"))) 100) .minAvailable | int64 }}
{{- if ge $least $replicas }}
{{- fail (printf "podDisruptionBudget.minAvailable: %v with replicas: %d would block every node drain; set it below replicas." .minAvailable $replicas) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Both operators would answer for the same pods and write the status of the same injections. Only Helm's
own installation has a cluster to look at, and needs the right to list webhook configurations.
*/}}
{{- define "sidecar-injector.validateOnlyRelease" -}}
{{- if .Release.IsInstall }}
{{- $ours := list (printf "release %s in namespace %s" .Release.Name .Release.Namespace) (printf "MutatingWebhookConfiguration %s" (include "sidecar-injector.fullname" .)) }}
{{- range (lookup "admissionregistration.k8s.io/v1" "MutatingWebhookConfiguration" "" "").items }}
{{- $owner := printf "MutatingWebhookConfiguration %s" .metadata.name }}
{{- $annotations := .metadata.annotations | default dict }}
{{- with get $annotations "meta.helm.sh/release-name" }}
{{- $owner = printf "release %s in namespace %s" . (get $annotations "meta.helm.sh/release-namespace") }}
{{- end }}
{{- range .webhooks }}
{{- if and (eq .name "pods.sidecar-injector.dev") (not (has $owner $ours)) }}
{{- fail (printf "%s injects into the pods of this cluster already, and a cluster can have only one; upgrade that release, or uninstall it first." $owner) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The schema checks numbers itself, and only the form of a duration.
*/}}
{{- define "sidecar-injector.validateDurations" -}}
{{- $ranges := dict "leafSeconds" (list 60 315360000) "caSeconds" (list 60 315360000) "caRollWaitSeconds" (list 1 3600) "drainSeconds" (list 0 600) "auditSeconds" (list 1 86400) }}
{{- range $key, $range := $ranges }}
{{- include "sidecar-injector.validateDuration" (list (printf "settings.%s" $key) (get $.Values.settings $key) $range) }}
{{- end }}
{{- include "sidecar-injector.validateDuration" (list "webhook.timeoutSeconds" .Values.webhook.timeoutSeconds (list 1 29)) }}
{{- end }}

{{- define "sidecar-injector.validateDuration" -}}
{{- $value := index . 1 }}
{{- $range := last . }}
{{- $seconds := include "sidecar-injector.seconds" $value | int64 }}
{{- if or (lt $seconds (first $range | int64)) (gt $seconds (last $range | int64)) }}
{{- fail (printf "%s: %v is %d seconds; it must be from %d to %d seconds." (first .) $value $seconds (first $range) (last $range)) }}
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
{{- with .Values.settings }}
{{- if gt (include "sidecar-injector.seconds" .leafSeconds | int64) (include "sidecar-injector.seconds" .caSeconds | int64) }}
{{- fail (printf "settings.leafSeconds: %s is more than settings.caSeconds: %s; a certificate cannot outlive its CA." (include "sidecar-injector.text" .leafSeconds) (include "sidecar-injector.text" .caSeconds)) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
On the node's network a port belongs to whoever was there first. The list is that of Kubernetes, with
the ports for health and metrics of the same processes.
https://kubernetes.io/docs/reference/networking/ports-and-protocols/
*/}}
{{- define "sidecar-injector.nodePorts" -}}
{"2379": "etcd", "2380": "etcd", "2381": "etcd", "6443": "the API server", "10248": "the kubelet",
"10249": "kube-proxy", "10250": "the kubelet", "10255": "the kubelet", "10256": "kube-proxy",
"10257": "the controller manager", "10258": "the cloud controller manager", "10259": "the scheduler"}
{{- end }}

{{- define "sidecar-injector.validatePorts" -}}
{{- $webhook := int64 .Values.webhook.securePort }}
{{- $admin := include "sidecar-injector.adminPort" . | int64 }}
{{- if eq $webhook $admin }}
{{- fail (printf "webhook.securePort and settings.adminPort are both %d; a port can have only one listener." $webhook) }}
{{- end }}
{{- if .Values.hostNetwork }}
{{- $owners := include "sidecar-injector.nodePorts" . | fromJson }}
{{- range $key, $port := dict "webhook.securePort" $webhook "settings.adminPort" $admin }}
{{- with get $owners (toString $port) }}
{{- fail (printf "%s: %d with hostNetwork: true is a port of %s on every node or on some, so the operator could not listen there; set %s to another port, or hostNetwork to false." $key $port . $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sidecar-injector.validateSelectors" -}}
{{- if hasKey ((.Values.webhook.namespaceSelector).matchLabels | default dict) "sidecar-injection" }}
{{- fail "webhook.namespaceSelector.matchLabels: sidecar-injection is set by the chart, and always to enabled; leave it out." }}
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

{{- define "sidecar-injector.validateImage" -}}
{{- with .Values.image }}
{{- if and .registry (include "sidecar-injector.registryOf" .repository) }}
{{- fail (printf "image.registry: %s has no effect with image.repository: %s, which names a registry itself; leave one of them out." .registry .repository) }}
{{- end }}
{{- end }}
{{- end }}
