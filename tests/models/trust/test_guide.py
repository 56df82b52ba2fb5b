"""Guides of all families: made, kept, read, and what they say of strange structures."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load as unpacked
from safetensors.numpy import save as packed

from models.errors import DamagedModel
from models.graphs.graph import Graph
from models.infer import Resident
from models.samples import featurise
from models.settings.image import ImageSettings
from models.structures.structure import Structure
from models.trust import fitting, gauge, space
from models.trust.building import _relative
from models.trust.domain import MEMORY, SIGNS, Known, Words, _thinned, _unlike
from models.trust.files import GUIDE, LARGEST, STRUCTURES, arrays, load, save
from models.trust.geometry import geometry
from models.trust.guide import HARDER, Guide, Seen
from models.trust.rows import errors
from models.trust.space import AXES

FAMILIES = ("crystal", "site", "bond", "image")
Build = Callable[..., Any]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("members", [1, 2])
def test_every_number_has_a_difficulty(build: Build, family: str, members: int) -> None:
    case = build(family, members=members)
    answers = case.resident.answer(case.data.samples[:7], neighbours=True)
    for answer in answers:
        told = len(answer.values) // 2 if family == "bond" else len(answer.values)
        assert len(answer.trust.difficulty) == told
        assert min(answer.trust.difficulty) > 0
        assert len(answer.trust.nearest) == 5
        assert (answer.trust.score > 1) == bool(answer.trust.reasons)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kept_guide_says_the_same(build: Build, family: str, tmp_path: Path) -> None:
    case = build(family, members=2)
    card = case.card.model_copy(update={"guide_sha256": save(tmp_path, case.trust.guide)})
    guide = load(tmp_path, card)
    assert guide is not None
    again = type(case.resident)(card, case.networks, case.resident.device, guide=guide)
    samples = case.data.samples[:9]
    for one, other in zip(case.resident.answer(samples), again.answer(samples), strict=True):
        assert one.trust.difficulty == pytest.approx(other.trust.difficulty, rel=1e-3)
        assert one.trust.score == pytest.approx(other.trust.score, rel=1e-3)
    assert (tmp_path / GUIDE).stat().st_size < 2_000_000


@pytest.mark.parametrize("family", ["crystal", "site"])
def test_what_was_kept_together_has_one_vote(build: Build, family: str) -> None:
    groups = np.arange(90) // 9  # of three validation rows each
    alone, together = (
        build(family).card.intervals[0],
        build(family, groups=groups).card.intervals[0],
    )
    assert alone.rows > together.rows == 10
    assert together.highest == pytest.approx(10 / 11)
    assert together.judged == alone.judged
    assert build(family, groups=np.arange(90) // 10).card.intervals is None


def test_company_does_not_matter(build: Build) -> None:
    case = build("crystal")
    ask = case.resident.answer
    together = ask(case.data.samples, neighbours=True)
    alone = [ask([each], neighbours=True)[0] for each in case.data.samples]
    for one, other in zip(together, alone, strict=True):
        assert one.trust.score == pytest.approx(other.trust.score, rel=1e-7)
        assert one.trust.difficulty == pytest.approx(other.trust.difficulty, rel=1e-9)
        for near, same in zip(one.trust.nearest, other.trust.nearest, strict=True):
            assert near.distance == pytest.approx(same.distance, abs=1e-7)


def test_several_targets_have_an_interval_each(build: Build) -> None:
    case = build("crystal", targets=2)
    assert case.trust.intervals is not None
    # Of the last target every fifth label is missing.
    assert [each.rows for each in case.trust.intervals] == [30, 24]
    assert len(case.resident.answer(case.data.samples[:1])[0].trust.difficulty) == 2


def test_a_target_of_few_labels_takes_no_intervals_from_another(build: Build) -> None:
    case = build("crystal", targets=2, rows=30)  # of ten validation rows two without the last
    assert [each and each.rows for each in case.trust.intervals] == [10, None]
    assert case.trust.result()["intervals"][1] is None
    widths = case.trust.half_widths("test", (0.8,))[0.8]
    assert np.isfinite(widths).all(0).tolist() == [True, False]


def test_too_few_rows_have_no_intervals(build: Build) -> None:
    case = build("crystal", rows=24)
    assert case.trust.intervals is None
    answer = case.resident.answer(case.data.samples[:1])[0]
    assert answer.trust.difficulty == ()
    assert answer.trust.score >= 0


def test_coverage_is_measured_on_test_rows(build: Build) -> None:
    told = build("site").trust.intervals[0]
    assert told.judged == 30
    assert set(told.coverage) == {"0.5", "0.8", "0.9", "0.95"}
    assert told.coverage["0.9"] > 0.7


def changed(structure: Structure, **parts: Any) -> Structure:
    old = {name: getattr(structure, name) for name in ("name", "lattice", "numbers", "fractional")}
    return Structure(**{**old, **parts})


@pytest.fixture
def salt() -> Structure:
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = np.concatenate([corners, (corners + 0.5) % 1])
    return Structure("salt", np.eye(3) * 5.0, np.array([3] * 4 + [17] * 4, np.uint8), sites)


def trust(case: Any, structure: Structure) -> Any:
    return case.resident.answer([case.sample(structure)])[0].trust


def test_an_element_never_seen_is_told(build: Build, salt: Structure) -> None:
    numbers = salt.numbers.copy()
    numbers[:2] = 43
    found = trust(build("crystal"), changed(salt, numbers=numbers))
    assert found.score > 1
    assert "2 sites of Tc, which none of the 30 training crystals holds." in found.reasons


def test_elements_are_those_of_all_training_rows_however_few_are_looked_at(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "TAUGHT", 3)  # so that one of the four metals at least is missed
    case = build("crystal")
    told = case.trust.domain
    assert told.rows == 30
    assert told.elements["Cl"] == sum(told.elements[each] for each in ("Li", "Na", "K", "Mg")) == 30
    assert len(case.trust.guide.space.kept) == 3


def test_what_is_like_the_training_rows_has_no_reason(build: Build, salt: Structure) -> None:
    assert trust(build("crystal"), salt).reasons == ()


@pytest.mark.parametrize("val", [True, False])
def test_few_rows_to_choose_by_do_not_blind_or_alarm_it(build: Build, *, val: bool) -> None:
    case = build("crystal", val=val)
    assert case.trust.guide.limits.whole < 2
    assert case.trust.domain.flagged["test"] < 0.2


def test_heights_that_no_training_image_has_are_told(build: Build) -> None:
    case = build("image")
    one = case.data.samples[0]
    tall = case.resident.answer([replace(one, thick=True)])[0].trust
    assert any("It is not flat" in reason for reason in tall.reasons)
    assert case.resident.answer([one])[0].trust.reasons == ()


def test_a_guide_of_before_these_signs_were_kept_has_none_of_them(
    build: Build, tmp_path: Path
) -> None:
    case = build("image")
    kept = {name: np.ascontiguousarray(each) for name, each in arrays(case.trust.guide).items()}
    for name in ("known.kinds", "known.alone", "known.tall"):
        del kept[name]
    data = packed(kept)
    (tmp_path / GUIDE).write_bytes(data)
    card = case.card.model_copy(update={"guide_sha256": hashlib.sha256(data).hexdigest()})
    old = type(case.resident)(card, case.networks, case.resident.device, guide=load(tmp_path, card))
    tall = replace(case.data.samples[0], thick=True)
    assert old.answer([tall])[0].trust.reasons == ()


@pytest.mark.parametrize(("score", "times"), [(0.5, 1), (1.0, 1), (3.0, 3), (1e6, HARDER)])
def test_outside_of_the_domain_answers_are_as_many_times_harder(
    build: Build, monkeypatch: pytest.MonkeyPatch, score: float, times: float
) -> None:
    case = build("crystal")
    guide, within = case.trust.guide, difficulty(case, case.trust.guide)
    usual = errors(guide, case.data, case.trust.parts["val"], 0)
    monkeypatch.setattr(Guide, "scores", lambda _, seen: ({}, np.full(len(seen), score)))
    monkeypatch.setattr(Words, "of", lambda *_: ())
    assert difficulty(case, guide) == pytest.approx(np.multiply(within, times))
    found = errors(guide, case.data, case.trust.parts["val"], 0)
    np.testing.assert_allclose(found.errors * times, usual.errors * usual.beyond)


def test_of_images_all_that_are_kept_are_searched_and_their_errors_count(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "SEARCHED", 20)
    case = build("image", targets=2)
    guide = case.trust.guide
    assert guide.seen.errors.shape == (30, 2)
    assert guide.look(case.data.samples, features(case), None).which.max() >= 20
    weights = np.eye(9)[-2] / 2  # the last column but the kinds'
    minded = replace(
        guide, difficulties=tuple(replace(each, weights=weights) for each in guide.difficulties)
    )
    worse = replace(minded, seen=replace(guide.seen, errors=guide.seen.errors * [1, 2]))

    (one, other), (same, harder) = difficulty(case, minded), difficulty(case, worse)

    assert same == one
    assert harder > other


def test_a_training_structure_is_not_called_unlike_all_others(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = build("crystal")
    guide, last = case.trust.guide, case.trust.guide.space.kept[-1:]
    guide.space.kept[-1] = last + 1e3  # far from all others
    monkeypatch.setattr(space, "SEARCHED", 20)
    monkeypatch.setattr(type(guide.space), "places", lambda self, _: self.kept[-1:])

    looked = guide.look(case.data.samples[:1], torch.zeros(1, 16), np.zeros((1, 2)))

    assert looked.distance.min() > 100
    assert looked.terms["features"].tolist() == [0.0]


def test_distances_of_which_there_are_many_are_kept_without_gaps() -> None:
    chance = np.random.default_rng(0)
    many = np.concatenate([chance.uniform(1, 1.1, 20_000), chance.uniform(1.1, 3, 1_000)])
    found = _thinned(many)
    assert (len(found), found[0], found[-1]) == (MEMORY, many.min(), many.max())
    right = np.clip(np.searchsorted(found, many), 1, MEMORY - 1)
    gaps = np.minimum(np.abs(many - found[right - 1]), np.abs(many - found[right]))
    assert gaps.max() < 2 / (MEMORY // 2) / 2
    assert set(_thinned(np.array([1.5, 2.5])).tolist()) == {1.5, 2.5}
    assert set(_thinned(np.array([1.5])).tolist()) == {1.5}


def test_a_guide_of_images_as_they_were_before_is_read(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "SEARCHED", 20)
    case = build("image")

    def change(found: dict[str, Any]) -> None:
        del found["seen.errors"]
        for name in ("centre", "scale", "weights"):
            found[f"difficulty.{name}"] = np.delete(found[f"difficulty.{name}"], -2, axis=1)
        for name in ("low", "high"):
            found[f"known.{name}"] = getattr(case.trust.guide.known, name)

    guide = load(tmp_path, kept(case, tmp_path, change))

    assert guide is not None
    assert guide.look(case.data.samples, features(case), None).which.max() < 20
    assert np.isfinite(difficulty(case, guide)).all()
    assert (guide.known.low == case.trust.guide.known.low).all()


def features(case: Any) -> torch.Tensor:
    answers = case.resident.answer(case.data.samples, features=True)
    return torch.tensor([each.features for each in answers])


def difficulty(case: Any, guide: Guide) -> tuple[float, ...]:
    """Of the first row's answer by this guide."""
    resident = type(case.resident)(case.card, case.networks, case.resident.device, guide=guide)
    found: tuple[float, ...] = resident.answer(case.data.samples[:1])[0].trust.difficulty
    return found


