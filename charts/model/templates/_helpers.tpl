{{/* Name of every object; leaves room for suffixes. */}}
{{- define "model.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{/* Labels that never change: selectors are made of them. */}}
{{- define "model.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "model.labels" -}}
{{ include "model.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: modelyard
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Takes {root, image}: the full name of an image, with the registry in front and pinned. */}}
{{- define "model.image" -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion -}}
{{- with .root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ $tag }}{{ end -}}
{{- end }}

{{- define "model.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "model.serviceAccountName" -}}
{{- $made := ternary (include "model.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $made -}}
{{- end }}

{{/* The canary's package: what it leaves empty is the stable one's, but its source and sum are its own. */}}
{{- define "model.canaryPackage" -}}
{{- $package := deepCopy .Values.package -}}
{{- $own := .Values.canary.package -}}
{{- range list "uri" "claimName" "image" "sha256" }}{{ $_ := set $package . (index $own .) }}{{ end -}}
{{- with $own.path }}{{ $_ := set $package "path" . }}{{ end -}}
{{- toYaml $package -}}
{{- end }}

{{- define "model.canaryImage" -}}
{{- $image := deepCopy .Values.image -}}
{{- $own := .Values.canary.image -}}
{{- if or $own.tag $own.digest -}}
{{- $_ := set $image "tag" $own.tag }}{{ $_ := set $image "digest" $own.digest -}}
{{- end -}}
{{- toYaml $image -}}
{{- end }}

{{/* Pods of the canary: all that a weight needs when one Service covers both versions. */}}
{{- define "model.canaryReplicas" -}}
{{- $canary := .Values.canary -}}
{{- if eq $canary.mode "replicas" -}}
{{- $weight := $canary.weight | float64 -}}
{{- max 1 (round (divf (mulf (.Values.replicaCount | float64) $weight) (subf 100 $weight)) 0 | int) -}}
{{- else -}}
{{- $canary.replicaCount -}}
{{- end -}}
{{- end }}

{{/* What no schema can say: values that do not fit together. */}}
{{- define "model.check" -}}
{{- include "model.checkSource" (dict "at" "package" "package" .Values.package) -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling.enabled and keda.enabled are both true: two controllers would fight over the pods. Switch one off" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpuUtilization) (not .Values.autoscaling.queueDepth) -}}
{{- fail "autoscaling.enabled looks at nothing: set autoscaling.cpuUtilization or autoscaling.queueDepth above 0" -}}
{{- end -}}
{{- if .Values.canary.enabled -}}
{{- include "model.checkSource" (dict "at" "canary.package" "package" .Values.canary.package) -}}
{{- if and (eq .Values.canary.mode "gateway") (not .Values.gateway.enabled) -}}
{{- fail "canary.mode is gateway, but gateway.enabled is false: nothing would divide the requests. Set gateway.enabled=true, or canary.mode=replicas" -}}
{{- end -}}
{{- if and (eq .Values.canary.mode "replicas") (or .Values.autoscaling.enabled .Values.keda.enabled) -}}
{{- fail "canary.mode is replicas together with autoscaling or keda: the share would change with the number of pods. Set canary.mode=gateway" -}}
{{- end -}}
{{- if and (eq .Values.canary.mode "replicas") (gt (int .Values.canary.weight) 90) -}}
{{- fail (printf "canary.weight is %v in mode replicas; at most 90: promote the canary instead" .Values.canary.weight) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.keda.enabled (not .Values.keda.prometheusAddress) -}}
{{- fail "keda.enabled needs keda.prometheusAddress, such as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if and .Values.keda.enabled (eq (int .Values.keda.minReplicas) 0) (not .Values.keda.query) -}}
{{- fail "keda.minReplicas is 0 without keda.query: with no pod nothing counts requests and none would ever start. Give a query over the gateway's or the queue's own figures" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parents) -}}
{{- fail "gateway.enabled needs gateway.parents, such as [{name: public, namespace: gateways}]" -}}
{{- end -}}
{{- if and (eq .Values.predictions.kind "uri") .Values.predictions.enabled (not .Values.predictions.uri) -}}
{{- fail "predictions.kind is uri, but predictions.uri is empty. Give one such as s3://logs/payments" -}}
{{- end -}}
{{- include "model.checkClaim" . -}}
{{- end }}

{{- define "model.checkSource" -}}
{{- $given := compact (list .package.uri .package.claimName .package.image.repository) -}}
{{- if ne (len $given) 1 -}}
{{- fail (printf "%s names %d sources; give exactly one of %s.uri, %s.claimName and %s.image.repository" .at (len $given) .at .at .at) -}}
{{- end -}}
{{- end }}

{{- define "model.checkClaim" -}}
{{- $log := .Values.predictions -}}
{{- $many := or .Values.autoscaling.enabled .Values.keda.enabled .Values.canary.enabled (gt (int .Values.replicaCount) 1) -}}
{{- if and $log.enabled (eq $log.kind "claim") $many (ne $log.claim.accessMode "ReadWriteMany") -}}
{{- fail (printf "predictions.claim.accessMode is %s, but more than one pod writes: set ReadWriteMany, or predictions.kind=uri" $log.claim.accessMode) -}}
{{- end -}}
{{- end }}
