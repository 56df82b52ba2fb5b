"""`matprop train` and `matprop evaluate`: from a data set to a model, and how good it is."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import show, watching

if TYPE_CHECKING:  # the client is loaded when a command needs it, so that --help is quick
    from service.client import Client
    from service.schemas.training import TrainingView

OF_UNIT = ("mae", "rmse")  # figures that are in the unit of what is predicted
WORST = ("name", "property", "label", "prediction", "error")
Label = Annotated[
    str | None, typer.Option(help="A word to find the job by: `matprop jobs list --label`.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")]


def train(
    dataset: Annotated[
        str,
        typer.Argument(metavar="DATASET", help="A file (sent first), or a data set's name or id."),
    ],
    *,
    target: Annotated[
        list[str],
        typer.Option("--target", "-t", help="Column to learn; repeat for several."),
    ],
    unit: Annotated[
        list[str] | None,
        typer.Option(help="Unit of each target, in their order; needless where it is known."),
    ] = None,
    property: Annotated[  # noqa: A002 (the name it has everywhere)
        list[str] | None,
        typer.Option(help="What each target is, in their order; the column's name if not given."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="`crystal`, `site`, `bond`, `image`; by the target if none.")
    ] = None,
    register_as: Annotated[
        str | None, typer.Option(help="Name of the model; an existing one gets a new version.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, as `epochs=50`; repeat for several."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="`best`, or as the `paper` trained.")] = "best",
    split: Annotated[
        str,
        typer.Option(
            help="`random`, `composition`, `group` or `given`; with a column `group:name`."
        ),
    ] = "random",
    together: Annotated[
        str | None,
        typer.Option(help="Column of groups that a `given` split kept in one part each."),
    ] = None,
    val: Annotated[float, typer.Option(help="Share of the rows that choose the epoch.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the rows that judge the result.")] = 0.1,
    seeds: Annotated[
        str, typer.Option(help="One training each, with commas; `0` if not given.")
    ] = "",
    members: Annotated[
        int | None, typer.Option(min=1, help="Train so many networks and keep them as an ensemble.")
    ] = None,
    search: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Search for settings: a JSON file of ranges, as in the guide on training.",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trainings of the search; 20 if not said.")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Go on from this model (fine-tuning).")
    ] = None,
    classes: Annotated[
        str, typer.Option(help="Learn classes: names of 0 and 1, with a comma.")
    ] = "",
    adsorbate: Annotated[
        str | None, typer.Option(help="Bond family: column of the adsorbed atom's index.")
    ] = None,
    partners: Annotated[
        str | None, typer.Option(help="Bond family: column of the atoms that the bonds lead to.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Use only so many training rows.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes or GPUs to share the work.")] = 1,
    title: Annotated[str | None, typer.Option(help="One line for people.")] = None,
    label: Label = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on a data set.

    Ctrl-C stops watching only; the training goes on.
    """
    if trials and not search:
        raise typer.BadParameter(
            "they are those of a search: name its ranges with --search", param_hint="--trials"
        )
    options = {
        "family": family,
        "register_as": register_as,
        "settings": settings_of(settings or []),
        "recipe": recipe,
        "split": {**split_of(split, val, test), **given(together=together)},
        "seeds": seeds_of(seeds) if seeds else None,
        "members": members,
        "search": {"space": json_of(search), "trials": trials or 20} if search else None,
        "start_from": start_from,
        "classes": words(classes) or None,
        "columns": given(adsorbate=adsorbate, partners=partners),
        "rows": rows,
        "devices": devices,
        "title": title,
        "label": label,
    }
    targets = targets_of(target, unit or [], property or [])
    from service.client import Client

    with Client() as client:
        job = client.submit_training(dataset, targets, **options)  # type: ignore[arg-type]
        if detach:
            print(job)
            return
        print(f"{job}: {ordered(client.training(job))}", file=sys.stderr)
        ended = watching.watch(client, job, "training", sys.stderr)
        finish(client, job, ended, as_json=as_json)


def finish(client: "Client", job: str, ended: str, *, as_json: bool) -> None:
    """The figures, and the model if there is one; status 1 if not all went well."""
    view = client.training(job)
    if as_json:
        print(view.model_dump_json(indent=2, exclude_none=True))
    else:
        sys.stdout.write(figures(view))
        if view.model:
            print(
                f"\n{view.model} is ready: matprop predict FILE --model {view.model.split('@')[0]}"
            )
    if ended != "succeeded":
        if view.job.error:
            print(f"{view.job.error.detail} [{view.job.error.code}]", file=sys.stderr)
        raise typer.Exit(1)


def ordered(view: "TrainingView") -> str:
    """What was ordered, in a line."""
    what = ", ".join(f"{one.property} in {one.unit}" for one in view.targets)
    return f"{view.family}, {what}, to be {view.register_as}"


def figures(view: "TrainingView") -> str:
    """A row a part and, below, its spread over the seeds and the baselines; then what to know."""
    result = view.result or {}
    ours, each_of = "network", f"{len(view.seeds)} seeds"
    if view.members > 1:
        ours, each_of = "ensemble", "each member"
    rows = {f"{ours}, {part}": one for part, one in (result.get("metrics") or {}).items()}
    if len(view.seeds) > 1:
        for part, one in (result.get("spread") or {}).items():
            rows[f"{each_of}, {part}"] = {
                name: f"{cell(each['mean'])} ± {cell(each['std'])}" for name, each in one.items()
            }
    for name, parts in (result.get("baselines") or {}).items():
        rows |= {f"{name}, {part}": each for part, each in parts.items()}
    notes = [f"note: {note}" for note in result.get("notes") or ()] + [*trusted(view)]
    if "best" in result:
        best = result["trials"][result["best"]]["settings"] or {}
        notes.append("best settings: " + ", ".join(f"{name} {cell(best[name])}" for name in best))
    alone = view.task == "regression" and len(view.targets) == 1
    unit = view.targets[0].unit if alone else "1"
    return table_of(rows, unit) + "".join(f"\n{note}\n" for note in notes)


