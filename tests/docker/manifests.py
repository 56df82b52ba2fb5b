"""What `kubectl kustomize` makes of a folder, for the few features that ours use."""

import copy
import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "docker/kubernetes"
USED = {"apiVersion", "kind", "namespace", "resources", "images", "patches"}
UNSPACED = {"Namespace"}


def built(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization."""
    order = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    assert set(order) <= USED, order
    objects: list[dict[str, Any]] = []
    for resource in order["resources"]:
        path = (folder / resource).resolve()
        objects += built(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    objects = copy.deepcopy(objects)
    for one in objects:
        if "namespace" in order and one["kind"] not in UNSPACED:
            one["metadata"]["namespace"] = order["namespace"]
        for image in order.get("images", ()):
            tag(one, image["name"], image["newTag"])
        for patch in order.get("patches", ()):
            if aimed_at(patch["target"], one):
                for step in yaml.safe_load(patch["patch"]):
                    change(one, step)
    return objects


def containers(one: dict[str, Any]) -> list[dict[str, Any]]:
    pod = one.get("spec", {}).get("template", {}).get("spec", {})
    return list(pod.get("containers", ()))


def tag(one: dict[str, Any], name: str, new: str) -> None:
    for container in containers(one):
        if container["image"].partition(":")[0] == name:
            container["image"] = f"{name}:{new}"


def aimed_at(target: dict[str, str], one: dict[str, Any]) -> bool:
    named = re.fullmatch(target["name"], one["metadata"]["name"])
    return bool(named) and one["kind"] == target["kind"]


def sought(one: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What KEDA looks for on the page of figures: a figure without its prefix, a label, the label's value."""
    places = [trigger["metadata"]["valueLocation"] for trigger in one["spec"]["triggers"]]
    found = [re.fullmatch(r'matprop_(\w+)\{(\w+)="(\w+)"\}', place) for place in places]
    assert all(found), places
    return [(match[1], match[2], match[3]) for match in found if match]


def change(one: Any, step: dict[str, Any]) -> None:
    """One step of RFC 6902, `add` or `replace`."""
    *way, last = [
        part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]
    ]
    for part in way:
        one = one[int(part)] if isinstance(one, list) else one[part]
    key = int(last) if isinstance(one, list) else last
    assert step["op"] in ("add", "replace")
    if step["op"] == "replace":
        assert one[key] is not None
    one[key] = step["value"]
