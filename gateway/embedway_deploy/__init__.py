"""Takes a model's name to a running deployment: prepare, verify, register, deploy, check."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_deploy.cloud import Cloud
    from embedway_deploy.error import DeployError, Refused
    from embedway_deploy.lifecycle import apply, destroy, logs, problems, prove, status
    from embedway_deploy.login import Login, SignIn
    from embedway_deploy.onnx.artifact import Conda
    from embedway_deploy.onnx.plan import plan_onnx
    from embedway_deploy.onnx.verify import verify_onnx
    from embedway_deploy.order import Bucket, Order
    from embedway_deploy.plan import OCIPlace, Plan, load_plan
    from embedway_deploy.policy import Groups
    from embedway_deploy.report import Report
    from embedway_deploy.run import Run
    from embedway_deploy.step import Log, Shape
    from embedway_deploy.tei.plan import TEI, plan_tei

__all__ = [
    "TEI",
    "Bucket",
    "Cloud",
    "Conda",
    "DeployError",
    "Groups",
    "Log",
    "Login",
    "OCIPlace",
    "Order",
    "Plan",
    "Refused",
    "Report",
    "Run",
    "Shape",
    "SignIn",
    "apply",
    "destroy",
    "load_plan",
    "logs",
    "plan_onnx",
    "plan_tei",
    "problems",
    "prove",
    "status",
    "verify_onnx",
]

# Where each name is: what is asked for is imported, and nothing else.
_PLACES = {
    "Bucket": "order",
    "Cloud": "cloud",
    "Conda": "onnx.artifact",
    "DeployError": "error",
    "Groups": "policy",
    "Log": "step",
    "Login": "login",
    "OCIPlace": "plan",
    "Order": "order",
    "Plan": "plan",
    "Refused": "error",
    "Report": "report",
    "Run": "run",
    "Shape": "step",
    "SignIn": "login",
    "TEI": "tei.plan",
    "apply": "lifecycle",
    "destroy": "lifecycle",
    "load_plan": "plan",
    "logs": "lifecycle",
    "plan_onnx": "onnx.plan",
    "plan_tei": "tei.plan",
    "problems": "lifecycle",
    "prove": "lifecycle",
    "status": "lifecycle",
    "verify_onnx": "onnx.verify",
}

# Hidden from type checkers, to which it would lend every name that there is not.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
