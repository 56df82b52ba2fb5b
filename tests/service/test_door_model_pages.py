"""`/models` as a browser meets it, and the tables of elements."""

import base64
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from models.card import Card, Learned, Target, TrainingRecord
from models.catalogue import card_bytes
from models.figures.drawing import write
from models.figures.told import Figures
from models.settings.image import ImageSettings
from models.settings.network import (
    BondNetworkSettings,
    ImageNetworkSettings,
    NetworkSettings,
    SiteNetworkSettings,
)
from models.settings.slab import SlabSettings
from models.training.plan import Division
from models.trust.told import Intervals
from tests.models.figures.made_up import HOSTILE, bonds, card_of, classes, full

CLASSES = NetworkSettings(task="classification", outputs=2)
HTML = {"Accept": "text/html"}
SHEET = ImageSettings(box="cell")


def put(state: Path, name: str, figures: Figures | None = None, **changes: Any) -> Card:
    """A model that can be looked at; its weights are none."""
    card = card_of(name=name, **changes)
    home = state / "models" / name / str(card.version)
    home.mkdir(parents=True)
    card = card if figures is None else write(home, card, figures)
    (home / "weights.safetensors").write_bytes(b"")
    (home / "card.json").write_bytes(card_bytes(card))
    return card


KINDS: dict[str, tuple[Figures | None, dict[str, Any]]] = {
    "crystal": (full(), {}),
    "mean-readout": (full().model_copy(update={"elements": None}), {"network": NetworkSettings()}),
    "classifier": (classes(), {"network": CLASSES, "classes": ("semiconductor", "metal")}),
    "site": (full(), {"family": "site", "network": SiteNetworkSettings()}),
    "bond": (bonds(), {"family": "bond", "input": SlabSettings(), "network": BondNetworkSettings()}),
    "image": (None, {"family": "image", "input": ImageSettings(), "network": ImageNetworkSettings()}),
    "sheet": (None, {"family": "image", "input": SHEET, "network": ImageNetworkSettings(image=SHEET)}),
    "bare": (None, {"training": None, "origin": "imported"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def hall(door: Any) -> Any:
    """A door with a model of every kind behind it."""
    for name, (figures, changes) in KINDS.items():
        put(door.settings.state, name, figures, **changes)
    return door


class Tags(HTMLParser):
    """All tags and attributes of a page; and whether every tag is closed."""

    EMPTY = frozenset({"meta", "img", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def images(text: str) -> list[str]:
    return re.findall(r'<img src="([^"]+)"', text)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_has_a_page_that_is_whole(hall: Any, name: str) -> None:
    answer = hall.client.get(f"/models/{name}", headers=HTML)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    tags = Tags(answer.text)
    assert tags.open == []
    assert "script" not in tags.tags
    assert not [each for each, _ in tags.attributes if each.startswith("on")]
    assert all(to.startswith("/") for each, to in tags.attributes if each in ("href", "src"))
    for drawing in images(answer.text):
        assert hall.client.get(drawing).status_code == 200
    assert len(images(answer.text)) == len(set(images(answer.text)))


@pytest.mark.parametrize(
    ("name", "file"),
    [("crystal", "NaCl.cif"), ("bond", "slab.cif"), ("image", "molecule.cif"), ("sheet", "sheet.cif")],
)  # fmt: skip
def test_a_call_is_shown_with_a_file_that_suits_the_model(hall: Any, name: str, file: str) -> None:
    text = hall.client.get(f"/models/{name}@1").text
    assert f"-F files=@{file} " in text
    assert f"client.predict(&quot;{file}&quot;, " in text


def test_a_page_tells_what_a_card_tells(hall: Any) -> None:
    put(
        hall.settings.state, "told", full(),
        metrics={"test": {"mae": 0.0625, "rmse": 0.1, "r2": 0.99}},
        baselines={"mean": {"mae": 0.625}, "forest": {"mae": 0.25}},
        elements_seen=(8, 22), notes=("Mind the gap.",), members=5,
        training=TrainingRecord(dataset="Some data", licence="CC BY 4.0", citation="A. Body, 2020",
                                split="80/10/10 at random", rows={"train": 1000, "test": 100},
                                division=Division(by="given", column="part", together="molecule"),
                                recipe="best", settings={"epochs": 300}, best_epoch=9),
        intervals=(Intervals(rows=90, levels=(0.5, 0.9), factors=(0.5, 1.5), judged=100),),
    )  # fmt: skip
    text = hall.client.get("/models/told@1").text
    for words in (
        "formation-energy-per-atom", "eV/atom", "0.0625", "75.0% smaller", "forest", "Some data", "CC BY 4.0",
        "A. Body, 2020", "80/10/10 at random", "training 1,000, test 100", "Mind the gap.", "O, Ti", "5 networks",
        "90 groups", "judged by", "by the best member", "model=told@1", "/v1/models/told/versions/1/file", "By 100 test rows, which it has never seen", "epochs",
    ):  # fmt: skip
        assert words in text, words
    kinds = [address.rsplit("/", 1)[1] for address in images(text)]
    assert {"parity.svg", "calibration.svg", "width.svg", "errors.svg", "a-site.svg"} <= set(kinds)


OLD = Learned(model="old@1", dataset="Old data", licence="MIT", citation="B. Ody, 2019", rows=500)
STARTED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        {"start_from": "old@1", "before": (OLD,)},
        ("which this training did not learn from; old@1, from which it started, may have seen them",
         "Learned before", "old@1: Old data, 500 rows, MIT, B. Ody, 2019"),
    ),
    ({"start_from": "older@2"}, ("older@2, from which it started, may have seen them",)),
    ({"start_from": "old@1", "before": ()}, ("which it has never seen",)),
    (
        {"start_from": "old@1", "before": (OLD,), "judged": True},
        ("from which nothing was learned here; old@1, whose weights these are", "Judged by", "Weights of",
         "to know its range by 100"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("record", "words"), STARTED)
def test_a_page_tells_what_a_model_may_know_of_the_rows_that_judge(
    hall: Any, record: dict[str, Any], words: tuple[str, ...]
) -> None:
    name = f"started-{STARTED.index((record, words))}"
    made = TrainingRecord(dataset="New data", rows={"train": 100, "test": 10}, **record)
    put(hall.settings.state, name, full(), metrics={"test": {"mae": 0.1}}, training=made)

    text = hall.client.get(f"/models/{name}@1").text

    assert ("which it has never seen" in text) is (words == ("which it has never seen",))
    assert not [each for each in words if each not in text]


def test_a_page_names_the_properties_without_intervals(hall: Any) -> None:
    targets = tuple(Target(property=name, unit="eV") for name in ("band-gap", "work-function"))
    known = Intervals(rows=90, levels=(0.5, 0.9), factors=(0.5, 1.5), judged=100)
    network = NetworkSettings(outputs=2)
    put(hall.settings.state, "sparse", targets=targets, network=network, intervals=(known, None))
    text = hall.client.get("/models/sparse").text
    assert "no intervals of work-function: " in text
    assert text.count("Each answer comes with an interval") == 1


def test_what_is_not_known_of_an_imported_model_is_said(hall: Any) -> None:
    text = hall.client.get("/models/bare").text
    for words in ("has no figures", "imported from elsewhere", "not known", "no intervals"):
        assert words in text


def test_a_strangers_words_stay_words(hall: Any) -> None:
    target = Target(property="band-gap", unit="eV")
    card = put(
        hall.settings.state, "hostile", full(), title=HOSTILE, notes=(HOSTILE,),
        targets=(target.model_copy(update={"property": HOSTILE, "unit": HOSTILE}),),
        baselines={HOSTILE: {"mae": 1.0}}, metrics={"test": {"mae": 0.1, f"mae:{HOSTILE}": 1.0}},
        training=TrainingRecord(dataset=HOSTILE, citation=HOSTILE, licence=HOSTILE, split=HOSTILE, recipe=HOSTILE,
                                settings={HOSTILE: HOSTILE}, rows={HOSTILE: 1}, device=HOSTILE,
                                libraries={HOSTILE: HOSTILE}, columns=(HOSTILE,), start_from=HOSTILE),
    )  # fmt: skip
    for path in ("/models/hostile", "/models"):
        text = hall.client.get(path).text
        assert "<script" not in text
        tags = Tags(text)
        assert tags.open == []
        assert not [each for each, _ in tags.attributes if each.startswith("on")]
    drawing = hall.client.get(f"/models/hostile@1/figures/{digest(card)}/parity.svg").text
    assert "<script" not in drawing


def digest(card: Card) -> str:
    assert card.figures_sha256
    return card.figures_sha256[:16]


def test_pages_run_nothing_and_load_nothing_from_elsewhere(hall: Any) -> None:
    for path in ("/models", "/models/crystal"):
        headers = hall.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_a_drawing_is_kept_for_ever_and_runs_nothing(hall: Any) -> None:
    address = images(hall.client.get("/models/crystal").text)[0]
    answer = hall.client.get(address)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "immutable" in answer.headers["cache-control"]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = hall.client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = hall.client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == answer.headers["etag"]


def test_a_page_that_has_not_changed_is_not_sent_again(hall: Any) -> None:
    for path in ("/models", "/models/crystal"):
        tag = hall.client.get(path).headers["etag"]
        assert hall.client.get(path, headers={"If-None-Match": tag}).status_code == 304
        assert hall.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
        assert hall.client.head(path).headers["etag"] == tag


@pytest.mark.parametrize(
    "file", ["weights.safetensors", "card.json", "..%2fcard.json", ".svg", "x.svg", "figures.json%00"]
)  # fmt: skip
def test_only_figures_are_handed_out(hall: Any, file: str) -> None:
    card = hall.client.get("/v1/models/crystal@1").json()["card"]
    address = f"/models/crystal@1/figures/{card['figures_sha256'][:16]}"
    assert hall.client.get(f"{address}/figures.json").json()["part"] == "test"
    assert hall.client.get(f"{address}/{file}").status_code == 404
    assert (
        hall.client.get("/models/crystal@1/figures/0123456789abcdef/parity.svg").status_code == 404
    )
    assert hall.client.get("/models/bare@1/figures//parity.svg").status_code == 404


def test_what_is_not_there_has_no_page(hall: Any) -> None:
    for path in ("nobody", "crystal@2", "crystal@prod", "a%00b", "%3Cscript%3E"):
        answer = hall.client.get(f"/models/{path}")
        assert answer.status_code == 404
        assert answer.json()["code"] in ("unknown_model", "not_found")


def test_models_are_listed_by_property_and_found_from_the_start(hall: Any) -> None:
    text = hall.client.get("/models").text
    assert "<h2>formation-energy-per-atom</h2>" in text
    for name in KINDS:
        assert f'href="/models/{name}"' in text
    assert 'href="/models"' in hall.client.get("/", headers=HTML).text


def test_damaged_figures_are_told_and_the_rest_is_shown(hall: Any) -> None:
    put(hall.settings.state, "damaged", full())
    (hall.settings.state / "models/damaged/1/figures.json").write_text("{}")
    answer = hall.client.get("/models/damaged")
    assert answer.status_code == 200
    assert "cannot be read" in answer.text
    assert images(answer.text) == []
    assert hall.client.get("/v1/models/damaged/elements").json()["code"] == "damaged_model"


def test_elements_come_as_tables_of_a_and_b(hall: Any) -> None:
    for name in ("crystal", "crystal@1"):
        body = hall.client.get(f"/v1/models/{name}/elements").json()
        assert (body["model"], body["kind"]) == ("crystal@1", "contributions")
        assert (body["structures"], body["perovskites"]) == (70, 60)
        [found] = body["properties"]
        assert found["unit"] == "eV/atom"
        assert [table["site"] for table in found["tables"]] == ["any", "A", "B"]
        assert found["tables"][1]["elements"][0] == {
            "element": "O", "mean": -2.5, "std": None, "n": 3,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [("mean-readout", "read-out `mean`"), ("classifier", "classifier"), ("bond", "bonds"), ("image", "images"),
     ("bare", "imported")],
)  # fmt: skip
def test_who_has_no_table_says_why_and_who_has_one(hall: Any, name: str, words: str) -> None:
    answer = hall.client.get(f"/v1/models/{name}/elements")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == "no_elements"
    assert words in body["detail"]
    assert "crystal" in body["hint"]


@pytest.fixture
def guarded(open_door: Callable[..., Any]) -> Iterator[Any]:
    """A service that needs keys."""
    with open_door(admin_key="a-secret-of-some-length") as door:
        put(door.settings.state, "ours", full())
        yield door


def test_with_keys_only_what_ships_is_shown_to_everybody(guarded: Any) -> None:
    address = f"/models/ours@1/figures/{'0' * 16}/parity.svg"
    for path in ("/models/ours", "/models/ours@1", "/models/nobody", address):
        answer = guarded.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert guarded.client.get("/models/formation-energy").status_code == 200
    text = guarded.client.get("/models").text
    assert "/models/ours" not in text
    assert "/models/ours" not in guarded.client.get("/", headers=HTML).text
    assert "more can be seen with a key" in text


def test_what_ships_stays_in_sight_when_a_version_of_it_is_made_here(guarded: Any) -> None:
    put(guarded.settings.state, "formation-energy", full(), version=7, title="A secret")
    for path in ("/models/formation-energy", "/models/formation-energy@1"):
        answer = guarded.client.get(path)
        assert answer.status_code == 200
        assert "formation-energy@1" in answer.text
        assert "formation-energy@7" not in answer.text
    assert "/models/formation-energy" in guarded.client.get("/models").text
    for hidden in ("@7", "@8"):
        assert guarded.client.get(f"/models/formation-energy{hidden}").status_code == 401
    key = {"Authorization": "Bearer a-secret-of-some-length"}
    assert "A secret" in guarded.client.get("/models/formation-energy", headers=key).text


def test_a_browser_gives_its_key_as_a_password(guarded: Any) -> None:
    for secret, status in (("a-secret-of-some-length", 200), ("another", 401)):
        coded = base64.b64encode(f"me:{secret}".encode()).decode()
        for header in (f"Basic {coded}", f"Bearer {secret}"):
            answer = guarded.client.get("/models/ours", headers={"Authorization": header})
            assert answer.status_code == status
    assert guarded.client.get("/models", headers={"Authorization": "Basic !"}).status_code == 401
    only_pages = guarded.client.get("/v1/models", headers={"Authorization": f"Basic {coded}"})
    assert only_pages.status_code == 401