def test_errors_are_relative_to_those_of_all() -> None:
    found = _relative(np.array([[-1.0, 0.0], [3.0, 0.0], [np.nan, 0.0]]))
    assert found.tolist() == [[0.5, 0.0], [1.5, 0.0], [1.0, 0.0]]


def test_a_reason_tells_two_numbers_apart() -> None:
    assert _unlike(0.0541, 0.0539, ".1%") == ("5.41%", "5.39%")
    assert _unlike(1.04, 1.0, ".1f") == ("1.04", "1.00")
    assert _unlike(0.3, 0.1, ".2f") == ("0.30", "0.10")


def doubled(salt: Structure) -> Structure:
    return changed(
        salt,
        lattice=salt.lattice * [[2], [1], [1]],
        numbers=np.tile(salt.numbers, 2),
        fractional=np.concatenate([salt.fractional, salt.fractional + np.eye(3)[0]]) / [2, 1, 1],
    )


def test_more_sites_than_any_are_told(build: Build, salt: Structure) -> None:
    double = doubled(salt)
    numbers = double.numbers.copy()
    numbers[0] = 11  # one lithium is a sodium: nothing repeats

    found = trust(build("crystal"), changed(double, numbers=numbers))

    assert "It has 16 sites; the training crystals have 8." in found.reasons


