{{/*
Takes {root, name, hook, arguments, tries, seconds}: a Job that talks to Kubeflow Pipelines. Its pod has the labels of
`register` whatever its name, for that component's rights and network policy.
*/}}
{{- define "platform.registerJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "platform.metadata" (dict "root" .root "component" .name) | nindent 2 }}
  annotations:
    helm.sh/hook: {{ .hook }}
    helm.sh/hook-weight: "5"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: {{ .tries }}
  activeDeadlineSeconds: {{ .seconds }}
  # 2: a person has to act, so that further tries end the same way
  podFailurePolicy:
    rules:
      - action: FailJob
        onExitCodes:
          containerName: register
          operator: In
          values: [2]
  template:
    metadata:
      labels:
        {{- include "platform.selector" (dict "root" .root "component" "register") | nindent 8 }}
    spec:
      restartPolicy: Never
      {{- if .root.Values.access.create }}
      serviceAccountName: {{ include "platform.fullname" .root }}-register
      {{- end }}
      {{- include "platform.pod" .root | nindent 6 }}
      containers:
        - name: register
          image: {{ include "platform.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: {{ toJson (concat (list "python" "/plan/register.py" "/plan/plan.json") .arguments) }}
          terminationMessagePolicy: FallbackToLogsOnError
          env:
            {{- include "platform.environment" .root | nindent 12 }}
            - name: KFP_HOST
              value: {{ .root.Values.register.host | quote }}
            {{- if .root.Values.register.useToken }}
            - name: KFP_TOKEN_FILE
              value: /var/run/secrets/kubeflow/pipelines/token
            {{- end }}
          resources:
            {{- toYaml .root.Values.register.resources | nindent 12 }}
          {{- include "platform.containerSecurity" .root | nindent 10 }}
          volumeMounts:
            - name: plan
              mountPath: /plan
              readOnly: true
            - name: tmp
              mountPath: /tmp
            {{- if .root.Values.register.useToken }}
            - name: token
              mountPath: /var/run/secrets/kubeflow/pipelines
              readOnly: true
            {{- end }}
      volumes:
        - name: plan
          configMap:
            name: {{ include "platform.fullname" .root }}-register
        - name: tmp
          emptyDir:
            sizeLimit: 256Mi
        {{- if .root.Values.register.useToken }}
        - name: token
          projected:
            sources:
              - serviceAccountToken:
                  path: token
                  audience: pipelines.kubeflow.org
                  expirationSeconds: 7200
        {{- end }}
{{- end }}
