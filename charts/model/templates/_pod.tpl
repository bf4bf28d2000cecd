{{/* Hardening of every pod, to the restricted Pod Security Standard. */}}
{{- define "model.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
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

{{- define "model.containerSecurity" -}}
securityContext:
  runAsNonRoot: true
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/*
Takes {root, package, image}: the init container that copies and verifies the package. It mounts the copy where no image
keeps a package: a mount hides what the image has at its place.
*/}}
{{- define "model.fetch" -}}
{{- $package := .package -}}
{{- $image := ternary $package.image .image (ne $package.image.repository "") -}}
- name: package
  image: {{ include "model.image" (dict "root" .root "image" $image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, /scripts/fetch.py]
  args:
    - {{ if $package.uri }}{{ $package.uri | quote }}{{ else if $package.claimName }}{{ printf "/source/%s" (trimPrefix "/" $package.path) | quote }}{{ else }}{{ $package.path | quote }}{{ end }}
    - /verified/model
    {{- with $package.sha256 }}
    - {{ . | quote }}
    {{- end }}
  {{- with $package.credentialsSecret }}
  envFrom:
    - secretRef:
        name: {{ . }}
  {{- end }}
  env:
    - name: HOME
      value: /tmp
    - name: PYTHONDONTWRITEBYTECODE
      value: "1"
    {{- include "model.publicKeys" .root | nindent 4 }}
  resources:
    {{- toYaml $package.resources | nindent 4 }}
  {{- include "model.containerSecurity" .root | nindent 2 }}
  volumeMounts:
    - name: scripts
      mountPath: /scripts
      readOnly: true
    - name: package
      mountPath: /verified
    - name: tmp
      mountPath: /tmp
    {{- if $package.claimName }}
    - name: source
      mountPath: /source
      readOnly: true
    {{- end }}
{{- end }}

{{/* Where the init container and the server find the keys that a package must be signed by. */}}
{{- define "model.publicKeys" -}}
{{- if .Values.package.publicKeys -}}
- name: MODELYARD_PUBLIC_KEY_FILE
  value: /scripts/public-keys.pem
{{- end -}}
{{- end }}

{{/* Takes {root, package}: what `model.fetch` mounts. */}}
{{- define "model.fetchVolumes" -}}
- name: scripts
  configMap:
    name: {{ include "model.fullname" .root }}-scripts
- name: package
  emptyDir:
    sizeLimit: {{ .package.sizeLimit }}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- with .package.claimName }}
- name: source
  persistentVolumeClaim:
    claimName: {{ . }}
    readOnly: true
{{- end }}
{{- end }}

{{- define "model.token" -}}
{{- with .Values.auth.existingSecret }}
- name: MODELYARD_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.auth.key }}
{{- end }}
{{- end }}

{{- define "model.ownEnvironment" -}}
{{- $server := .Values.server -}}
- name: MODELYARD_PACKAGE
  value: /package/model
- name: MODELYARD_LOG
  value: {{ ternary "on" "off" .Values.predictions.enabled | quote }}
{{- if .Values.predictions.enabled }}
- name: MODELYARD_PREDICTIONS
  value: {{ ternary .Values.predictions.uri "/predictions" (eq .Values.predictions.kind "uri") | quote }}
- name: MODELYARD_SAMPLE
  value: {{ .Values.predictions.sample | quote }}
- name: MODELYARD_LOG_REQUESTS
  value: {{ ternary "on" "off" .Values.predictions.requests | quote }}
{{- end }}
- name: MODELYARD_QUEUE
  value: {{ int64 $server.queue | quote }}
- name: MODELYARD_DEADLINE_MS
  value: {{ int64 $server.deadlineMs | quote }}
- name: MODELYARD_LOG_FORMAT
  value: {{ $server.logFormat }}
- name: MODELYARD_HOME
  value: /tmp/modelyard
- name: MODELYARD_DEVICE
  value: {{ ternary "cuda" "cpu" (gt (int .Values.gpu.count) 0) }}
{{- if .Values.gpu.count }}
- name: MODELYARD_ENGINES
  value: /engines
{{- end }}
- name: MODELYARD_TOLERANCE
  value: {{ .Values.tests.tolerance | quote }}
- name: MODELYARD_WORKERS
  value: {{ $server.workers | quote }}
- name: MODELYARD_MAX_BODY_BYTES
  value: {{ int64 $server.maxBodyBytes | quote }}
- name: MODELYARD_MAX_EXAMPLES
  value: {{ int64 $server.maxExamples | quote }}
- name: HOME
  value: /tmp
- name: PYTHONDONTWRITEBYTECODE
  value: "1"
{{- with .Values.tracing.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with (include "model.token" . | trim) }}
{{ . }}
{{- end }}
{{- with (include "model.publicKeys" .) }}
{{ . }}
{{- end }}
{{- with .Values.package.families }}
- name: MODELYARD_FAMILIES
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}

{{- define "model.environment" -}}
{{ include "model.ownEnvironment" . }}
{{- range $name, $value := .Values.server.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Takes one of `probes`. */}}
{{- define "model.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end }}

{{- define "model.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.count -}}
{{- $_ := set $resources.limits .Values.gpu.resource (.Values.gpu.count | toString) -}}
{{- $_ := set $resources.requests .Values.gpu.resource (.Values.gpu.count | toString) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}