def test_a_crystal_is_as_large_in_every_cell(build: Build, salt: Structure) -> None:
    primitive = changed(
        salt,
        lattice=np.array([[0, 2.5, 2.5], [2.5, 0, 2.5], [2.5, 2.5, 0]]),
        numbers=np.array([3, 17], np.uint8),
        fractional=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
    )
    case = build("crystal")
    assert trust(case, doubled(salt)).reasons == trust(case, primitive).reasons == ()


def test_other_numbers_of_elements_than_any_are_told(build: Build, salt: Structure) -> None:
    found = trust(build("crystal"), changed(salt, numbers=np.full(8, 17, np.uint8)))
    assert "It holds 1 element; the training crystals hold 2." in found.reasons


def test_an_element_alone_is_told_when_its_distances_are_others() -> None:
    seen = geometry([atom(6, 1.42), atom(26, 2.5), atom(22, 2.9, 8)])
    known = Known.learned(seen, [np.array([6]), np.array([26]), np.array([22, 8])])
    others = geometry([atom(6, 1.44), atom(6, 1.545), atom(22, 2.9)])

    assert known.hard(others, pictures=False).tolist() == pytest.approx([0, 1.688, 0], abs=1e-3)


def atom(number: int, distance: float, *others: int) -> Graph:
    """One on its own lattice, or a chain of several."""
    numbers = np.array([number, *others], np.uint8)
    ones = np.ones(len(numbers), np.int32)
    next_one = (np.arange(len(numbers), dtype=np.int32) + 1) % len(numbers)
    return Graph(numbers, ones, next_one, np.full(len(numbers), distance, np.float32))


