{{/* Takes {root, name, track}: a Service over one version, or over both when track is empty. */}}
{{- define "model.service" -}}
{{- $root := .root -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels:
    {{- include "model.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .track | default "stable" }}
  {{- with $root.Values.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $root.Values.service.type }}
  ports:
    - name: http
      port: {{ $root.Values.service.port }}
      targetPort: http
      protocol: TCP
  selector:
    {{- include "model.selectorLabels" $root | nindent 4 }}
    {{- with .track }}
    app.kubernetes.io/component: {{ . }}
    {{- end }}
{{- end }}
