"""Wrong input to the operations: one clear error each, on every backend."""

import numpy as np
import point_oracles as naive
import pytest

from keras_wcd.ops import ball_query, farthest_point_sampling, knn, nearest, nearest_both, three_interpolate

pytestmark = pytest.mark.backend
X, Y = naive.clouds()
FEATURES = np.ones((2, 17, 4), "float32")
PAIRS = {
    "nearest": (nearest, "x", "y"),
    "nearest_both": (nearest_both, "x", "y"),
    "knn": (lambda x, y: knn(x, y, 1), "x", "y"),
    "ball_query": (lambda x, y: ball_query(x, y, 0.1, 4), "centers", "points"),
    "three_interpolate": (lambda x, y: three_interpolate(x, y, FEATURES), "queries", "points"),
}


@pytest.fixture(params=sorted(PAIRS))
def pair(request):
    return PAIRS[request.param]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (X[:, :0], r"is empty: shape \(2, 0, 3\)"),
        (X[:0], r"is empty: shape \(0, 23, 3\)"),
        (X.transpose(0, 2, 1), r"\(2, 3, 23\); transpose its last two axes"),
        (X[0], r"\(batch, points, 3\), got \(23, 3\)"),
        (X[..., :2], r"\(batch, points, 3\), got \(2, 23, 2\)"),
        (X.astype("int32"), "got dtype int32; cast it to float32"),
    ],
)
def test_a_bad_cloud_is_named_with_its_shape(pair, bad, message):
    function, first, second = pair
    with pytest.raises(ValueError, match=f"^{first} .*{message}"):
        function(bad, Y)
    with pytest.raises(ValueError, match=f"^{second} .*{message}"):
        function(X, bad)


@pytest.mark.parametrize("bad", [X[:, :0], X.transpose(0, 2, 1), X[0], X.astype("int32")])
def test_a_bad_cloud_cannot_be_sampled(bad):
    with pytest.raises(ValueError, match="^points "):
        farthest_point_sampling(bad, 2)


def test_batches_must_agree(pair):
    function, first, second = pair
    with pytest.raises(ValueError, match=rf"{first} and {second} must hold equally many clouds.*\(3, 23, 3\)"):
        function(np.zeros((3, 23, 3), "float32"), Y)


@pytest.mark.parametrize("k", [0, 18])
def test_k_must_lie_within_the_cloud(k):
    with pytest.raises(ValueError, match=rf"k must lie between 1 and .*\(17\), got {k}"):
        knn(X, Y, k)


@pytest.mark.parametrize("count", [0, 24])
def test_a_sample_must_lie_within_the_cloud(count):
    with pytest.raises(ValueError, match=rf"num_samples must .*got {count}"):
        farthest_point_sampling(X, count)


@pytest.mark.parametrize(("radius", "count", "name"), [(0.0, 4, "radius"), (-1, 4, "radius"), (0.1, 0, "num_samples")])
def test_a_ball_must_hold_something(radius, count, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        ball_query(X, Y, radius, count)


def test_interpolation_needs_a_neighbor_and_features_that_fit():
    with pytest.raises(ValueError, match="^k must be at least 1, got 0"):
        three_interpolate(X, Y, FEATURES, k=0)
    for bad in (FEATURES[:, :5], FEATURES[:1], FEATURES[0], FEATURES[..., 0]):
        with pytest.raises(ValueError, match="^features must have one row per point"):
            three_interpolate(X, Y, bad)
    with pytest.raises(ValueError, match="^features must hold floating-point"):
        three_interpolate(X, Y, FEATURES.astype("int32"))


@pytest.mark.parametrize(
    "call",
    [
        lambda: nearest(X, Y, method="ball_tree"),
        lambda: nearest_both(X, Y, method="ball_tree"),
        lambda: knn(X, Y, 2, method="ball_tree"),
        lambda: farthest_point_sampling(X, 2, method="ball_tree"),
        lambda: ball_query(X, Y, 0.1, 2, method="ball_tree"),
    ],
)
def test_an_unknown_method_is_named_beside_those_there_are(call):
    with pytest.raises(ValueError, match=r"method must be one of \('auto', .*got 'ball_tree'"):
        call()


def test_an_unknown_rule_is_named_beside_those_there_are():
    with pytest.raises(ValueError, match=r"rule must be one of \('standard', 'pointnet2'\), got 'cuda'"):
        farthest_point_sampling(X, 2, rule="cuda")
