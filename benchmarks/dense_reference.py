"""The recurrent graph over all pairs of nodes, frame by frame: what RSTG computes, written down directly."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rstg_pyg.nn import RSTG

WEIGHTS_OF_RSTG = {
    "send.2.": "space.lin_send.",
    "update.": "space.mlp_update.0.",
    "att_source.": "space.att_source.",
    "att_destination.": "space.att_destination.",
    "time.": "time.rnn.",
    "last_time.": "last_time.rnn.",
}


class DenseRSTG(nn.Module):
    r"""All-temp recurrent graph with additive attention in which every node sends to every node.

    Each of the :math:`N^2` ordered pairs is concatenated and goes through both layers of :math:`\mathrm{MLP}_s`; pairs
    without an edge are masked out of the softmax. Time runs outside: one frame after the other goes through all
    iterations. The published implementation works this way too.

    Args:
        channels: Size D of nodes, messages and memories.
        pos_channels: Size P of the position maps.
        num_iterations: Number K of space stages.
    """

    def __init__(self, channels: int, pos_channels: int, num_iterations: int) -> None:
        super().__init__()
        self.num_iterations = num_iterations
        self.send = _mlp(2 * channels + pos_channels, channels)
        self.update = _mlp(2 * channels, channels)
        self.att_source = nn.Linear(channels, 1, bias=False)
        self.att_destination = nn.Linear(channels, 1, bias=False)
        self.time = nn.LSTMCell(channels, channels)
        self.last_time = nn.LSTMCell(channels, channels)

    def load_rstg(self, rstg: RSTG) -> None:
        """Take over the weights of an all-temp :class:`RSTG` with position maps and additive attention."""
        weights = rstg.state_dict()
        first_layer = [weights[f"space.lin_{part}.weight"] for part in ("source", "destination", "pos")]
        mine = {
            "send.0.weight": torch.cat(first_layer, dim=1),
            "send.0.bias": weights["space.lin_destination.bias"],
        }
        for place, source in WEIGHTS_OF_RSTG.items():
            for name, weight in weights.items():
                if name.startswith(source):
                    mine[place + name.removeprefix(source).removesuffix("_l0")] = weight
        self.load_state_dict(mine)

    def forward(self, x: Tensor, edge_index: Tensor, pos_map: Tensor) -> Tensor:
        """Run the graph over a clip.

        Args:
            x: ``[B, T, N, D]`` node features.
            edge_index: ``[2, E]`` int64.
            pos_map: ``[N, P]`` position maps.

        Returns:
            ``[B, T, N, D]`` node features.
        """
        num_nodes = x.size(2)
        source, destination = edge_index
        is_edge = torch.zeros(num_nodes, num_nodes, dtype=torch.bool, device=x.device)
        is_edge[destination, source] = True

        memories: list[tuple[Tensor, Tensor] | None] = [None] * (self.num_iterations + 1)
        out = []
        for nodes in x.unbind(dim=1):  # [B, N, D]
            for k in range(self.num_iterations):
                nodes, memories[k] = self._run_time(self.time, nodes, memories[k])
                nodes = self._run_space(nodes, is_edge, pos_map)
            nodes, memories[-1] = self._run_time(self.last_time, nodes, memories[-1])
            out.append(nodes)
        return torch.stack(out, dim=1)

    def _run_time(
        self, cell: nn.LSTMCell, nodes: Tensor, memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        after = cell(nodes.flatten(end_dim=1), memory)
        return after[0].view_as(nodes), after

    def _run_space(self, nodes: Tensor, is_edge: Tensor, pos_map: Tensor) -> Tensor:
        num_clips, num_nodes, channels = nodes.shape
        pairs = (num_clips, num_nodes, num_nodes, channels)  # [B, destination, source, D]
        sender, receiver = nodes[:, None].expand(pairs), nodes[:, :, None].expand(pairs)
        position = pos_map.expand(*pairs[:3], -1)
        messages = self.send(torch.cat([sender, receiver, position], dim=-1))
        scores = F.leaky_relu(self.att_destination(nodes) + self.att_source(nodes).transpose(1, 2), 0.2)
        alpha = scores.masked_fill(~is_edge, -torch.inf).softmax(dim=-1)  # [B, destination, source]
        gathered = (alpha[:, :, None] @ messages).squeeze(2)
        return self.update(torch.cat([nodes, gathered], dim=-1))


def _mlp(in_channels: int, out_channels: int) -> nn.Sequential:
    """Eq. 2: two linear layers, ReLU after each."""
    return nn.Sequential(
        nn.Linear(in_channels, out_channels), nn.ReLU(), nn.Linear(out_channels, out_channels), nn.ReLU()
    )
