"""Which rows a model's own guide says it has not learned from: what a user would be told with the answer."""

from datetime import UTC, datetime
from typing import cast

import numpy as np

from benchmarks.papers.material import Material
from models.card import Card, Target
from models.families.kinds import FamilyName
from models.families.recipes import Settings
from models.graphs.elements import table_sha256
from models.infer import Resident
from models.training.dataset import Rows
from models.training.loop import Training
from models.trust.fitting import fitted


def flagged(material: Material, complete: Settings, training: Training) -> dict[str, float]:
    """The share of the test rows, and of those beyond what was seen, that are flagged."""
    card = _card(material, complete, training)
    found = fitted(card, [training.average], material.data, training.parts, training.device)
    if found is None:
        return {}
    resident = Resident(card, [training.average], training.device, guide=found.guide)

    def share(rows: Rows) -> float:
        answers = resident.answer([material.data.samples[row] for row in rows])
        return float(np.mean([each.trust is not None and each.trust.score > 1 for each in answers]))

    return {"test": share(material.parts.test), "beyond": share(material.beyond)}


def _card(material: Material, complete: Settings, training: Training) -> Card:
    mean, deviation = (
        float(each[0]) for each in (training.normaliser.mean, training.normaliser.std)
    )
    target = Target(property=material.data.properties[0], unit="", mean=mean, std=deviation)
    return Card(
        name="table",
        version=1,
        family=cast("FamilyName", material.family),
        title="A line of a table",
        origin="trained",
        targets=(target,),
        input=complete.input,
        network=complete.network,
        elements_sha256=table_sha256(),
        weights_sha256="",
        created_at=datetime.now(UTC),
    )
