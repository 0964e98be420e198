"""Takes a model's name to a running deployment: prepare, verify, register, deploy, check."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_deploy.aicore.place import AICorePlace
    from embedway_deploy.aqua.plan import Aqua, plan_aqua
    from embedway_deploy.cloud import Cloud
    from embedway_deploy.error import DeployError, Refused
    from embedway_deploy.infinity.plan import Infinity, plan_infinity
    from embedway_deploy.lifecycle import apply, destroy, logs, problems, prove, remains, status
    from embedway_deploy.login import Login, SignIn
    from embedway_deploy.onnx.artifact import Conda
    from embedway_deploy.onnx.plan import plan_onnx
    from embedway_deploy.onnx.verify import verify_onnx
    from embedway_deploy.order import Bucket, NamedModel, Order
    from embedway_deploy.ovms.plan import OVMS, plan_ovms
    from embedway_deploy.ovms.verify import verify_ovms
    from embedway_deploy.plan import OCIPlace, Plan, load_plan
    from embedway_deploy.policy import Groups
    from embedway_deploy.report import Report
    from embedway_deploy.run import Run
    from embedway_deploy.step import Log, Shape
    from embedway_deploy.tei.plan import TEI, plan_tei

__all__ = [
    "OVMS",
    "TEI",
    "AICorePlace",
    "Aqua",
    "Bucket",
    "Cloud",
    "Conda",
    "DeployError",
    "Groups",
    "Infinity",
    "Log",
    "Login",
    "NamedModel",
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
    "plan_aqua",
    "plan_infinity",
    "plan_onnx",
    "plan_ovms",
    "plan_tei",
    "problems",
    "prove",
    "remains",
    "status",
    "verify_onnx",
    "verify_ovms",
]

# Where each name is: what is asked for is imported, and nothing else.
_PLACES = {
    "AICorePlace": "aicore.place",
    "Aqua": "aqua.plan",
    "Bucket": "order",
    "Cloud": "cloud",
    "Conda": "onnx.artifact",
    "DeployError": "error",
    "Groups": "policy",
    "Infinity": "infinity.plan",
    "Log": "step",
    "Login": "login",
    "NamedModel": "order",
    "OCIPlace": "plan",
    "OVMS": "ovms.plan",
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
    "plan_aqua": "aqua.plan",
    "plan_infinity": "infinity.plan",
    "plan_onnx": "onnx.plan",
    "plan_ovms": "ovms.plan",
    "plan_tei": "tei.plan",
    "problems": "lifecycle",
    "prove": "lifecycle",
    "remains": "lifecycle",
    "status": "lifecycle",
    "verify_onnx": "onnx.verify",
    "verify_ovms": "ovms.verify",
}

# Hidden from type checkers, to which it would lend every name that there is not.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