def test_too_short_distances_are_told(build: Build, salt: Structure) -> None:
    found = trust(build("crystal"), changed(salt, lattice=salt.lattice * 0.8))
    assert found.score > 1
    assert any(
        "Li" in each and "2.00 Å from its nearest neighbour, Cl" in each for each in found.reasons
    )


def test_signs_that_are_strange_only_together_are_told_so(build: Build) -> None:
    case = build("crystal")
    one = geometry(case.data.samples[:1])
    scaled = {"apart": np.array([0.0]), "features": np.array([0.9]), "uneven": np.array([0.97])}
    guide = case.trust.guide
    (said,) = Words(guide.known, guide.limits, one, {}, scaled, "crystals").of(0)
    assert said.startswith("No sign alone is beyond what is usual")
    assert said.endswith(f"{SIGNS['uneven']} and {SIGNS['features']}.")


def test_an_image_beyond_the_seen_range_is_told(build: Build) -> None:
    case = build("image")
    far = np.array([[0.5, 0.5, 0.5], [0.85, 0.5, 0.5]])
    found = trust(case, Structure("far", np.eye(3) * 10, np.array([1, 1], np.uint8), far))
    assert found.score > 1
    assert any(
        each.startswith("The shortest distance of two atoms is 3.50 Å") for each in found.reasons
    )
    three = np.array([[0.5, 0.5, 0.5], [0.65, 0.5, 0.5], [0.5, 0.65, 0.5]])
    found = trust(case, Structure("three", np.eye(3) * 10, np.array([1] * 3, np.uint8), three))
    assert "It has 3 sites; the training images have 2." in found.reasons


