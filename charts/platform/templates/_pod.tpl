{{/* Takes the root: hardening and placing of every pod, to the restricted Pod Security Standard. */}}
{{- define "platform.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{ include "platform.podSecurity" . }}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "platform.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  {{- with .Values.security.runAsUser }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  {{- with .Values.security.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "platform.containerSecurity" -}}
securityContext:
  runAsNonRoot: true
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* Takes names of Secrets, empty ones left out. */}}
{{- define "platform.envFrom" -}}
{{- with compact . -}}
envFrom:
  {{- range . }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- end -}}
{{- end }}

{{/* What a process needs under a read-only root, and silence towards the outside. */}}
{{- define "platform.environment" -}}
- name: HOME
  value: /tmp
- name: PYTHONDONTWRITEBYTECODE
  value: "1"
- name: DO_NOT_TRACK
  value: "1"
- name: MLFLOW_DISABLE_TELEMETRY
  value: "true"
{{- end }}

{{/* Takes {root, component}: name and labels. */}}
{{- define "platform.metadata" -}}
name: {{ include "platform.fullname" .root }}-{{ .component }}
labels:
  {{- include "platform.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "platform.selector" -}}
{{ include "platform.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}
