{{/* Takes {root, runtime}: the pod of a training node. The launcher's patches merge into it by the names used here. */}}
{{- define "platform.runtimePod" -}}
{{- $root := .root -}}
{{- $runtime := .runtime -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{ include "platform.podSecurity" $root }}
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $runtime.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $runtime.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $runtime.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $runtime.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: node
    image: {{ include "platform.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    env:
      {{- include "platform.environment" $root | nindent 6 }}
      {{- with (include "platform.mlflowUri" $root) }}
      - name: MLFLOW_TRACKING_URI
        value: {{ . }}
      {{- end }}
    {{- with (include "platform.envFrom" (list $root.Values.credentials.objectStoreSecret $root.Values.credentials.dataSecret)) }}
    {{- . | nindent 4 }}
    {{- end }}
    resources:
      {{- range $kind := list "requests" "limits" }}
      {{ $kind }}:
        cpu: {{ $runtime.cpu | quote }}
        memory: {{ $runtime.memory }}
        {{- with $runtime.gpuResource }}
        {{ . }}: {{ $runtime.gpuCount | default 1 | quote }}
        {{- end }}
      {{- end }}
    {{- include "platform.containerSecurity" $root | nindent 4 }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      - name: shm
        mountPath: /dev/shm
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ $runtime.scratch | default "20Gi" }}
  - name: shm
    emptyDir:
      medium: Memory
      sizeLimit: {{ $runtime.shm | default "1Gi" }}
{{- end }}
