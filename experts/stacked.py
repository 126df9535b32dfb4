"""One layer's adapters, stacked: the updates of all experts in two batched products.

Knows rows, groups of rows and low-rank factors. Does not know models, folders or what an expert is for.

Naive form, which a test compares: for every row, `output += scaling · B_k A_k input` with the factors of its expert.
Here the rows of one expert lie together, so that the groups are views and the base's weights are read once for all.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Where each expert's rows lie.

    Args:
        base_rows: How many rows come first and get no update.
        names: The G experts that have rows, in the order of their groups.
        counts: How many rows each group has; n is the largest.
        spread: (G · n,) row of each place when all groups are padded to n rows, whose padding repeats a row.
        places: (sum of counts,) place of each row in that padded form.
    """

    base_rows: int
    names: tuple[str, ...]
    counts: tuple[int, ...]
    spread: Tensor
    places: Tensor

    @classmethod
    def of(cls, experts: Sequence[int], names: Sequence[str], device: torch.device) -> "Layout":
        """Lays out rows by their sorted expert indices, -1 for the base."""
        sizes = Counter(experts)
        base_rows = sizes.pop(-1, 0)
        counts = tuple(sizes.values())
        widest, starts = max(counts, default=0), accumulate(counts, initial=0)
        places = [group * widest + row for group, count in enumerate(counts) for row in range(count)]
        # Padding repeats a group's last row; whatever it computes is dropped.
        rows = zip(starts, counts, strict=False)
        spread = [start + min(row, count - 1) for start, count in rows for row in range(widest)]
        tensors = (torch.tensor(indices, dtype=torch.long, device=device) for indices in (spread, places))
        return cls(base_rows, tuple(names[index] for index in sizes), counts, *tensors)

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return self.base_rows + sum(self.counts)

    def add_update(self, output: Tensor, inputs: Tensor, down: Tensor, up: Tensor) -> None:
        """Adds `inputs @ down @ up` of each group to the output, in place.

        Args:
            output: (R, ..., out).
            inputs: (R, ..., in).
            down: (G, in, r).
            up: (G, r, out).
        """
        asked, target = inputs[self.base_rows :].to(down.dtype), output[self.base_rows :]
        if self._even and target.dtype == up.dtype and target.is_contiguous():
            groups = target.view(len(self.counts), -1, target.shape[-1])  # (G, n·T, out)
            groups.baddbmm_(torch.bmm(self._grouped(asked), down), up)
        elif self._even:
            target.add_(torch.bmm(torch.bmm(self._grouped(asked), down), up).view(target.shape))
        elif asked.shape[:-1].numel() > sum(self.counts):
            # Several tokens per row: products per group outweigh their calls, and slices need no copy and no padding.
            groups_apart = zip(asked.split(self.counts), down, up, strict=True)
            target.add_(torch.cat([rows @ group_down @ group_up for rows, group_down, group_up in groups_apart]))
        else:
            padded = torch.bmm(torch.bmm(self._grouped(asked.index_select(0, self.spread)), down), up)
            target.add_(padded.flatten(0, 1).index_select(0, self.places).view(target.shape))

    @property
    def _even(self) -> bool:
        """Whether groups are views of the rows."""
        # Not a cached property: a compiled pass cannot enter the lock that one has.
        return len(set(self.counts)) == 1

    def _grouped(self, rows: Tensor) -> Tensor:
        """Rows (G·n, ..., in) as groups (G, n·T, in), a view."""
        return rows.reshape(len(self.counts), -1, rows.shape[-1])


class Routing:
    """Which rows belong to whom in the forward pass that is running; None outside of one. One thread at a time."""

    def __init__(self) -> None:
        """Starts outside of any forward pass, without layers."""
        self.layout: Layout | None = None
        self.layers: list[StackedAdapter] = []
        self._versions: list[int] = []

    @contextmanager
    def along(self, layout: Layout) -> Iterator[None]:
        """Routes the rows of one forward pass.

        Factors are stacked before the pass and not in it, so that a compiled pass holds nothing but products.
        """
        factors = [factor for layer in self.layers for factor in layer.factors]
        learning = torch.is_grad_enabled() and any(factor.requires_grad for factor in factors)
        versions = [] if learning else [_version(factor) for factor in factors]
        changed, self._versions = versions != self._versions, versions  # asked once, not in every layer
        try:
            for layer in self.layers:
                layer.prepare(layout.names, learning, changed)
            self.layout = layout
            yield
        finally:
            self.layout = None
            for layer in self.layers:
                layer.release()


