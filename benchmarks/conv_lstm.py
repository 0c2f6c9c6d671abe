"""What a PyG user would compose instead of RSTG: an attention layer of PyG and an LSTM, in turns."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GATv2Conv, TransformerConv


class ConvLSTM(nn.Module):
    """The all-temp schedule with another layer in the space stage: (LSTM, layer) × K, then an LSTM.

    All frames of all clips are one disjoint batch of graphs; position maps of the senders are edge features.

    Args:
        conv: ``"gatv2"`` or ``"transformer"``: PyG's layer.
        channels: Size D of the node features.
        pos_channels: Size P of the position maps.
        num_iterations: Number K of runs of the layer.
    """

    def __init__(self, conv: str, channels: int, pos_channels: int, num_iterations: int) -> None:
        super().__init__()
        self.num_iterations = num_iterations
        self.conv = (
            GATv2Conv(channels, channels, edge_dim=pos_channels, add_self_loops=False)
            if conv == "gatv2"
            else TransformerConv(channels, channels, edge_dim=pos_channels)
        )
        self.time = nn.LSTM(channels, channels)
        self.last_time = nn.LSTM(channels, channels)

    def forward(self, x: Tensor, edge_index: Tensor, pos_map: Tensor) -> Tensor:
        """Run the stack over a clip.

        Args:
            x: ``[B, T, N, D]`` node features.
            edge_index: ``[2, E]`` int64.
            pos_map: ``[N, P]`` position maps.

        Returns:
            ``[B, T, N, D]`` node features.
        """
        num_clips, num_frames, num_nodes, channels = x.shape
        first_node = num_nodes * torch.arange(num_frames * num_clips, device=x.device)
        edges = (edge_index[:, None] + first_node[:, None]).flatten(start_dim=1)  # [2, T·B·E]
        edge_attr = pos_map[edge_index[0]].repeat(num_frames * num_clips, 1)

        sequence = x.transpose(0, 1).reshape(num_frames, num_clips * num_nodes, channels)
        for _ in range(self.num_iterations):
            sequence, _ = self.time(sequence)
            nodes = self.conv(sequence.flatten(end_dim=1), edges, edge_attr)
            sequence = F.relu(nodes).view_as(sequence).to(sequence.dtype)  # float32 from some layers under autocast
        sequence, _ = self.last_time(sequence)
        return sequence.view(num_frames, num_clips, num_nodes, channels).transpose(0, 1)
