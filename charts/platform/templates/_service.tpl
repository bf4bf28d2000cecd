{{/* Takes {root, component, port}. */}}
{{- define "platform.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "platform.metadata" . | nindent 2 }}
spec:
  ports:
    - name: http
      port: {{ .port }}
      targetPort: http
      protocol: TCP
  selector:
    {{- include "platform.selector" . | nindent 4 }}
{{- end }}
