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

{{/* The image of the server: another repository, of the same tag, where it serves on GPUs. */}}
{{- define "model.serverImage" -}}
{{- $image := deepCopy .Values.image -}}
{{- if .Values.gpu.count -}}
{{- $_ := set $image "repository" .Values.gpu.image.repository }}{{ $_ := set $image "digest" .Values.gpu.image.digest -}}
{{- end -}}
{{- toYaml $image -}}
{{- end }}

{{- define "model.canaryImage" -}}
{{- $image := include "model.serverImage" . | fromYaml -}}
{{- $own := .Values.canary.image -}}
{{- if or $own.tag $own.digest -}}
{{- $_ := set $image "tag" $own.tag }}{{ $_ := set $image "digest" $own.digest -}}
{{- end -}}
{{- toYaml $image -}}
{{- end }}

{{/*
Pods of the stable version. Under an autoscaler the number is stated too: what Helm takes out of a Deployment, the API
server sets to 1. It is what runs now, within the autoscaler's own limits, so that no upgrade takes pods away.
*/}}
{{- define "model.replicas" -}}
{{- $scaler := ternary .Values.keda .Values.autoscaling .Values.keda.enabled -}}
{{- if not $scaler.enabled -}}
{{- .Values.replicaCount -}}
{{- else -}}
{{- $there := lookup "apps/v1" "Deployment" .Release.Namespace (include "model.fullname" .) -}}
{{- $running := dig "spec" "replicas" 1 $there | int -}}
{{- min (max $running (int $scaler.minReplicas)) (int $scaler.maxReplicas) -}}
{{- end -}}
{{- end }}

{{/* Pods of the canary: what a weight needs when one Service covers both versions. */}}
{{- define "model.canaryReplicas" -}}
{{- $canary := .Values.canary -}}
{{- if eq $canary.mode "replicas" -}}
{{- include "model.podsForWeight" (dict "weight" $canary.weight "stable" .Values.replicaCount) -}}
{{- else -}}
{{- $canary.replicaCount -}}
{{- end -}}
{{- end }}

{{/* Takes {weight, stable}: canary pods beside so many stable ones that come nearest to the weight, at least one. */}}
{{- define "model.podsForWeight" -}}
{{- $weight := .weight | float64 -}}
{{- max 1 (round (divf (mulf (.stable | float64) $weight) (subf 100 $weight)) 0 | int) -}}
{{- end }}

{{/* Percent of the requests that the canary gets: the weight, or what whole pods make of it. */}}
{{- define "model.canaryShare" -}}
{{- if eq .Values.canary.mode "replicas" -}}
{{- include "model.shareOfPods" (dict "weight" .Values.canary.weight "stable" .Values.replicaCount) -}}
{{- else -}}
{{- .Values.canary.weight -}}
{{- end -}}
{{- end }}

{{/* Takes {weight, stable}: percent of all pods that the canary's are. */}}
{{- define "model.shareOfPods" -}}
{{- $pods := include "model.podsForWeight" . | float64 -}}
{{- round (mulf 100 (divf $pods (addf $pods (.stable | float64)))) 1 -}}
{{- end }}

{{/* Takes {weight, stable}: how many points the share is away from the weight. */}}
{{- define "model.shareMissed" -}}
{{- $share := include "model.shareOfPods" . | float64 -}}
{{- $weight := .weight | float64 -}}
{{- maxf (subf $share $weight) (subf $weight $share) -}}
{{- end }}

{{/*
Takes {root, kind}: whether the cluster knows a kind, as group/version/Kind. Without a cluster (helm template, helm lint)
nobody knows, and all are rendered, unless --api-versions names kinds: apps/v1/Deployment among them, as a cluster does.
*/}}
{{- define "model.knows" -}}
{{- $apis := .root.Capabilities.APIVersions -}}
{{- if or (not ($apis.Has "apps/v1/Deployment")) ($apis.Has .kind) -}}true{{- end -}}
{{- end }}

{{/* Takes {root, enabled, value, kind, brings}: fails where a value asks for a kind that the cluster does not know. */}}
{{- define "model.checkKind" -}}
{{- if and .enabled (not (include "model.knows" .)) -}}
{{- fail (printf "%s is true, but this cluster does not know %s. Install %s, or set %s=false" .value .kind .brings .value) -}}
{{- end -}}
{{- end }}

