"""Writes the serving template by which AI Core starts infinity."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["ARTIFACT", "defaults", "template"]

ARTIFACT = "embmodel"
"""What the template calls the model's artifact."""

# The container's variable for each parameter; the other parameters are AI Core's own.
_VARIABLES = {
    "TRUST_REMOTE_CODE": "trustRemoteCode",
    "BATCH_SIZE": "batchSize",
    "URL_PRE_FIX": "urlPrefix",
    "MODEL_SERVE_NAME": "modelName",
    "PORT": "portNumber",
    "DTYPE": "dtype",
    "POOLING": "pooling",
    "ARG": "additionalArgument",
    # For the gateway's discovery, which reads it of the configuration.
    "EMBEDWAY_REVISION": "embedwayRevision",
}


def defaults(*, image: str, model: str, plan: str) -> dict[str, str]:
    """Every parameter of the template, each a text, as AI Core wants them."""
    return {
        "image": image,
        "resourcePlan": plan,
        "minReplicas": "1",
        "maxReplicas": "1",
        "portNumber": "9000",
        "trustRemoteCode": "false",
        "batchSize": "32",
        "urlPrefix": "/v1",
        "dtype": "float32",
        "pooling": "auto",
        "additionalArgument": "",
        "modelName": model,
        "embedwayRevision": "",
    }


def template(
    *, executable: str, scenario: str, secret: str, digest: str, values: Mapping[str, str]
) -> str:
    """
    As YAML; `values` become the parameters' defaults, `secret` is the registry's in AI Core, and
    `digest` stands for the template's version in what AI Core says of it.
    """
    parameters = "\n".join(
        f"      - name: {name}\n        type: string\n        default: {json.dumps(value)}"
        for name, value in values.items()
    )
    variables = "\n".join(
        f'              - name: {name}\n                value: "{_of(parameter)}"'
        for name, parameter in _VARIABLES.items()
    )
    head = f"""apiVersion: ai.sap.com/v1alpha1
kind: ServingTemplate
metadata:
  name: {executable}
  annotations:
    scenarios.ai.sap.com/description: "Embedding models"
    scenarios.ai.sap.com/name: {json.dumps(scenario)}
    executables.ai.sap.com/description: "infinity, by Embedway, {digest}"
    executables.ai.sap.com/name: {json.dumps(executable)}
  labels:
    scenarios.ai.sap.com/id: {json.dumps(scenario)}
    executables.ai.sap.com/id: {json.dumps(executable)}
    ai.sap.com/version: "1.0.0"
spec:
  inputs:
    parameters:
{parameters}
    artifacts:
      - name: {ARTIFACT}
"""
    return head + _serving(secret, variables)


def _serving(secret: str, variables: str) -> str:
    """What KServe is to run."""
    return f"""  template:
    apiVersion: "serving.kserve.io/v1beta1"
    metadata:
      annotations: |
        autoscaling.knative.dev/metric: concurrency
        autoscaling.knative.dev/target: "32"
        autoscaling.knative.dev/targetBurstCapacity: "-1"
        autoscaling.knative.dev/window: "10m"
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: "10m"
      labels: |
        ai.sap.com/resourcePlan: "{_of("resourcePlan")}"
    spec: |
      predictor:
        imagePullSecrets:
          - name: {secret}
        minReplicas: {_of("minReplicas")}
        maxReplicas: {_of("maxReplicas")}
        containers:
          - name: kserve-container
            image: "{_of("image")}"
            ports:
              - containerPort: {_of("portNumber")}
                protocol: TCP
            env:
              - name: STORAGE_URI
                value: "{{{{inputs.artifacts.{ARTIFACT}}}}}"
{variables}
            volumeMounts:
              - name: shm
                mountPath: /dev/shm
        volumes:
          - name: shm
            emptyDir:
              medium: Memory
              sizeLimit: 10Gi
"""


def _of(parameter: str) -> str:
    return f"{{{{inputs.parameters.{parameter}}}}}"
