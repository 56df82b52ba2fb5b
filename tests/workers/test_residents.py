"""The models that a worker has loaded before its first job."""

import logging

from models import infer
from models.catalogue import RELEASED, Catalogue
from workers.metrics import Tally
from workers.residents import Residents


def test_every_released_model_is_warmed_by_an_input_of_its_own_kind(caplog) -> None:
    catalogue = Catalogue([RELEASED])
    names = {card.name for card in catalogue.list()}
    held = Residents(
        catalogue, len(names), lambda folder: infer.load(folder, "cpu", "float32"), Tally()
    )
    with caplog.at_level(logging.WARNING):
        held.warm()
    assert {one.split("@")[0] for one in held.names} == names
    assert caplog.messages == []