class StackedAdapter(nn.Module):
    """The low-rank factors of every expert for one linear layer.

    Parameters belong to each expert separately, so that optimisers keep them apart; they are stacked for the forward
    pass only. The stack is kept between forward passes while no gradient is wanted and no parameter has changed.

    Args:
        routing: Shared by all layers of a bank.
    """

    def __init__(self, routing: Routing) -> None:
        """Starts without any expert."""
        super().__init__()
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        self.scalings: dict[str, float] = {}
        self._routing = routing
        routing.layers.append(self)
        self._kept: tuple[tuple[str, ...], tuple[Tensor, Tensor]] | None = None
        self._ready: tuple[Tensor, Tensor] | None = None  # (G, in, r), (G, r, out)

    def add(self, name: str, down: Tensor, up: Tensor, scaling: float) -> None:
        """Takes in an expert's factors, `down` (r, in) and `up` (out, r)."""
        self.down[name] = nn.Parameter(down)
        self.up[name] = nn.Parameter(up)
        self.scalings[name] = scaling
        self._kept = None

    def remove(self, name: str) -> None:
        """Lets go of an expert's factors."""
        del self.down[name], self.up[name], self.scalings[name]
        self._kept = None

    def update(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """A forward hook: adds each expert's update to its rows of the layer's output (R, T, out).

        Raises:
            ValueError: If the layer does not keep one leading entry per row.
        """
        if self._ready is None:
            return output
        layout = self._routing.layout
        assert layout is not None  # factors are ready within a routed pass only
        if output.shape[0] != layout.rows:
            raise ValueError(
                f"a layer with adapters must be given {layout.rows} rows, got {output.shape[0]}: "
                "layers that regroup tokens (such as routed experts) cannot be adapted"
            )
        if torch.is_grad_enabled() and output._is_view():
            # Quantised layers give views out of functions of their own, whose gradient an addition in place would lose.
            output = output.clone()
        layout.add_update(output, inputs[0], *self._ready)
        return output

    @property
    def factors(self) -> list[nn.Parameter]:
        """Everything that it holds."""
        # Not `parameters()`: walking the module tree in every layer and step costs as much as a small base itself.
        return [*self.down._parameters.values(), *self.up._parameters.values()]  # type: ignore[list-item]  # all are there

    def prepare(self, names: tuple[str, ...], learning: bool, changed: bool) -> None:
        """Stacks the factors of these experts for the pass that follows, if one of them adapts this layer.

        Args:
            names: The experts that have rows.
            learning: Whether gradients are wanted: such a stack is not kept.
            changed: Whether parameters are others than in the pass before.
        """
        if learning or changed:
            self._kept = None
        self._ready = None if self.down.keys().isdisjoint(names) else self._stack(names, learning)

    def release(self) -> None:
        """Forgets what the pass needed."""
        self._ready = None

    def _stack(self, names: tuple[str, ...], learning: bool) -> tuple[Tensor, Tensor]:
        """The factors of these experts, (G, in, r) and (G, r, out), scaled; kept while nothing changes."""
        if learning:
            return self._stacked(names)
        if self._kept is None or self._kept[0] != names:
            # A stack made in inference mode could not be used where gradients pass through later.
            with torch.inference_mode(False), torch.no_grad():
                self._kept = (names, self._stacked(names))
        return self._kept[1]

    def _stacked(self, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Stacks the factors: ranks padded with zeros, zeros for experts that leave this layer alone."""
        mine = [name for name in names if name in self.down]
        rank = max(self.down[name].shape[0] for name in mine)
        no_down = torch.zeros_like(self.down[mine[0]][:1])  # (1, in)
        no_up = torch.zeros_like(self.up[mine[0]][:, :1])  # (out, 1)
        downs = [padded(self.down.get(name, no_down), rank, 0) for name in names]
        ups = [padded(self.up.get(name, no_up), rank, 1).T for name in names]
        scalings = ups[0].new_tensor([self.scalings.get(name, 0.0) for name in names])
        # A lies in memory as it is and B transposed: long lines of both, which few rows are multiplied fastest with.
        return torch.stack(downs).transpose(1, 2), torch.stack(ups) * scalings.view(-1, 1, 1)

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        """Moves to a device or dtype, which changes parameters without a trace in their version."""
        self._kept = None
        return super()._apply(fn, recurse)


def padded(factor: Tensor, rank: int, dim: int) -> Tensor:
    """The factor with zeros up to `rank` along `dim`."""
    missing = rank - factor.shape[dim]
    if missing == 0:
        return factor
    return nn.functional.pad(factor, (0, 0, 0, missing) if dim == 0 else (0, missing))


def _version(factor: Tensor) -> int:
    """Changes whenever the parameter does; tensors made in inference mode cannot be trained and have none."""
    return 0 if factor.is_inference() else factor._version
