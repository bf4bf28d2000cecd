{{/* Takes {root, track, package, image, replicas}: the Deployment of one version, `stable` or `canary`. */}}
{{- define "model.deployment" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "model.fullname" $root }}{{ if eq .track "canary" }}-canary{{ end }}
  labels:
    {{- include "model.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .track }}
spec:
  replicas: {{ .replicas }}
  revisionHistoryLimit: {{ $values.revisionHistoryLimit }}
  progressDeadlineSeconds: {{ $values.rollout.progressDeadlineSeconds }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: {{ $values.rollout.maxSurge }}
      maxUnavailable: {{ $values.rollout.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "model.selectorLabels" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .track }}
  template:
    metadata:
      labels:
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "model.selectorLabels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .track }}
        app.kubernetes.io/part-of: modelyard
      annotations:
        checksum/scripts: {{ $root.Files.Get "files/fetch.py" | printf "%s%s" $values.package.publicKeys | sha256sum | trunc 16 | quote }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "model.podSpec" . | nindent 6 }}
{{- end }}

{{- define "model.podSpec" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "model.serviceAccountName" $root }}
{{ include "model.podSecurity" $root }}
{{- include "model.pullSecrets" $root }}
terminationGracePeriodSeconds: {{ $values.termination.graceSeconds }}
{{- with $values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.gpu.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.scheduling.spreadOver }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $values.scheduling.spreadWhenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "model.selectorLabels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $.track }}
  {{- end }}
{{- end }}
initContainers:
  {{- include "model.fetch" . | nindent 2 }}
containers:
  - name: server
    image: {{ include "model.image" (dict "root" $root "image" .image) }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    command: [modelyard, serve, /package/model]
    args: [--host, 0.0.0.0, --port, "3000", --workers, {{ $values.server.workers | quote }}]
    ports:
      - name: http
        containerPort: 3000
    env:
      {{- include "model.environment" $root | nindent 6 }}
    {{- $secrets := concat $values.server.envFromSecrets (compact (list $values.predictions.credentialsSecret)) }}
    {{- with $secrets }}
    envFrom:
      {{- range . }}
      - secretRef:
          name: {{ . }}
      {{- end }}
    {{- end }}
    startupProbe:
      {{- include "model.probe" $values.probes.startup | nindent 6 }}
    readinessProbe:
      {{- include "model.probe" $values.probes.readiness | nindent 6 }}
    livenessProbe:
      {{- include "model.probe" $values.probes.liveness | nindent 6 }}
    {{- with $values.termination.drainSeconds }}
    lifecycle:
      preStop:
        exec:
          command: [python, -c, "import time; time.sleep({{ . }})"]
    {{- end }}
    resources:
      {{- include "model.resources" $root | nindent 6 }}
    {{- include "model.containerSecurity" $root | nindent 4 }}
    volumeMounts:
      - name: package
        mountPath: /package
        readOnly: true
      - name: tmp
        mountPath: /tmp
      {{- if $values.package.publicKeys }}
      - name: scripts
        mountPath: /scripts
        readOnly: true
      {{- end }}
      {{- if and $values.predictions.enabled (ne $values.predictions.kind "uri") }}
      - name: predictions
        mountPath: /predictions
      {{- end }}
      {{- if $values.gpu.count }}
      - name: engines
        mountPath: /engines
      {{- end }}
      {{- if $values.gpu.shmSize }}
      - name: shm
        mountPath: /dev/shm
      {{- end }}
volumes:
  {{- include "model.fetchVolumes" . | nindent 2 }}
  {{- include "model.predictionsVolume" $root | nindent 2 }}
  {{- include "model.enginesVolume" $root | nindent 2 }}
  {{- with $values.gpu.shmSize }}
  - name: shm
    emptyDir:
      medium: Memory
      sizeLimit: {{ . }}
  {{- end }}
{{- end }}

{{- define "model.enginesVolume" -}}
{{- $engines := .Values.gpu.engines -}}
{{- if .Values.gpu.count -}}
- name: engines
  {{- if $engines.claimName }}
  persistentVolumeClaim:
    claimName: {{ $engines.claimName }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ $engines.sizeLimit }}
  {{- end }}
{{- end -}}
{{- end }}

{{- define "model.predictionsVolume" -}}
{{- $log := .Values.predictions -}}
{{- if and $log.enabled (eq $log.kind "emptyDir") -}}
- name: predictions
  emptyDir:
    sizeLimit: {{ $log.sizeLimit }}
{{- else if and $log.enabled (eq $log.kind "claim") -}}
- name: predictions
  persistentVolumeClaim:
    claimName: {{ $log.claim.existing | default (printf "%s-predictions" (include "model.fullname" .)) }}
{{- end -}}
{{- end }}
