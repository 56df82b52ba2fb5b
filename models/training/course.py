"""The course of a training: its seeds one after the other, with checkpoints, to the staged model."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from models.card import Card, TrainingRecord, learned_before
from models.checkpoint import LARGEST_WEIGHTS, load_networks, save_model, weights
from models.datasets.stored import Stored
from models.errors import BadSetting, Diverged
from models.families.family import sketch
from models.families.kinds import KINDS, AnyNetwork, body
from models.infer import choose_device
from models.settings.training import TrainingSettings
from models.structures.composition import SYMBOLS
from models.training import checkpoints, judging
from models.training.baselines import Figures, baselines
from models.training.dataset import Rows
from models.training.judging import Values
from models.training.loop import Training
from models.training.normaliser import Normaliser
from models.training.parts import PARTS, chosen
from models.training.picturing import pictured, told_of_sites
from models.training.plan import Plan
from models.training.processes import Processes, joined
from models.training.record import Ended, Metrics, Outcome
from models.training.reports import Reports, put
from models.training.source import Source, read
from models.training.split import Split
from models.trust.files import save as save_guide
from models.trust.fitting import Fitted, fitted

DRAWN_LEVELS = tuple(step / 20 for step in range(1, 20))
CHECKPOINT_S = 2.0  # between two checkpoints: what is lost meanwhile is quickly computed again


@dataclass(frozen=True, slots=True)
class Work:
    """An order, where it lies, and where it is done."""

    folder: Path
    plan: Plan
    dataset: Path
    start_from: Path | None
    name: str
    device: torch.device

    @staticmethod
    def of(folder: Path) -> "Work":
        """What the folder orders."""
        order = json.loads((folder / "order.json").read_bytes())
        torch.set_num_threads(order.get("threads") or 1)
        device = choose_device(order.get("device") or "auto")
        if device.type == "cuda" and "LOCAL_RANK" in os.environ:
            device = torch.device(f"cuda:{os.environ['LOCAL_RANK']}")
        start = order.get("start_from")
        plan = Plan.model_validate(order["order"])
        return Work(
            folder, plan, Path(order["dataset"]), start and Path(start), order["name"], device
        )

    def source(self, reports: Reports) -> Source:
        """The rows, ready to be learned from; this takes a while when no one did it before."""
        settings = KINDS[self.plan.family].input.model_validate(self.plan.input)
        reports.log("reading the data set")
        return read(Stored(self.dataset), self.plan, settings, reports.progress)  # type: ignore[arg-type]


def learn(work: Work, stop: Callable[[], bool], ready: Callable[[], None] = lambda: None) -> None:
    """All seeds; `ready` is called when there will be something to keep. Raises: MatpropError."""
    _check_size(work.plan)
    start, processes = time.perf_counter(), joined(work.device)
    first = processes.rank == 0
    reports = Reports(work.folder / "reports.jsonl" if first else None)
    source = work.source(reports)
    simple = _baselines(work, source, reports) if first else {}
    ready()
    ended: list[Ended] = []
    kept: list[Training] = []  # the members, or the best
    for at, seed in enumerate(work.plan.seeds):
        training = _training(work, source, seed, processes, stop)
        waiting = (len(work.plan.seeds) - at - 1) * training.settings.epochs
        _run(work, training, reports, waiting)
        unfinished = training.stopped and work.plan.members > 1 and kept  # would spoil the mean
        if training.ready and first and not unfinished:
            ended.append(_ended(training))
            kept = _kept(work.plan, [*kept, training])
        if training.stopped:
            break
    if kept:
        took = time.perf_counter() - start
        outcome = _outcome(work, source, simple, ended, kept, duration_s=took)
        card = outcome.card()
        # One who cancels will not wait.
        trust = None if outcome.stopped else _trusted(work, source, card, kept, reports)
        if trust is not None:
            guide = {"guide_sha256": save_guide(work.folder / "model", trust.guide)}
            card = card.model_copy(update=trust.told() | guide)
        card = _pictured(work, source, outcome, kept, card=card, trust=trust)
        save_model(work.folder / "model", card, [each.average for each in kept])
        told = {} if trust is None else {"trust": trust.result()}
        put(work.folder / "result.json", outcome.result() | told)
    if processes.count > 1:
        distributed.destroy_process_group()


def _kept(plan: Plan, trainings: list[Training]) -> list[Training]:
    """All of an ensemble, else the one that answers the validation rows best."""
    return trainings if plan.members > 1 else [min(trainings, key=lambda each: each.best_loss)]


def _check_size(plan: Plan) -> None:
    """A network that could not be kept is not trained. Raises: BadSetting."""
    settings = KINDS[plan.family].network.model_validate(plan.network)
    size = (
        4 * plan.members * sum(each.numel() for each in sketch(plan.family, settings).parameters())
    )
    if size > LARGEST_WEIGHTS:
        raise BadSetting(
            "The network is too large.",
            place="settings",
            expected=f"weights of at most {LARGEST_WEIGHTS / 1e6:,.0f} MB",
            got=f"{size / 1e6:,.0f} MB",
            hint="Make it narrower, of fewer layers, or of fewer members.",
        )


def _training(
    work: Work, source: Source, seed: int, processes: Processes, stop: Callable[[], bool]
) -> Training:
    """A seed's training, as far as it is."""
    plan = work.plan
    training = Training(
        source.data,
        Split(_taught(source, plan, seed), source.parts.val, source.parts.test),
        KINDS[plan.family].network.model_validate(plan.network),  # type: ignore[arg-type]
        TrainingSettings.model_validate(plan.training),
        work.device,
        seed,
        processes,
        stop,
    )
    if work.start_from:
        _go_on_from(work.start_from, training, plan, plan.seeds.index(seed))
    state = checkpoints.read(_checkpoint(work, seed))
    if state is not None:
        training.restore(state)
    return training


