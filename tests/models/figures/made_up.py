"""A card and figures of every kind, made up."""

from datetime import UTC, datetime
from typing import Any

from models.card import Card, Point, Target, TrainingRecord
from models.figures.told import (
    Bin,
    Calibration,
    Classified,
    ElementError,
    ElementMean,
    Elements,
    ElementTable,
    Figures,
    Parity,
    RankError,
    TargetFigures,
    WidthBin,
)
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings

HOSTILE = '"><script>alert(1)</script>&\x00\x1b'


def card_of(**changes: Any) -> Card:
    curve = tuple(
        Point(epoch=at, loss=1 / at, learning_rate=0.1, val={"loss": 2 / at}) for at in range(1, 9)
    )
    known = Card(
        name="tested",
        version=1,
        title="A model for tests",
        origin="trained",
        targets=(Target(property="formation-energy-per-atom", unit="eV/atom"),),
        input=GraphSettings(),
        network=NetworkSettings(readout="linear"),
        elements_sha256="0" * 64,
        training=TrainingRecord(dataset="made up", best_epoch=7, curve=curve),
        weights_sha256="0" * 64,
        created_at=datetime.now(UTC),
    )
    return known.model_copy(update=changes)


def table_of(site: Any) -> ElementTable:
    means = [("O", -2.5, 3), ("Ti", 0.5, 2), ("U", 1.25, 1)]
    elements = [ElementMean(element=name, mean=mean, n=n) for name, mean, n in means]
    return ElementTable(site=site, elements=tuple(elements))


def full() -> Figures:
    """A regression with intervals, of perovskites."""
    target = TargetFigures(
        n=5_000,
        mae=0.0625,
        parity=Parity(
            true=(0.0, 1.0, 2.0), predicted=(0.1, 0.9, 4.0), half_width=(0.2, 0.2, 0.2), level=0.9
        ),
        by_element=tuple(
            ElementError(element=name, mae=0.1, n=3) for name in ("H", "O", "Fe", "Lr")
        ),
        calibration=Calibration(levels=(0.5, 0.9), coverage=(0.52, 0.91), n=300),
        widths=tuple(
            WidthBin(half_width=0.1 * at, mae=0.05 * at, within=0.1 * at, n=10) for at in (1, 2, 3)
        ),
    )
    tables = (table_of("any"), table_of("A"), table_of("B"))
    elements = Elements(kind="contributions", structures=70, perovskites=60, targets=(tables,))
    return Figures(part="test", targets=(target,), elements=elements)


def bonds() -> Figures:
    parity = Parity(true=(2.0, 2.1, 2.2, 2.3), predicted=(2.0, 2.2, 2.2, 2.4), rank=(1, 2, 1, 2))
    ranks = tuple(RankError(rank=rank, mae=0.05, n=2) for rank in (1, 2))
    return Figures(part="test", targets=(TargetFigures(n=4, mae=0.05, parity=parity, ranks=ranks),))


def classes() -> Figures:
    found = Classified(
        auc=0.875,
        false_positive=(0.0, 0.5, 1.0),
        true_positive=(0.0, 0.9, 1.0),
        bins=(Bin(probability=0.1, share=0.2, n=4), Bin(probability=0.9, share=1.0, n=6)),
    )
    return Figures(part="val", targets=(TargetFigures(n=10, classified=found),))
