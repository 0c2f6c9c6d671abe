"""The space stage as a PyG layer."""

import math
from typing import Literal, Optional, overload

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.nn import MessagePassing, SumAggregation
from torch_geometric.nn.dense import Linear
from torch_geometric.typing import Adj, OptTensor, PairTensor
from torch_geometric.utils import is_sparse, softmax, to_edge_index

from rstg_pyg.graph.num_edges import num_edges
from rstg_pyg.nn.fused_gather import gather_messages
from rstg_pyg.nn.norm import node_norm, normalize_nodes

Attention = Literal["dot", "additive", "sum"]
ATTENTIONS = ("dot", "additive", "sum")
MESSAGE_METHODS = ("propagate", "message", "aggregate", "update", "edge_updater", "edge_update")
MESSAGE_HOOKS = tuple(
    f"_{method}_forward{kind}_hooks"
    for method in ("propagate", "message", "aggregate", "edge_update")
    for kind in ("", "_pre")
)
MODULE_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class RSTGConv(MessagePassing):
    r"""Space stage of the recurrent space-time graph: send, gather, update (paper §2.1).

    .. math::
        \mathbf{m}_{ji} &= \mathrm{MLP}_s([\mathbf{v}_j \,|\, \mathbf{v}_i \,|\, \mathbf{p}_j]) & \text{(eq. 1)}

        \mathbf{g}_i &= \sum_{j \in \mathcal{N}(i)} \alpha_{ji} \mathbf{m}_{ji} & \text{(eq. 3)}

        \mathbf{v}_i' &= \mathrm{MLP}_u([\mathbf{v}_i \,|\, \mathbf{g}_i]) & \text{(eq. 5)}

    with :math:`\mathrm{MLP}(\mathbf{x}) = \sigma(W_2 \sigma(W_1 \mathbf{x} + b_1) + b_2)` (eq. 2, :math:`\sigma` is
    ReLU) and the weights of eq. 4,

    .. math::
        \alpha_{ji} = \begin{cases}
            (W_{\alpha_1} \mathbf{v}_j)^\top (W_{\alpha_2} \mathbf{v}_i) & \text{dot} \\
            \mathrm{LeakyReLU}_{0.2}(\mathbf{a}_s^\top \mathbf{v}_j + \mathbf{a}_d^\top \mathbf{v}_i)
                & \text{additive} \\
            1 & \text{sum}
        \end{cases}

    The first layer of :math:`\mathrm{MLP}_s` is linear in its concatenated input, so it is computed per node and
    gathered onto the edges; the concatenation is never built.

    Args:
        in_channels: Size of the node features, or of ``(source, destination)`` features of a bipartite graph; -1
            derives it from the first input.
        out_channels: Size D of messages and output features.
        attention: Weights of eq. 4: ``"dot"`` (paper), ``"additive"`` (as in GAT) or ``"sum"`` (all one).
        normalize: Softmax of the weights over each neighbourhood, dot products scaled by :math:`1/\sqrt{D}`; ``"sum"``
            then is the mean of the messages. ``False`` is eq. 3 and 4 to the letter.
        pos_channels: Size P of the position maps; 0 for messages without position.
        num_groups: Number of update MLPs; node i uses number ``group[i]`` (one per scale in the paper's variant).
        norm: ``"layer"``, ``"batch"`` or ``None``: normalisation of the output.
        residual: Add the input to the output, before ``norm``.

    Shapes:
        - **input:** node features :math:`(*, N, F)` or
          :math:`((*, N_s, F_s), (*, N, F_d))` if bipartite, edge index :math:`(2, E)`, position maps of the sources
          :math:`(N_s, P)`, edge weights :math:`(E)`, groups :math:`(N)`
        - **output:** node features :math:`(*, N, D)`, attention :math:`(*, E)`

    All leading dimensions share one graph (a *static graph*); a disjoint :class:`~torch_geometric.data.Batch`
    :math:`(\sum N, F)`, an :class:`~torch_geometric.EdgeIndex` and a ``torch.sparse`` transposed adjacency give the
    same numbers.

    :meth:`message` and its aggregation define the layer. Where nothing looks at single messages, the same sums come
    from :func:`~rstg_pyg.nn.fused_gather.gather_messages`, faster, and keeping no message in memory;
    ``fused = False`` on the class or on a layer keeps to the definition.

    Raises:
        ValueError: If an argument is outside its choices, or an input has the wrong rank, size or type.
    """

    fused: bool = True

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        attention: Attention = "dot",
        normalize: bool = True,
        pos_channels: int = 0,
        num_groups: int = 1,
        norm: str | None = None,
        residual: bool = False,
    ) -> None:
        if attention not in ATTENTIONS:
            raise ValueError(f"Expected 'attention' to be one of {list(ATTENTIONS)} (got {attention!r})")
        if out_channels < 1:
            raise ValueError(f"Expected 'out_channels' to be positive (got {out_channels})")
        if pos_channels < 0:
            raise ValueError(f"Expected 'pos_channels' to be non-negative (got {pos_channels})")
        if num_groups < 1:
            raise ValueError(f"Expected 'num_groups' to be positive (got {num_groups})")
        super().__init__(aggr="sum")
        self.node_dim = -2

        self.in_channels = in_channels
        self.out_channels = out_channels
        self.attention = attention
        self.normalize = normalize
        self.pos_channels = pos_channels
        self.num_groups = num_groups
        self.residual = residual

        in_source, in_destination = (in_channels, in_channels) if isinstance(in_channels, int) else in_channels
        if residual and in_destination not in (-1, out_channels):
            raise ValueError(
                f"Expected 'out_channels' to equal the destination's 'in_channels' with residual=True "
                f"(got {out_channels} and {in_destination})"
            )

        self.lin_source = Linear(in_source, out_channels, bias=False, weight_initializer="glorot")
        self.lin_destination = Linear(in_destination, out_channels, weight_initializer="glorot")
        self.lin_pos = (
            Linear(pos_channels, out_channels, bias=False, weight_initializer="glorot") if pos_channels > 0 else None
        )
        self.lin_send = Linear(out_channels, out_channels, weight_initializer="glorot")

        self.att_source: Linear | None = None
        self.att_destination: Linear | None = None
        if attention != "sum":
            score_channels = out_channels if attention == "dot" else 1
            self.att_source = Linear(in_source, score_channels, bias=False, weight_initializer="glorot")
            self.att_destination = Linear(in_destination, score_channels, bias=False, weight_initializer="glorot")

        in_update = -1 if in_destination == -1 else in_destination + out_channels
        self.mlp_update = torch.nn.ModuleList(
            torch.nn.Sequential(
                Linear(in_update, out_channels, weight_initializer="glorot"),
                torch.nn.ReLU(),
                Linear(out_channels, out_channels, weight_initializer="glorot"),
                torch.nn.ReLU(),
            )
            for _ in range(num_groups)
        )
        self.norm = node_norm(norm, out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        super().reset_parameters()
        for module in self.children():
            for layer in module.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()

    @overload
    def forward(
        self,
        x: Tensor | PairTensor,
        edge_index: Adj,
        pos_map: OptTensor = ...,
        edge_weight: OptTensor = ...,
        group: OptTensor = ...,
        edge_mask: OptTensor = ...,
        return_attention_weights: Literal[False] = ...,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        x: Tensor | PairTensor,
        edge_index: Adj,
        pos_map: OptTensor = ...,
        edge_weight: OptTensor = ...,
        group: OptTensor = ...,
        edge_mask: OptTensor = ...,
        *,
        return_attention_weights: Literal[True],
    ) -> tuple[Tensor, tuple[Adj, Tensor]]: ...

    def forward(
        self,
        x: Tensor | PairTensor,
        edge_index: Adj,
        pos_map: OptTensor = None,
        edge_weight: OptTensor = None,
        group: OptTensor = None,
        edge_mask: OptTensor = None,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, tuple[Adj, Tensor]]:
        r"""Run one space stage.

        Args:
            x: Node features :math:`(*, N, F)`, or a pair of source and destination features, whose leading dimensions
                are broadcast.
            edge_index: :math:`(2, E)` int64, :class:`~torch_geometric.EdgeIndex` or ``torch.sparse`` ``adj_t``.
            pos_map: :math:`(N, P)` position maps of the senders; required iff ``pos_channels`` > 0.
            edge_weight: :math:`(E)`, multiplies the attention after normalisation; 0 removes the message. None takes
                the values of a sparse ``adj_t``; a weight given beside one counts in their place, in the order of its
                entries.
            group: :math:`(N)` int64, the update MLP of each node; required iff ``num_groups`` > 1.
            edge_mask: :math:`(*, E)` bool, broadcast; a false edge is absent: it takes no share of the softmax.
            return_attention_weights: Also return ``(edge_index, alpha)`` with alpha :math:`(*, E)`; for a sparse
                ``adj_t``, ``edge_index`` holds its entries as :math:`(2, E)` in the order of alpha.
        """
        source, destination = (x, x) if isinstance(x, Tensor) else x
        self._check_features(source, destination, pos_map, group)
        self._check_edges(edge_index, edge_weight, edge_mask)

        send, receive = self.lin_source(source), self.lin_destination(destination)
        if self.lin_pos is not None:
            send = send + self.lin_pos(pos_map)
        if self.att_source is not None and self.att_destination is not None:
            key, query = self.att_source(source), self.att_destination(destination)
            if self.attention == "dot" and self.normalize:
                query = query / math.sqrt(self.out_channels)  # before the products, which half precision cannot hold
        else:
            key, query = source[..., :1], destination[..., :1]

        fused = self._can_fuse(edge_index)
        if fused and self.attention == "dot" and _few_pairs(key, query, edge_index):
            score = self._dot_products(key, query, edge_index)
            alpha = self._weigh(score, edge_weight, edge_mask, edge_index[1], query.size(-2))
        else:
            alpha = self.edge_updater(edge_index, score=(key, query), edge_weight=edge_weight, edge_mask=edge_mask)
        if fused:
            second = self.lin_send
            gathered = gather_messages(send, receive, alpha.squeeze(-1), second.weight, second.bias, edge_index)
        else:
            size = (source.size(-2), destination.size(-2))
            gathered = self.propagate(edge_index, size, hidden=(send, receive), alpha=alpha)

        out = self._update(torch.cat([destination.expand(*gathered.shape[:-1], -1), gathered], dim=-1), group)
        if self.residual:
            out = out + destination
        out = normalize_nodes(self.norm, out)

        if return_attention_weights:
            edges = edge_index
            if is_sparse(edge_index):
                (row, column), _ = to_edge_index(edge_index)
                edges = torch.stack([column, row])
            return out, (edges, alpha.squeeze(-1))
        return out

    def _dot_products(self, key: Tensor, query: Tensor, edge_index: Tensor) -> Tensor:
        """Product of the two ends of every edge, ``[*, E, 1]``, picked from those of all pairs of nodes."""
        source, destination = self.ends_of(edge_index, key, query)
        products = (query @ key.mT).flatten(start_dim=-2)
        return products.index_select(-1, destination * key.size(-2) + source).unsqueeze(-1)

    def ends_of(self, edge_index: Adj, source: Tensor, destination: Tensor) -> list[Tensor]:
        """Numbers of the nodes at the two ends of every edge, each ``[E]`` int64.

        They are read as PyG reads a feature, so that an index out of range cannot pass for another node.

        Args:
            edge_index: See :meth:`forward`.
            source: ``[*, Ns, *]`` features of the sources.
            destination: ``[*, N, *]`` features of the destinations.

        Raises:
            IndexError: If an edge is of no node.
            ValueError: If ``edge_index`` brings another number of nodes.
        """
        size, ends = self._check_input(edge_index, None), []
        for dim, x in enumerate((source, destination)):
            self._set_size(size, dim, x)
            number = torch.arange(x.size(-2), device=x.device).unsqueeze(-1)
            ends.append(self._lift(number, edge_index, dim).squeeze(-1))
        return ends

    def edge_update(
        self,
        score_j: Tensor,
        score_i: Tensor,
        edge_weight: OptTensor,
        edge_mask: OptTensor,
        index: Tensor,
        size_i: Optional[int],  # noqa: UP045 -- read by PyG's inspector
    ) -> Tensor:
        """Attention of every edge, ``[*, E, 1]`` (eq. 4)."""
        if self.attention == "dot":
            score = (score_j * score_i).sum(dim=-1, keepdim=True)
        elif self.attention == "additive":
            score = F.leaky_relu(score_j + score_i, negative_slope=0.2)
        else:
            score = torch.ones_like(score_j)
        return self._weigh(score, edge_weight, edge_mask, index, size_i)

    def _weigh(
        self, alpha: Tensor, edge_weight: OptTensor, edge_mask: OptTensor, index: Tensor, num_nodes: int | None
    ) -> Tensor:
        """Attention of the scores ``[*, E, 1]``."""
        if edge_mask is not None:
            edge_mask = edge_mask.unsqueeze(-1)
        if self.normalize:
            # The softmax of a neighbourhood sums small numbers: never in half precision.
            alpha = alpha.float() if alpha.dtype in (torch.float16, torch.bfloat16) else alpha
            if edge_mask is not None:
                alpha = alpha.masked_fill(~edge_mask, torch.finfo(alpha.dtype).min)
            alpha = softmax(alpha, index, num_nodes=num_nodes, dim=self.node_dim)
        if edge_mask is not None:
            alpha = alpha * edge_mask
        if edge_weight is not None:
            alpha = alpha * edge_weight.unsqueeze(-1)
        return alpha

    def message(self, hidden_j: Tensor, hidden_i: Tensor, alpha: Tensor) -> Tensor:
        """Weighted message of every edge, ``[*, E, D]`` (eq. 1, 2)."""
        message = F.relu(self.lin_send(F.relu(hidden_j + hidden_i)))
        return alpha.to(message.dtype) * message

    def _update(self, x: Tensor, group: OptTensor) -> Tensor:
        """MLP_u of each node's group, ``[*, N, D]`` (eq. 5)."""
        outs = [mlp(x) for mlp in self.mlp_update]
        if group is None:
            return outs[0]
        own = group[:, None, None].expand(*outs[0].shape, 1)
        return torch.stack(outs, dim=-1).gather(-1, own).squeeze(-1)

    def _can_fuse(self, edge_index: Adj) -> bool:
        """Whether nothing looks at single messages: no subclass, hook, explainer, compiler or sparse adjacency."""
        cls = type(self)
        return (
            self.fused
            and not self.explain
            and not is_sparse(edge_index)
            and not torch.compiler.is_compiling()
            and not torch._C._are_functorch_transforms_active()
            and torch.autograd.forward_ad._current_level < 0
            and all(getattr(cls, name) is getattr(RSTGConv, name) for name in MESSAGE_METHODS)
            and vars(self).keys().isdisjoint(("message", "aggregate", "update", "edge_update"))
            and not any(getattr(self, name) for name in MESSAGE_HOOKS)
            and _is_untouched(self.lin_send, Linear)
            and _is_untouched(self.aggr_module, SumAggregation)
        )

    def _check_features(self, source: Tensor, destination: Tensor, pos_map: OptTensor, group: OptTensor) -> None:
        for x in (source, destination):
            if not isinstance(x, Tensor):
                raise ValueError(f"Expected 'x' to be a tensor or a pair of tensors (got a {type(x).__name__} in it)")
            if x.dim() < 2:
                raise ValueError(f"Expected 'x' to be of shape [*, N, F] (got {list(x.shape)})")
            if not x.is_floating_point():
                raise ValueError(f"Expected 'x' to be of floating point type (got {x.dtype})")
            if x.size(-2) == 0:
                raise ValueError(f"Expected 'x' to hold at least one node (got {list(x.shape)})")
        if self.explain and source.dim() != 2:
            raise ValueError(
                f"Expected 'x' to be of shape [N, F] while the layer is being explained, as PyG's explainers read one "
                f"value per edge (got {list(source.shape)}): explain a single frame or the unrolled space-time graph"
            )
        for x, lin in ((source, self.lin_source), (destination, self.lin_destination)):
            if lin.in_channels not in (-1, x.size(-1)):
                raise ValueError(f"Expected 'x' to have {lin.in_channels} features (got {x.size(-1)})")
        if self.residual and destination.size(-1) != self.out_channels:  # known here alone where it was -1
            raise ValueError(
                f"Expected 'x' to have {self.out_channels} features, as many as the output, with residual=True "
                f"(got {destination.size(-1)})"
            )
        if self.pos_channels > 0:
            shape = [source.size(-2), self.pos_channels]
            if pos_map is None or list(pos_map.shape) != shape:
                came = None if pos_map is None else list(pos_map.shape)
                raise ValueError(f"Expected 'pos_map' to be of shape {shape} (got {came})")
        elif pos_map is not None:
            raise ValueError("Expected 'pos_map' to be None in a layer with pos_channels=0")
        if self.num_groups > 1:
            if group is None or list(group.shape) != [destination.size(-2)] or group.dtype != torch.int64:
                given = None if group is None else f"{group.dtype} {list(group.shape)}"
                raise ValueError(f"Expected 'group' to be int64 of shape [{destination.size(-2)}] (got {given})")
        elif group is not None:
            raise ValueError("Expected 'group' to be None in a layer with num_groups=1")

    def _check_edges(self, edge_index: Adj, edge_weight: OptTensor, edge_mask: OptTensor) -> None:
        self._check_input(edge_index, None)
        if not is_sparse(edge_index) and edge_index.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"Expected 'edge_index' to be int64 or int32 (got {edge_index.dtype})")
        # One value too few would be broadcast, to all edges without a word.
        edges = num_edges(edge_index)
        if edge_weight is not None and list(edge_weight.shape) != [edges]:
            raise ValueError(f"Expected 'edge_weight' to be of shape [{edges}] (got {list(edge_weight.shape)})")
        if edge_mask is not None and (edge_mask.dtype != torch.bool or list(edge_mask.shape[-1:]) != [edges]):
            raise ValueError(
                f"Expected 'edge_mask' to be bool of shape [*, {edges}] (got {edge_mask.dtype} {list(edge_mask.shape)})"
            )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, attention={self.attention!r}, "
            f"normalize={self.normalize}, pos_channels={self.pos_channels}, num_groups={self.num_groups}, "
            f"norm={self.norm}, residual={self.residual})"
        )


def _is_untouched(module: torch.nn.Module, kind: type[torch.nn.Module]) -> bool:
    return type(module) is kind and "forward" not in vars(module) and not any(getattr(module, n) for n in MODULE_HOOKS)


def _few_pairs(key: Tensor, query: Tensor, edge_index: Tensor) -> bool:
    """Whether the products of all pairs of nodes need far less memory than the features of all edges."""
    return 8 * key.size(-2) * query.size(-2) <= edge_index.size(1) * key.size(-1)