def test_an_atom_alone_has_no_strange_distance(build: Build) -> None:
    found = trust(build("image"), Structure("one", np.eye(3) * 10, np.array([1]), np.zeros((1, 3))))
    assert found.reasons[0] == "It has 1 site; the training images have 2."
    assert not any("0.00" in reason for reason in found.reasons)
    sheet = Structure("c", np.diag([1.4, 2.5, 20.0]), np.array([6]), np.zeros((1, 3)))
    wanted = ImageSettings(box="cell", pixels=16)
    box = featurise(sheet, wanted)
    assert geometry([box]).nearest.tolist() == [pytest.approx(1.4)]


def test_sites_with_hardly_any_neighbour_in_reach_are_judged_alone_too(build: Build) -> None:
    found = trust(
        build("crystal"), Structure("far", np.eye(3) * 7.9, np.array([3]), np.zeros((1, 3)))
    )
    assert found.score > 1
    assert "It holds 1 element; the training crystals hold 2." in found.reasons


def test_the_largest_guide_there_may_be_can_be_read(build: Build) -> None:
    guide = build("image").trust.guide
    words, many = ["氯" * 80] * STRUCTURES, np.zeros((STRUCTURES, 64))
    places = replace(guide.space, kept=torch.zeros(STRUCTURES, AXES))
    full = replace(guide, space=places, seen=Seen(words, words, many, many))
    assert sum(each.nbytes for each in arrays(full).values()) < LARGEST - 10_000


def test_the_nearest_of_a_training_row_is_itself(build: Build) -> None:
    case = build("crystal")
    row = int(case.parts.train[4])
    near = case.resident.answer([case.data.samples[row]], neighbours=True)[0].trust.nearest
    assert near[0].name == f"salt-{row}"
    assert near[0].distance == pytest.approx(0, abs=0.02)
    assert near[0].labels == (pytest.approx(case.data.labels.values[row, 0]),) or near[
        0
    ].labels == (None,)


