"""The number of edges of a graph, whatever it is written as."""

from torch_geometric.typing import Adj, SparseTensor
from torch_geometric.utils import is_sparse


def num_edges(edge_index: Adj) -> int:
    """Number of edges of an ``edge_index`` ``[2, E]`` or of a sparse ``adj_t``."""
    if isinstance(edge_index, SparseTensor):
        return edge_index.nnz()
    return edge_index._nnz() if is_sparse(edge_index) else edge_index.size(1)
