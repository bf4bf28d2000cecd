{{/* Takes {ports}: names are resolved, and these TCP ports are reached anywhere. */}}
{{- define "platform.egress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- with .ports }}
- ports:
    {{- range . | toStrings | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end }}

{{/* Takes {root, component, ingress, ports}: one component's rules. */}}
{{- define "platform.policy" -}}
{{- $policy := .root.Values.networkPolicy -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "platform.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "platform.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- if .ingress }}
  ingress:
    - ports:
        - {port: http, protocol: TCP}
      from:
        - podSelector: {}
        {{- range $policy.namespaces }}
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: {{ . }}}
        {{- end }}
  {{- end }}
  egress:
    {{- include "platform.egress" (dict "ports" (concat $policy.egressPorts (.ports | default list))) | nindent 4 }}
{{- end }}

{{/* The port of Kubeflow Pipelines' API. */}}
{{- define "platform.registerPort" -}}
{{- $url := urlParse .Values.register.host -}}
{{- $port := last (splitList ":" $url.host) -}}
{{- if contains ":" $url.host }}{{ $port }}{{ else }}{{ ternary 443 80 (eq $url.scheme "https") }}{{ end -}}
{{- end }}