def _taught(source: Source, plan: Plan, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The training rows, or as many of them as were asked for; members learn from the same."""
    train, seed = source.parts.train, plan.seeds[0] if plan.members > 1 else seed
    return train if plan.rows is None else np.array(chosen(train.tolist(), plan.rows, seed))


def _run(work: Work, training: Training, reports: Reports, waiting: int) -> None:
    """To the last epoch; what was reached is on the disk by then."""
    kept_at = time.monotonic()
    writes = training.processes.rank == 0
    for report in training.run():
        reports.metric(report, training.seed, training.settings.epochs, waiting)
        if writes and time.monotonic() - kept_at > CHECKPOINT_S:
            checkpoints.write(_checkpoint(work, training.seed), training.state())
            kept_at = time.monotonic()
    if training.history and not math.isfinite(training.best_loss):
        raise Diverged(
            "No epoch answers the validation rows with finite numbers.",
            place=f"epoch {training.history[-1].epoch}",
            expected="a finite loss",
            got="infinite or no number",
            hint=f"Lower learning_rate ({training.settings.learning_rate:g}).",
        )
    # One that was stopped within an epoch has weights from which no unbroken training could go on.
    if writes and training.history and not training.stopped:
        checkpoints.write(_checkpoint(work, training.seed), training.state())


def _checkpoint(work: Work, seed: int) -> Path:
    return work.folder / "checkpoint" / f"{seed}.pt"


def _ended(training: Training) -> Ended:
    """Figures of the parts; one who cancels will not wait for those of the training rows."""
    parts = PARTS[1:] if training.stopped and len(training.parts.test) else PARTS
    return Ended(
        training.seed,
        _figures([training], parts),
        training.best_epoch,
        training.best_loss,
        training.history,
    )


def _figures(members: list[Training], parts: tuple[str, ...]) -> Metrics:
    """Of what they answer together."""
    one, found = members[0], {}
    for part in parts:
        rows = getattr(one.parts, part)
        if len(rows):
            found[part] = one.figures(rows, _answers(members, rows))
    return found


def _answers(members: list[Training], rows: Rows) -> Values:
    """The mean over the members."""
    mean: Values = np.mean([each.answers(rows) for each in members], axis=0)
    return mean


def _outcome(
    work: Work,
    source: Source,
    simple: Figures,
    ended: list[Ended],
    kept: list[Training],
    *,
    duration_s: float,
) -> Outcome:
    plan, last = work.plan, kept[-1]
    stopped = last.stopped or len(ended) < len(work.plan.seeds)
    notes = ["It was stopped before its end: these are the best weights until then."] * stopped
    if source.refused:
        notes.append(f"{len(source.refused)} labelled rows could not be read and were left out.")
    notes += source.notes
    start = _card(work.start_from) if work.start_from else None
    same = _same(start, plan, source) if start else None
    if same:
        notes += [_seen(each.model) for each in learned_before(same)]
    elif start:
        notes += _said_of(start, plan, source)
    together = _figures(kept, tuple(ended[0].metrics)) if len(kept) > 1 else None
    return Outcome(
        plan, source, work.name, simple, ended, last.normaliser,
        source.data.elements(last.parts.train), work.device, duration_s, stopped,
        start, same, _by_element(source, kept) if plan.family == "site" else None, notes, together,
    )  # fmt: skip


def _same(start: Card, plan: Plan, source: Source) -> TrainingRecord | None:
    """The model's record, if it has learned from these very rows, divided as they are now."""
    before, split = start.training, plan.split
    if before is None or before.dataset_sha256 != source.stored.manifest["sha256"]:
        return None
    columns = tuple(target.column for target in plan.targets)
    # By chance the parts follow from which rows have labels.
    alike = before.split == split.told() and (split.by == "given" or before.columns == columns)
    return before if alike else None


def _said_of(start: Card, plan: Plan, source: Source) -> list[str]:
    """What has to be known of a model that has learned from other rows, or the same divided otherwise."""
    before, manifest = start.training, source.stored.manifest
    if before and before.dataset_sha256 == manifest["sha256"]:
        known = f"{start.id} has learned from this very data set, divided otherwise: it may know rows that judge here"
        return [f"{known}, and errors and intervals may be too small."]
    judged = f"Nothing was learned from {manifest['name']}: it judged {start.id}, whose weights these are."
    return [_seen(start.id)] if plan.training["epochs"] else [judged, _seen(start.id)]


def _seen(model: str) -> str:
    return f"Where {model} has learned from rows that judge here, errors and intervals may be too small."


def _trusted(
    work: Work, source: Source, card: Card, kept: list[Training], reports: Reports
) -> Fitted | None:
    """How far the model can be trusted."""
    reports.log("learning how far to trust the answers")
    stored, rows = source.stored, source.rows.tolist()
    names, formulas = stored.names, stored.formulas
    return fitted(
        card.model_copy(update={"members": len(kept)}),
        [each.average for each in kept],
        source.data,
        kept[0].parts,
        work.device,
        names=[names[row] for row in rows],
        formulas=[formulas[row] for row in rows],
    )


def _pictured(
    work: Work,
    source: Source,
    outcome: Outcome,
    kept: list[Training],
    *,
    card: Card,
    trust: Fitted | None,
) -> Card:
    """The card, its figures drawn beside it."""
    parts = kept[0].parts
    networks, sites = [each.average for each in kept], None
    if not outcome.stopped:  # one who cancels will not wait
        sites = told_of_sites(card, networks, work.device, source, parts.train)
    rows = getattr(parts, outcome.judge)
    answers = _answers(kept, rows)
    # Rows that intervals are made from do not judge them.
    judges = trust if outcome.judge == "test" else None
    widths = judges.half_widths("test", DRAWN_LEVELS) if judges else None
    return pictured(
        work.folder / "model", card, source,
        part=outcome.judge, rows=rows, answers=answers, half_widths=widths, sites=sites,
    )  # fmt: skip


def _by_element(source: Source, members: list[Training]) -> dict[str, dict[str, float]]:
    """Of the rows that judge."""
    parts = members[0].parts
    rows = parts.test if len(parts.test) else parts.val
    if not len(rows):
        return {}
    judged = judging.beside(source.data, rows, _answers(members, rows))
    numbers = np.concatenate([source.data.samples[row].numbers for row in rows])
    return judging.by_element(judged, numbers.astype(np.int64), SYMBOLS.__getitem__)


def _baselines(work: Work, source: Source, reports: Reports) -> Figures:
    """Computed before the network learns: what it has to beat."""
    path = work.folder / "checkpoint" / "baselines.json"
    if path.exists():
        kept: Figures = json.loads(path.read_bytes())
        return kept
    reports.log("computing the baselines")
    plan = work.plan
    train = _taught(source, plan, plan.seeds[0])
    found = baselines(source, plan.family, train, classifies=plan.classifies)
    path.parent.mkdir(exist_ok=True)
    put(path, found)
    for text in _told(source.parts.sizes() | {"train": len(train)}, found, plan):
        reports.log(text)
    return found


def _told(sizes: dict[str, int], found: Figures, plan: Plan) -> list[str]:
    """Sentences of what is about to begin."""
    part = next((each for each in ("test", "val") if sizes[each]), "train")
    figure = "auc" if plan.classifies else "mae"
    learn, choose = (
        ("learn from", "choose the epoch by")
        if plan.training["epochs"]
        else ("know", "calibrate by")
    )
    rows = (
        f"{sizes['train']} rows to {learn}, {sizes['val']} to {choose}, {sizes['test']} to judge by"
    )
    return [
        rows,
        *(
            f"to beat: {name}, {figure} {figures[part][figure]:.4g} on the {part} rows"
            for name, figures in found.items()
            if figure in figures.get(part, {})
        ),
    ]


def _card(folder: Path) -> Card:
    return Card.model_validate_json((folder / "card.json").read_bytes())


def _go_on_from(folder: Path, training: Training, plan: Plan, at: int) -> None:
    """Fine-tuning, of each member another one's. Raises: BadSetting, DamagedModel."""
    card, members = load_networks(folder)
    kind = KINDS[plan.family]
    if card.family != plan.family or card.input != kind.input.model_validate(plan.input):
        raise BadSetting(
            f"The training cannot go on from {card.id}, which reads structures otherwise.",
            place="start_from",
            expected=f"{plan.family} with {json.dumps(plan.input)}",
            got=f"{card.family} with {card.input.as_json()}",
            hint="Leave the settings of the input away: those of the model are taken over.",
        )
    network: AnyNetwork = kind.network.model_validate(plan.network)  # type: ignore[assignment]
    if body(card.network) != body(network) or (
        card.network != network and not plan.training["epochs"]
    ):
        raise BadSetting(
            f"The network is another one than that of {card.id}.",
            place="start_from",
            expected=card.network.model_dump_json(),
            got=json.dumps(plan.network),
            hint="Leave the settings of the network away: those of the model are taken over.",
        )
    same = [(each.property, each.unit) for each in card.targets] == [
        (each.property, each.unit) for each in plan.targets
    ]
    scale = Normaliser(
        torch.tensor([each.mean for each in card.targets], dtype=torch.float32),
        torch.tensor([each.std for each in card.targets], dtype=torch.float32),
    )
    # The same property keeps its scale, so that the first answers are those of the model.
    weights_before = weights(members[at % len(members)])
    training.start_from(weights_before, scale if same and not card.classifies else None)