{{/* What no schema can say: values that do not fit together, or not the cluster. */}}
{{- define "model.check" -}}
{{- include "model.checkKind" (dict "root" . "enabled" .Values.gateway.enabled "value" "gateway.enabled" "kind" "gateway.networking.k8s.io/v1/HTTPRoute" "brings" "the Gateway API") -}}
{{- include "model.checkKind" (dict "root" . "enabled" .Values.keda.enabled "value" "keda.enabled" "kind" "keda.sh/v1alpha1/ScaledObject" "brings" "KEDA") -}}
{{- include "model.checkKind" (dict "root" . "enabled" .Values.serviceMonitor.enabled "value" "serviceMonitor.enabled" "kind" "monitoring.coreos.com/v1/ServiceMonitor" "brings" "the Prometheus Operator") -}}
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
{{- include "model.checkShare" . -}}
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
{{- range $at, $scaler := dict "autoscaling" .Values.autoscaling "keda" .Values.keda -}}
{{- if and $scaler.enabled (gt (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- fail (printf "%s.minReplicas is %v, more than %s.maxReplicas, %v" $at $scaler.minReplicas $at $scaler.maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- if le (int .Values.termination.graceSeconds) (int .Values.termination.drainSeconds) -}}
{{- fail (printf "termination.graceSeconds is %v, but termination.drainSeconds, %v, are part of it: pods would be killed before they heard of it. Set 30 more, the server's own" .Values.termination.graceSeconds .Values.termination.drainSeconds) -}}
{{- end -}}
{{- include "model.checkClaim" . -}}
{{- include "model.checkEnvironment" . -}}
{{- end }}

{{/* A variable that stands twice is lost by a later `helm upgrade`; a token belongs into a Secret. */}}
{{- define "model.checkEnvironment" -}}
{{- $own := include "model.ownEnvironment" . -}}
{{- range $name, $value := .Values.server.env -}}
{{- if eq $name "MODELYARD_TOKEN" -}}
{{- fail "server.env.MODELYARD_TOKEN would show the token to everyone who may read the Deployment: put it into a Secret and name it in auth.existingSecret" -}}
{{- end -}}
{{- if contains (printf "- name: %s\n" $name) $own -}}
{{- fail (printf "server.env.%s is set by the chart already, by a value of its own: see the chart's README" $name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "model.checkSource" -}}
{{- $given := compact (list .package.uri .package.claimName .package.image.repository) -}}
{{- if ne (len $given) 1 -}}
{{- fail (printf "%s names %d sources; give exactly one of %s.uri, %s.claimName and %s.image.repository" .at (len $given) .at .at .at) -}}
{{- end -}}
{{- if and .package.image.repository (regexMatch "^/*(tmp|scripts|verified)(/|$)" .package.path) -}}
{{- fail (printf "%s.path is %s, where the chart mounts a folder of its own over the image's: put the package elsewhere, such as /package" .at .package.path) -}}
{{- end -}}
{{- end }}

{{/* Whole pods may be far from the weight: one canary pod beside two others gets 33 %, however small the weight. */}}
{{- define "model.checkShare" -}}
{{- $weight := .Values.canary.weight -}}
{{- $stable := int .Values.replicaCount -}}
{{- if and (eq .Values.canary.mode "replicas") (gt (include "model.shareMissed" (dict "weight" $weight "stable" $stable) | float64) 5.0) -}}
{{- $enough := 0 -}}
{{- range $more := untilStep (int $stable) 101 1 -}}
{{- if and (not $enough) (le (include "model.shareMissed" (dict "weight" $weight "stable" $more) | float64) 5.0) -}}
{{- $enough = $more -}}
{{- end -}}
{{- end -}}
{{- $share := include "model.canaryShare" . -}}
{{- fail (printf "canary.weight is %v, but the canary's share would be %s %%: %s pods beside replicaCount=%v. At most 5 points of difference are allowed. Set replicaCount=%v, canary.weight=%v, or canary.mode=gateway" $weight $share (include "model.canaryReplicas" .) $stable $enough (round $share 0)) -}}
{{- end -}}
{{- end }}

{{- define "model.checkClaim" -}}
{{- $log := .Values.predictions -}}
{{- $many := or .Values.autoscaling.enabled .Values.keda.enabled .Values.canary.enabled (gt (int .Values.replicaCount) 1) -}}
{{- if and $log.enabled (eq $log.kind "claim") $many (ne $log.claim.accessMode "ReadWriteMany") -}}
{{- fail (printf "predictions.claim.accessMode is %s, but more than one pod writes: set ReadWriteMany, or predictions.kind=uri" $log.claim.accessMode) -}}
{{- end -}}
{{- end }}