def trusted(view: "TrainingView") -> Iterator[str]:
    """Whether the intervals hold, a line a target."""
    intervals = ((view.result or {}).get("trust") or {}).get("intervals") or ()
    for target, one in zip(view.targets, intervals, strict=False):
        if one and "0.9" in one["coverage"]:
            yield (
                f"90 % intervals of {target.property} hold the true value of "
                f"{one['coverage']['0.9']:.1%} of the {one['judged']:,} test structures"
            )


def table_of(rows: dict[str, dict[str, Any]], unit: str = "1") -> str:
    """Names down, figures across; empty without figures."""
    names = list(dict.fromkeys(name for one in rows.values() for name in one))
    if not names:
        return ""
    body = [(name, *(cell(one.get(figure)) for figure in names)) for name, one in rows.items()]
    heads = (f"{name} ({unit})" if name in OF_UNIT and unit != "1" else name for name in names)
    return show.table(("", *heads), body, right=range(1, len(names) + 1))


def cell(value: object) -> str:
    """A figure, or what stands in its place."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) else show.number(value)
    return "" if value is None else str(value)


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="`name`, `name@3` or `name@alias`.")
    ],
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATASET]",
            help="A file (sent first), or a data set's name or id; needless for a learning curve.",
        ),
    ] = None,
    *,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Where a property is, as `band-gap=gap_pbe`, if it is called otherwise."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="A learning curve: train with so many rows each, with commas.")
    ] = "",
    label: Label = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model by a data set, or measure its learning curve."""
    pairs = dict(pair(one, "--column") for one in column or [])
    from service.client import Client

    with Client() as client:
        job = client.submit_evaluation(
            model, dataset, columns=pairs or None, sizes=numbers(sizes, "--sizes"), label=label
        )
        ended = watching.watch(client, job, "evaluation", sys.stderr)
        view = client.evaluation(job)
    if as_json:
        print(view.model_dump_json(indent=2, exclude_none=True))
    elif view.result:
        sys.stdout.write(judged(view.result))
    if ended != "succeeded":
        if view.job.error:
            print(f"{view.job.error.detail} [{view.job.error.code}]", file=sys.stderr)
        raise typer.Exit(1)


def judged(result: dict[str, Any]) -> str:
    """The figures of an evaluation, or the points of a learning curve."""
    if "curve" in result:
        points = result["curve"]
        return table_of({f"{one['rows']} rows": (one["metrics"] or {}).get("test") or
                         {"": (one["error"] or {}).get("code")} for one in points})  # fmt: skip
    units: list[str] = (result.get("parity") or {}).get("units") or []
    unit = units[0] if len(units) == 1 else "1"
    text = table_of({"all": result.get("metrics") or {}}, unit)
    if result.get("elements"):
        text += "\nBy element:\n" + table_of(result["elements"])
    if result.get("worst"):
        rows = [tuple(cell(one.get(name)) for name in WORST) for one in result["worst"]]
        text += "\nThe worst:\n" + show.table(WORST, rows, right=(2, 3, 4))
    return text + "".join(f"\nnote: {note}\n" for note in result.get("warnings") or ())


def targets_of(columns: list[str], units: list[str], properties: list[str]) -> Any:
    """Targets as they are sent; raises `BadParameter` for more units than targets."""
    for name, given_ in (("--unit", units), ("--property", properties)):
        if len(given_) > len(columns):
            raise typer.BadParameter("more of these than targets", param_hint=name)
    made = [
        given(column=column, unit=at(units, place), property=at(properties, place))
        for place, column in enumerate(columns)
    ]
    return made[0] if len(made) == 1 else made


def at(values: list[str], place: int) -> str | None:
    """The value at a place, if there is one."""
    return values[place] if place < len(values) else None


def given(**values: str | None) -> dict[str, str]:
    """Those that are not none."""
    return {name: value for name, value in values.items() if value is not None}


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """`epochs=50` and the like; what is JSON is read so, the rest is text."""
    found: dict[str, Any] = {}
    for one in pairs:
        name, value = pair(one, "--set")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def pair(text: str, option: str) -> tuple[str, str]:
    """`name=value`; raises `BadParameter`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{text!r} is not name=value", param_hint=option)
    return name.strip(), value.strip()


def split_of(word: str, val: float, test: float) -> dict[str, Any]:
    """The split as it is sent."""
    by, _, column = word.partition(":")
    return {"by": by, "val": val, "test": test} | ({"column": column} if column else {})


def seeds_of(text: str) -> list[int]:
    """Whole numbers with commas."""
    return numbers(text, "--seeds") or [0]


def numbers(text: str, option: str) -> list[int]:
    """Whole numbers with commas; raises `BadParameter`."""
    try:
        return [int(one) for one in words(text)]
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no whole numbers", param_hint=option) from None


def words(text: str) -> list[str]:
    """Words with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def json_of(path: Path) -> Any:
    """What the file holds; raises `BadParameter`."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint="--search") from None