def kept(case: Any, folder: Path, change: Callable[[dict[str, Any]], object]) -> Any:
    """The card of a guide that someone has changed, and hashed anew."""
    found = arrays(case.trust.guide)
    change(found)
    data = packed({name: np.ascontiguousarray(each) for name, each in found.items()})
    (folder / GUIDE).write_bytes(data)
    return case.card.model_copy(update={"guide_sha256": hashlib.sha256(data).hexdigest()})


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an array is missing": (lambda found: found.pop("space.turn"), "no space.turn"),
    "an array is surplus": (lambda found: found.update(more=np.zeros(3)), "belongs to no guide"),
    "another shape": (lambda found: found.update({"known.low": np.zeros((3, 3))}), "expected"),
    "another type": (lambda found: found.update({"known.rows": np.ones(1)}), "expected"),
    "not finite": (lambda found: found.update(rest=np.array([np.nan, 0])), "impossible|finite"),
    "another network": (lambda found: found.update({"space.mean": np.zeros(5)}), "expected"),
    "negative weights": (
        lambda found: found.update({"difficulty.weights": -found["difficulty.weights"] - 1}), "impossible",
    ),
    "too few names": (lambda found: found.update({"seen.names": np.zeros(3, np.uint8)}), "tells 1 of 30"),
    "no limits": (lambda found: found.pop("limits.features"), "no limits.features"),
    "a gauge without a width": (
        lambda found: found.update({"gauge.embedding.bias": np.zeros((2, 3), np.float32)}), "no width of the gauge",
    ),
    "errors of some": (lambda found: found.update({"seen.errors": np.ones((3, 1))}), "expected"),
    "half a gauge": (lambda found: found.pop("limits.stretch"), "do not belong together"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_guide_is_refused(build: Build, tmp_path: Path, what: str) -> None:
    change, said = HOSTILE[what]
    card = kept(build("crystal"), tmp_path, change)
    with pytest.raises(DamagedModel, match=said):
        load(tmp_path, card)


def test_a_smaller_gauge_as_there_were_is_read(build: Build, tmp_path: Path) -> None:
    smaller = gauge.weights(gauge.build(gauge.GaugeSettings(convolutions=1, width=32)))
    case = build("crystal")

    def change(found: dict[str, Any]) -> None:
        for name in [name for name in found if name.startswith("gauge.")]:
            del found[name]
        found.update({f"gauge.{name}": each.numpy() for name, each in smaller.items()})

    guide = load(tmp_path, kept(case, tmp_path, change))

    assert guide is not None
    strains = guide.strains(case.data.samples[:3])
    assert strains is not None
    assert np.isfinite(strains).all()


def test_a_gauge_of_crystals_is_none_of_images(build: Build, tmp_path: Path) -> None:
    crystals = arrays(build("crystal").trust.guide)
    names = [name for name in crystals if name.startswith("gauge.") or name == "limits.stretch"]
    more = {name: crystals[name] for name in names}
    card = kept(build("image"), tmp_path, lambda found: found.update(more))
    with pytest.raises(DamagedModel, match="do not belong together"):
        load(tmp_path, card)


def test_whatever_a_guide_holds_it_answers_with_short_names_and_finite_numbers(
    build: Build, tmp_path: Path
) -> None:
    def change(found: dict[str, Any]) -> None:
        found["seen.names"] = np.frombuffer("\n".join(["x" * 9_000] * 30).encode(), np.uint8)
        found["difficulty.weights"] = np.full_like(found["difficulty.weights"], 100.0)
        found["space.mean"] = np.full(16, 1e300)

    case = build("crystal")
    guide = load(tmp_path, kept(case, tmp_path, change))
    model = Resident(case.card, case.networks, case.resident.device, guide=guide)
    told = model.answer(case.data.samples[:3], neighbours=True)
    for each in told:
        assert np.isfinite([each.trust.score, *each.trust.difficulty]).all()
        assert all(np.isfinite(near.distance) for near in each.trust.nearest)
        assert all(len(near.name) <= 80 for near in each.trust.nearest)


def test_a_guide_that_is_another_or_none_or_no_guide_is_refused(
    build: Build, tmp_path: Path
) -> None:
    case = build("crystal")
    card = case.card.model_copy(update={"guide_sha256": save(tmp_path, case.trust.guide)})
    with pytest.raises(DamagedModel, match="not the one"):
        load(tmp_path, card.model_copy(update={"guide_sha256": "0" * 64}))
    data = b"\xff" * 100
    (tmp_path / GUIDE).write_bytes(data)
    with pytest.raises(DamagedModel):
        load(tmp_path, card.model_copy(update={"guide_sha256": hashlib.sha256(data).hexdigest()}))
    (tmp_path / GUIDE).write_bytes(bytes(LARGEST + 1))
    with pytest.raises(DamagedModel, match="larger than any"):
        load(tmp_path, card)
    (tmp_path / GUIDE).unlink()
    with pytest.raises(DamagedModel, match="cannot be read"):
        load(tmp_path, card)


def test_a_model_without_a_guide_has_none(build: Build, tmp_path: Path) -> None:
    assert Guide.load(tmp_path, build("crystal").card) is None


def test_what_is_written_is_read_as_it_was(build: Build, tmp_path: Path) -> None:
    case = build("bond")
    save(tmp_path, case.trust.guide)
    assert unpacked((tmp_path / GUIDE).read_bytes()).keys() == arrays(case.trust.guide).keys()
