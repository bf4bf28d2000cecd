{{/* Name in front of every object's; leaves room for suffixes. */}}
{{- define "platform.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{/* Labels that never change: selectors are made of them and of the component. */}}
{{- define "platform.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "platform.labels" -}}
{{ include "platform.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: modelyard
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The full name of the image, with the registry in front and pinned. */}}
{{- define "platform.image" -}}
{{- $image := .Values.image -}}
{{- with .Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* Where MLflow answers; empty where nobody says. */}}
{{- define "platform.mlflowUri" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "platform.fullname" . }}-mlflow.{{ .Release.Namespace }}.svc:{{ .Values.mlflow.port }}
{{- else -}}
{{- .Values.mlflow.externalUri -}}
{{- end -}}
{{- end }}

{{/* Where steps keep checkpoints that outlive their pods; empty where there is no store for them. */}}
{{- define "platform.checkpoints" -}}
{{- if .Values.pipelines.checkpoints -}}
{{- .Values.pipelines.checkpoints -}}
{{- else if .Values.mlflow.artifactsUri -}}
{{- printf "%s/checkpoints" (trimSuffix "/" .Values.mlflow.artifactsUri) -}}
{{- end -}}
{{- end }}

{{/*
Takes {root, kind}: whether the cluster knows a kind, as group/version/Kind. Without a cluster (helm template, helm lint)
nobody knows, and all are rendered, unless --api-versions names kinds: apps/v1/Deployment among them, as a cluster does.
*/}}
{{- define "platform.knows" -}}
{{- $apis := .root.Capabilities.APIVersions -}}
{{- if or (not ($apis.Has "apps/v1/Deployment")) ($apis.Has .kind) -}}true{{- end -}}
{{- end }}

{{/* Whether training runtimes can be created: Kubeflow Trainer brings their kind. */}}
{{- define "platform.trains" -}}
{{- include "platform.knows" (dict "root" . "kind" "trainer.kubeflow.org/v1alpha1/ClusterTrainingRuntime") -}}
{{- end }}

{{/* Whether runs are ended of which a step cannot start. */}}
{{- define "platform.limitsStarts" -}}
{{- if and .Values.startLimit.enabled .Values.register.enabled -}}true{{- end -}}
{{- end }}

{{/* What no schema can say: values that do not fit together, or not the cluster. */}}
{{- define "platform.check" -}}
{{- if and .Values.alerts.enabled (not (include "platform.knows" (dict "root" . "kind" "monitoring.coreos.com/v1/PrometheusRule"))) -}}
{{- fail "alerts.enabled is true, but this cluster does not know monitoring.coreos.com/v1/PrometheusRule. Install the Prometheus Operator, or set alerts.enabled=false" -}}
{{- end -}}
{{- if and .Values.reports.enabled (eq (len (compact (list .Values.reports.uri .Values.reports.claimName))) 0) -}}
{{- fail "reports.enabled needs reports.uri, such as s3://mlpipeline/v2/artifacts, or reports.claimName" -}}
{{- end -}}
{{- if and .Values.reports.uri .Values.reports.claimName -}}
{{- fail "reports.uri and reports.claimName are both set: give one" -}}
{{- end -}}
{{- if and .Values.register.schedules (not .Values.register.enabled) -}}
{{- fail "register.schedules is set, but register.enabled is false: nothing would schedule them" -}}
{{- end -}}
{{- if and .Values.access.deployTo (not .Values.access.create) -}}
{{- fail "access.deployTo is set, but access.create is false: no role would be made. Set access.create=true, or empty access.deployTo" -}}
{{- end -}}
{{- if and .Values.quota.enabled (not .Values.quota.hard) -}}
{{- fail "quota.enabled needs quota.hard, such as {requests.cpu: \"64\"}" -}}
{{- end -}}
{{- if and .Values.mlflow.enabled .Values.mlflow.externalUri -}}
{{- fail "mlflow.externalUri is set while mlflow.enabled is true: give one" -}}
{{- end -}}
{{- range $name, $runtime := .Values.trainingRuntimes -}}
{{- if and (hasKey $runtime "gpuCount") (not (hasKey $runtime "gpuResource")) -}}
{{- fail (printf "trainingRuntimes.%s has gpuCount without gpuResource, such as nvidia.com/gpu" $name) -}}
{{- end -}}
{{- end -}}
{{- end }}
