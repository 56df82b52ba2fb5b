"""The last step of a training: its figures, and what the model says of each element."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.card import Card
from models.figures.drawing import write
from models.figures.elements import Sites, sites_of
from models.figures.kept import kind_of
from models.figures.making import Part, made
from models.infer import Resident
from models.training import judging
from models.training.dataset import Rows, Values
from models.training.parts import chosen
from models.training.source import Source

MOST_ROWS = 20_000  # for the mean of an element's sites


def pictured(
    folder: Path,
    card: Card,
    source: Source,
    *,
    part: Part,
    rows: Rows,
    answers: Values,
    half_widths: Mapping[float, Values] | None = None,
    sites: Sites | None = None,
) -> Card:
    """Write the figures of the rows that judge; the card that is returned knows of them.

    `answers` as a network gives them. `half_widths`: by level, one for each line of `judging.beside`.
    """
    figures = made(
        judging.beside(source.data, rows, answers),
        [source.data.samples[row].numbers for row in rows],
        part=part,
        classifies=card.classifies,
        of_sites=card.family == "site",
        half_widths=half_widths,
        sites=sites,
    )
    return write(folder, card, figures)


def told_of_sites(
    card: Card, networks: Sequence[nn.Module], device: torch.device, source: Source, rows: Rows
) -> Sites | None:
    """What the model says of the sites of these structures; none where its answers are no sums over sites."""
    kind = kind_of(card)
    if kind is None or not len(rows):
        return None
    resident = Resident(card, copy.deepcopy(list(networks)), device)
    graphs = [source.data.samples[row] for row in chosen(rows.tolist(), MOST_ROWS, 0)]
    values: list[Values] = []
    for graph, answer in zip(graphs, resident.answer(graphs, sites=True), strict=True):
        if answer.error is not None:
            values.append(np.full((graph.n_sites, len(card.targets)), np.nan))
        elif kind == "predictions":
            values.append(np.reshape(answer.values, (len(card.targets), -1)).T)
        else:
            assert answer.contributions is not None
            values.append(np.array(answer.contributions) * graph.n_sites)
    return sites_of(kind, graphs, values)
