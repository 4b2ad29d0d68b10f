{{/*
One alert: a dict of root, alert, expr, for, severity, summary and description. The runbook's anchor
is the alert's name in lower case, as Markdown headings have it.
*/}}
{{- define "sidecar-injector.alert" -}}
- alert: {{ .alert }}
  expr: {{ .expr | quote }}
  for: {{ .for }}
  labels:
    severity: {{ .severity }}
  annotations:
    summary: {{ .summary | quote }}
    description: {{ .description | quote }}
    {{- with .root.Values.prometheusRule.runbookUrl }}
    {{- /* Alertmanager and what it notifies make a link of runbook_url: a path would be a dead one. */}}
    {{ regexMatch "^https?://" . | ternary "runbook_url" "runbook" }}: {{ printf "%s#%s" . (lower $.alert) | quote }}
    {{- end }}
{{- end }}

{{/*
Whether a counter of the API server grew in the last five minutes. increase() does not see the first
count of a counter, with which its series begins; `up` says that nobody has just begun to scrape it.
*/}}
{{- define "sidecar-injector.grew" -}}
sum(increase({{ . }}[5m])) > 0 or sum(({{ . }} unless {{ . }} offset 5m) and on (job, instance) up offset 5m) > 0
{{- end }}

{{/*
Two sources: the API server's own figures see what the operator cannot (that it is not reached at
all), and the operator's say why.
*/}}
{{- define "sidecar-injector.alerts" -}}
{{- $ours := printf "namespace=%q" .Release.Namespace }}
{{- $pods := `name=~"(opted-out[.])?pods[.]sidecar-injector[.]dev"` -}}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorDown"
    "expr" (printf "absent(sidecar_injector_build_info{%s})" $ours)
    "for" "5m" "severity" "critical"
    "summary" "No replica of sidecar-injector is being scraped."
    "description" "Pods of enabled namespaces probably start without their sidecars.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorFailingOpen"
    "expr" (include "sidecar-injector.grew" (printf "apiserver_admission_webhook_fail_open_count{%s}" $pods))
    "for" "0m" "severity" "critical"
    "summary" "The API server created pods without asking sidecar-injector."
    "description" "It got no answer in time. Restart the pods that miss their sidecars once this is over.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorRefusingPods"
    "expr" (include "sidecar-injector.grew" (printf "apiserver_admission_webhook_rejection_count{%s,error_type!=\"no_error\"}" $pods))
    "for" "0m" "severity" "critical"
    "summary" "The API server refused pods because sidecar-injector did not answer."
    "description" "The webhook's failurePolicy is Fail and calls to it fail.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorPodsRefused"
    "expr" (printf "sum(increase(sidecar_injector_admission_requests_total{%s,result=\"Refused\"}[15m])) > 0" $ours)
    "for" "5m" "severity" "warning"
    "summary" "Pods are refused because a required injection cannot be added."
    "description" "An injection with failurePolicy: Fail selects them. The operator's log and its Events have the reason.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorUnknownNames"
    "expr" (printf "sum by (reason) (increase(sidecar_injector_decisions_total{%s,reason=~\"InvalidAnnotation|UnknownInjection\"}[1h])) > 0" $ours)
    "for" "0m" "severity" "info"
    "summary" "Pods ask for an injection in words that mean nothing."
    "description" "Their annotation names an injection that does not exist, or cannot be read. They start without it.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorErrors"
    "expr" (printf "sum(rate(sidecar_injector_admission_requests_total{%s,result=\"error\"}[5m])) / sum(rate(sidecar_injector_admission_requests_total{%s}[5m])) > 0.01" $ours $ours)
    "for" "5m" "severity" "warning"
    "summary" "More than 1 % of the admissions end in an error of sidecar-injector."
    "description" "Those pods start without their sidecars; the operator's log has the tracebacks.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorSlow"
    "expr" (printf "histogram_quantile(0.99, sum by (le) (rate(sidecar_injector_admission_duration_seconds_bucket{%s}[5m]))) > 0.5" $ours)
    "for" "10m" "severity" "warning"
    "summary" "One admission in a hundred takes more than half a second."
    "description" "The operator lacks CPU, or something blocks its event loop.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorCertificateExpiring"
    "expr" (printf "min(sidecar_injector_certificate_expiration_timestamp_seconds{%s,certificate=\"leaf\"} - ignoring(certificate) clamp_max(sidecar_injector_certificate_lifetime_seconds{%s} / 5, %d)) - time() < 0" $ours $ours (div (include "sidecar-injector.seconds" .Values.settings.leafSeconds) 5))
    "for" "5m" "severity" "critical"
    "summary" "The serving certificate was not renewed in time."
    "description" "It is renewed when a third of its life is left, and now less than a fifth is.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorBundleOutOfSync"
    "expr" (printf "min by (configuration) (sidecar_injector_ca_bundle_in_sync{%s}) == 0" $ours)
    "for" "5m" "severity" "critical"
    "summary" "A webhook configuration does not trust the replicas."
    "description" "Something keeps rewriting its CA bundle, and an Event on it names the other manager; in mode certManager cainjector does not write it.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorPolicyStale"
    "expr" (printf "min(sidecar_injector_policy_in_sync{%s}) == 0" $ours)
    "for" "5m" "severity" "warning"
    "summary" "The admission policy is not what the injections ask for."
    "description" "The condition Compiled and an Event say why it cannot be written. New pods get what the old policy adds.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorCacheNotSynced"
    "expr" (printf "min by (resource) (sidecar_injector_cache_synced{%s}) == 0" $ours)
    "for" "5m" "severity" "warning"
    "summary" "A replica has not been able to list what it decides by."
    "description" "It stays unready, or does not foresee quotas (limitranges, resourcequotas); its log names the resource and the API server's answer.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorCertificateProblem"
    "expr" (printf "max by (problem) (sidecar_injector_certificate_problem{%s}) == 1" $ours)
    "for" "5m" "severity" "warning"
    "summary" "A replica has trouble with its certificate."
    "description" "It goes on with the last good one; an Event on the Secret tells what is wrong with the other.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorLoopBroken"
    "expr" (printf "sum by (loop) (increase(sidecar_injector_loop_failures_total{%s}[15m])) > 3" $ours)
    "for" "5m" "severity" "warning"
    "summary" "A part of a replica breaks again and again."
    "description" "The label says which; its work (certificates, caches, status or audit) is late. The log has the tracebacks.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorAuditStale"
    "expr" (printf "time() - max(sidecar_injector_audit_last_success_timestamp_seconds{%s}) > %d" $ours (max 600 (mul 5 (include "sidecar-injector.seconds" .Values.settings.auditSeconds))))
    "for" "5m" "severity" "warning"
    "summary" "Nobody has counted the pods for a while."
    "description" "The counts in the status of injections are old. Admission is not affected.") }}
{{ include "sidecar-injector.alert" (dict "root" . "alert" "SidecarInjectorPodsMissing"
    "expr" (printf "sum(sidecar_injector_audit_pods{%s,state=\"missing\"}) > 0" $ours)
    "for" "1h" "severity" "info"
    "summary" "Running pods lack a sidecar that they should have."
    "description" "They were created before the injection, or while no replica answered. They need a restart.") }}
{{- end }}
