"""What OCI is told of a deployment, when it is created and when it is updated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_deploy.plan import DIGEST_TAG
from embedway_deploy.run import Run
from embedway_deploy.step import Deployment, Log

if TYPE_CHECKING:
    from oci.data_science.models import (
        CategoryLogDetails,
        CreateModelDeploymentDetails,
        InstanceConfiguration,
        LogDetails,
        ModelDeploymentEnvironmentConfigurationDetails,
        UpdateCategoryLogDetails,
        UpdateModelDeploymentDetails,
    )

__all__ = ["Group", "create_details", "group_details", "tag_details", "update_details"]

Group: TypeAlias = Literal["model", "machines", "bandwidth", "logs"]
"""What OCI changes of an active deployment in one request."""


def create_details(step: Deployment, run: Run) -> CreateModelDeploymentDetails:
    """Of one that is not there yet."""
    from oci.data_science import models

    return models.CreateModelDeploymentDetails(
        display_name=step.display_name,
        description=step.description,
        compartment_id=run.plan.oci.compartment_id,
        project_id=run.plan.oci.project_id,
        freeform_tags=run.plan.tags(step),
        category_log_details=_logs(step),
        model_deployment_configuration_details=models.SingleModelDeploymentConfigurationDetails(
            model_configuration_details=models.ModelConfigurationDetails(
                model_id=_model_id(step, run),
                instance_configuration=_instance(step),
                scaling_policy=models.FixedSizeScalingPolicy(instance_count=step.shape.replicas),
                bandwidth_mbps=step.shape.bandwidth_mbps,
            ),
            environment_configuration_details=_environment(step),
        ),
    )


def group_details(step: Deployment, run: Run, group: Group) -> UpdateModelDeploymentDetails:
    """Of an active one; what is left out stays as it is."""
    from oci.data_science import models

    if group == "logs":
        return models.UpdateModelDeploymentDetails(category_log_details=_updated_logs(step))
    facts: dict[str, object] = {"model_id": _model_id(step, run)}
    if group == "machines":
        facts["instance_configuration"] = _instance(step)
        facts["scaling_policy"] = models.FixedSizeScalingPolicy(instance_count=step.shape.replicas)
    if group == "bandwidth":
        facts["bandwidth_mbps"] = step.shape.bandwidth_mbps
    return models.UpdateModelDeploymentDetails(
        model_deployment_configuration_details=models.UpdateSingleModelDeploymentConfigurationDetails(
            model_configuration_details=models.UpdateModelConfigurationDetails(**facts)
        )
    )


def update_details(step: Deployment, run: Run, *, digest: str) -> UpdateModelDeploymentDetails:
    """Of an inactive one, made from something else, which `digest` stands for; it keeps that."""
    from oci.data_science import models

    return models.UpdateModelDeploymentDetails(
        display_name=step.display_name,
        description=step.description,
        freeform_tags={**run.plan.tags(step), DIGEST_TAG: digest},
        category_log_details=_updated_logs(step),
        model_deployment_configuration_details=models.UpdateSingleModelDeploymentConfigurationDetails(
            model_configuration_details=models.UpdateModelConfigurationDetails(
                model_id=_model_id(step, run),
                instance_configuration=_instance(step),
                scaling_policy=models.FixedSizeScalingPolicy(instance_count=step.shape.replicas),
                bandwidth_mbps=step.shape.bandwidth_mbps,
            ),
            environment_configuration_details=_updated_environment(step),
        ),
    )


def tag_details(step: Deployment, run: Run) -> UpdateModelDeploymentDetails:
    """Names and tags alone, which OCI takes in any state."""
    from oci.data_science import models

    return models.UpdateModelDeploymentDetails(
        display_name=step.display_name,
        description=step.description,
        freeform_tags=run.plan.tags(step),
    )


def _model_id(step: Deployment, run: Run) -> str:
    """Empty where it is not registered yet: then a deployment is only looked at."""
    found = run.states.get(step.model)
    return found.id if found is not None else ""


def _instance(step: Deployment) -> InstanceConfiguration:
    from oci.data_science import models

    shape = step.shape
    sized = None
    if shape.ocpus is not None:
        sized = models.ModelDeploymentInstanceShapeConfigDetails(
            ocpus=shape.ocpus, memory_in_gbs=shape.memory_gb
        )
    return models.InstanceConfiguration(
        instance_shape_name=shape.name,
        model_deployment_instance_shape_config_details=sized,
        subnet_id=shape.subnet_id,
    )


def _environment(step: Deployment) -> ModelDeploymentEnvironmentConfigurationDetails:
    from oci.data_science import models

    if step.container is None:
        return models.DefaultModelDeploymentEnvironmentConfigurationDetails(
            environment_variables=dict(step.environment)
        )
    return models.OcirModelDeploymentEnvironmentConfigurationDetails(**_container(step))


def _updated_environment(step: Deployment):  # type: ignore[no-untyped-def] # the SDK has no types
    from oci.data_science import models

    if step.container is None:
        return models.UpdateDefaultModelDeploymentEnvironmentConfigurationDetails(
            environment_variables=dict(step.environment)
        )
    return models.UpdateOcirModelDeploymentEnvironmentConfigurationDetails(**_container(step))


def _container(step: Deployment) -> dict[str, object]:
    from oci.data_science import models

    container = step.container
    assert container is not None
    endpoints = [
        models.InferenceHttpEndpoint(
            endpoint_uri_suffix=one.path.lstrip("/"), http_methods=list(one.methods)
        )
        for one in container.endpoints
    ]
    return {
        "image": container.image,
        "image_digest": container.image_digest,
        "cmd": list(container.command) or None,
        "entrypoint": list(container.entrypoint) or None,
        "server_port": container.server_port,
        "health_check_port": container.health_check_port,
        "environment_variables": dict(step.environment),
        "predict_api_specification": container.specification,
        "custom_http_endpoints": endpoints or None,
    }


def _logs(step: Deployment) -> CategoryLogDetails | None:
    from oci.data_science import models

    return None if step.log is None else models.CategoryLogDetails(**_categories(step.log))


def _updated_logs(step: Deployment) -> UpdateCategoryLogDetails | None:
    """In a class of its own, for the SDK refuses the other one in an update."""
    from oci.data_science import models

    return None if step.log is None else models.UpdateCategoryLogDetails(**_categories(step.log))


def _categories(log: Log) -> dict[str, LogDetails | None]:
    from oci.data_science import models

    return {
        category: None if one is None else models.LogDetails(log_id=one, log_group_id=log.group_id)
        for category, one in (("access", log.access_id), ("predict", log.predict_id))
    }
