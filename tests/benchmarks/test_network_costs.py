from collections import Counter

import pytest

from benchmarks.network_costs import configured, laid_over, published_counts
from rstg_pyg.models import InflatedResNet, PooledRSTGToVec


def test_all_counts_are_the_published_ones():
    counts = published_counts()
    assert [f"{count.what}: {count.counted} {count.published}" for count in counts if not count.agrees] == []
    # Nobody's figures but those of the model zoos, as they print them.
    published = {count.what.split(":")[0].split(",")[0]: [] for count in counts}
    for count in counts:
        published[count.what.split(":")[0].split(",")[0]].append(round(count.published, count.decimals))
    assert published["torchvision's s3d"] == [8.320048, 17.979]
    assert published["torchvision's r2plus1d_18"] == [31.505325, 40.519]
    assert published["I3D ResNet-50"] == [28.04, 37.53]
    assert published["Non-Local ResNet-50"] == [35.4]
    assert published["its blocks"] == [15.8]
    assert Counter(count.unit for count in counts) == {"10⁶": 9, "10⁹": 9}


def test_configured_network_is_the_rows():
    network = configured("c2d_to_vec")
    assert isinstance(network.backbone, InflatedResNet)
    assert network.backbone.stem[0].kernel_size == (1, 7, 7)
    assert isinstance(network.graph, PooledRSTGToVec)
    assert network.head[-1].out_features == 174


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"width": 4}, {"class_path": "A", "init_args": {"width": 4, "depth": 18}}),
        ({"init_args": {"depth": 50}}, {"class_path": "A", "init_args": {"width": 1, "depth": 50}}),
        ({"class_path": "B"}, {"class_path": "B", "init_args": {"width": 1, "depth": 18}}),
    ],
)
def test_laid_over(over, expected):
    assert laid_over({"class_path": "A", "init_args": {"width": 1, "depth": 18}}, over) == expected
