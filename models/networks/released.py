"""The published code's network in terms of ours: sizes, and the names of its weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.errors import BadCheckpoint
from models.graphs.elements import COLUMNS

State = dict[str, Tensor]

# Bounds on what is built; far beyond anything published.
LARGEST = {"atom_fea_len": 1024, "n_conv": 16, "h_fea_len": 4096, "n_h": 8, "edge": 512}
NORMS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a published network."""

    width: int
    convolutions: int
    edge_width: int
    hidden_width: int
    hidden_layers: int
    outputs: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight that there must be."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, rows, columns in self._layers():
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (rows, columns), (rows,)
        for at in range(self.convolutions):
            for norm, rows in (("bn1", 2 * self.width), ("bn2", self.width)):
                shapes |= {f"convs.{at}.{norm}.{each}": (rows,) for each in NORMS}
        return shapes

    def _layers(self) -> Iterator[tuple[str, int, int]]:
        yield "embedding", self.width, COLUMNS
        for at in range(self.convolutions):
            yield f"convs.{at}.fc_full", 2 * self.width, 2 * self.width + self.edge_width
        yield "conv_to_fc", self.hidden_width, self.width
        for at in range(self.hidden_layers - 1):
            yield f"fcs.{at}", self.hidden_width, self.hidden_width
        yield "fc_out", self.outputs, self.hidden_width


def layout_of(state: State) -> Layout:
    """The sizes that the weights themselves show. Raises: BadCheckpoint."""
    embedding = _shape(state, "embedding.weight")
    if embedding[1] != COLUMNS:
        raise BadCheckpoint(
            f"This network was trained with another table of elements: {embedding[1]} columns.",
            expected=f"orig_atom_fea_len {COLUMNS}, the columns of the published atom_init.json",
            got=f"orig_atom_fea_len {embedding[1]}",
            hint="Train again with the published atom_init.json; tables of one's own cannot be used.",
        )
    width = embedding[0]
    layout = Layout(
        width=width,
        convolutions=_count(state, "convs"),
        edge_width=_shape(state, "convs.0.fc_full.weight")[1] - 2 * width,
        hidden_width=_shape(state, "conv_to_fc.weight")[0],
        hidden_layers=1 + _count(state, "fcs"),
        outputs=_shape(state, "fc_out.weight")[0],
    )
    _check_bounds(layout)
    return layout


def checked(state: State, layout: Layout) -> State:
    """Exactly the weights there must be, as dense float32. Raises: BadCheckpoint."""
    shapes = layout.shapes()
    surplus = sorted(state.keys() - shapes.keys())
    if surplus:
        raise _foreign(f"the weight {surplus[0][:80]}")
    return {name: _dense(state, name, shape) for name, shape in shapes.items()}


def renamed(state: State, layout: Layout) -> State:
    """The same weights under our names; `fc_full` split into its three factors."""
    ours = {f"embedding.{each}": state[f"embedding.{each}"] for each in ("weight", "bias")}
    width = layout.width
    for at in range(layout.convolutions):
        old, new = f"convs.{at}", f"convolutions.{at}"
        full = state[f"{old}.fc_full.weight"]
        ours[f"{new}.site.weight"] = full[:, :width]
        ours[f"{new}.neighbour.weight"] = full[:, width : 2 * width]
        ours[f"{new}.edge.weight"] = full[:, 2 * width :]
        ours[f"{new}.site.bias"] = state[f"{old}.fc_full.bias"]
        for theirs, norm in (("bn1", "gate_norm"), ("bn2", "sum_norm")):
            ours |= {f"{new}.{norm}.{each}": state[f"{old}.{theirs}.{each}"] for each in NORMS}
    hidden = ["conv_to_fc", *(f"fcs.{at}" for at in range(layout.hidden_layers - 1))]
    for at, old in enumerate(hidden):
        ours |= {
            f"readout.hidden.{at}.{each}": state[f"{old}.{each}"] for each in ("weight", "bias")
        }
    return ours | {f"readout.out.{each}": state[f"fc_out.{each}"] for each in ("weight", "bias")}


def _count(state: State, kind: str) -> int:
    numbers = {name.split(".")[1] for name in state if name.startswith(f"{kind}.")}
    return len(numbers)


def _shape(state: State, name: str) -> tuple[int, int]:
    if name not in state:
        raise _foreign(f"no {name}")
    shape = tuple(state[name].shape)
    if len(shape) != 2:
        raise _foreign(f"{name} of shape {shape}")
    return shape[0], shape[1]


def _check_bounds(layout: Layout) -> None:
    sizes = {
        "atom_fea_len": layout.width,
        "n_conv": layout.convolutions,
        "h_fea_len": layout.hidden_width,
        "n_h": layout.hidden_layers,
        "edge": layout.edge_width,
    }
    for name, size in sizes.items():
        if not 1 <= size <= LARGEST[name]:
            raise BadCheckpoint(
                f"The network's {name} is out of bounds.",
                expected=f"1 to {LARGEST[name]}",
                got=str(size),
            )


def _dense(state: State, name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in state:
        raise _foreign(f"no {name}")
    value = state[name]
    if tuple(value.shape) != shape:
        raise BadCheckpoint(
            f"{name} does not fit the rest of the network.",
            expected=str(shape),
            got=str(tuple(value.shape)),
        )
    if value.layout != torch.strided or not value.dtype.is_floating_point or value.is_meta:
        raise BadCheckpoint(
            f"{name} is no dense tensor of floats.", expected="float32", got=str(value.dtype)
        )
    # The shape is bounded by now; what repeats few numbers over it is unrolled here.
    dense = value.detach().to(torch.float32, copy=True).contiguous()
    if not torch.isfinite(dense).all():
        raise BadCheckpoint(f"{name} holds numbers that are not finite.")
    if name.endswith("running_var") and (dense < 0).any():
        raise BadCheckpoint(f"{name} holds negative variances.")
    return dense


def _foreign(got: str) -> BadCheckpoint:
    return BadCheckpoint(
        "These are not the weights of the published CGCNN network.",
        expected="embedding, convs, conv_to_fc, fcs, fc_out",
        got=got,
        hint="Networks of other codes, or changed ones, cannot be read.",
    )
