"""Sampling, grouping and interpolation against naive loops, on every backend."""

import keras
import numpy as np
import point_oracles as naive
import pytest

from keras_wcd.ops import ball_query, farthest_point_sampling, three_interpolate

pytestmark = pytest.mark.backend
RULES = ["standard", "pointnet2"]


@pytest.fixture(params=["auto", "loop", "host"])
def sampling(request):
    return request.param


@pytest.fixture(params=["auto", "brute", "host"])
def grouping(request):
    return request.param


def check_sample(points, count, rule, method):
    got = naive.to_numpy(farthest_point_sampling(points, count, rule=rule, method=method))[0]
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, [naive.farthest_points(cloud, count, rule) for cloud in points])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 2, 9, 23])
def test_samples_match_loops(sampling, rule, count):
    points = naive.clouds()[0]
    points[:, 3:6] *= 0.01  # below the squared norm that "pointnet2" passes over
    check_sample(points, count, rule, sampling)


@pytest.mark.parametrize("rule", RULES)
def test_samples_match_loops_for_duplicated_points(sampling, rule):
    check_sample(np.repeat(naive.clouds()[0][:, :7], 3, axis=1), 12, rule, sampling)


@pytest.mark.parametrize("rule", RULES)
def test_a_cloud_of_one_point_is_its_own_sample(sampling, rule):
    check_sample(naive.clouds(n=1)[0], 1, rule, sampling)


@pytest.mark.parametrize("rule", RULES)
def test_padding_is_sampled_only_where_nothing_else_is_left(sampling, rule):
    points = naive.clouds()[0]
    points[0, [0, 1, 7]] = np.nan
    points[1, 4, 2] = np.nan
    check_sample(points, 12, rule, sampling)
    got = naive.to_numpy(farthest_point_sampling(points, 20, rule=rule, method=sampling))[0]
    assert np.isfinite(points[0][got[0]]).all()
    padding = np.full((1, 5, 3), np.nan, "float32")
    got = naive.to_numpy(farthest_point_sampling(padding, 3, rule=rule, method=sampling))[0]
    np.testing.assert_array_equal(got, [[0, 0, 0]])


def test_a_cloud_near_the_origin_gives_index_zero_by_the_rule_of_pointnet2(sampling):
    points = naive.clouds()[0] * np.float32(0.01)
    got = naive.to_numpy(farthest_point_sampling(points, 4, rule="pointnet2", method=sampling))[0]
    assert (got == 0).all()


def test_samples_nest(sampling):
    points = naive.clouds(n=64)[0]
    many = naive.to_numpy(farthest_point_sampling(points, 40, method=sampling))[0]
    few = naive.to_numpy(farthest_point_sampling(points, 11, method=sampling))[0]
    np.testing.assert_array_equal(many[:, :11], few)
    assert all(len(set(row)) == 40 for row in many)


def test_samples_do_not_depend_on_the_unit(sampling):
    points = naive.clouds(n=64)[0]
    near = naive.to_numpy(farthest_point_sampling(points, 30, method=sampling))[0]
    far = naive.to_numpy(farthest_point_sampling(points * np.float32(2**13), 30, method=sampling))[0]
    np.testing.assert_array_equal(near, far)


@pytest.mark.parametrize(("radius", "count"), [(0.4, 3), (0.9, 5), (0.9, 17), (0.05, 4), (9.0, 17)])
def test_balls_match_loops(grouping, radius, count):
    centers, points = naive.clouds()
    got = naive.to_numpy(ball_query(centers, points, radius, count, method=grouping))[0]
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, [naive.ball(c, p, radius, count) for c, p in zip(centers, points, strict=True)])


def test_balls_may_ask_for_more_points_than_there_are(grouping):
    centers, points = naive.clouds(m=4)
    got = naive.to_numpy(ball_query(centers, points, 1.0, 9, method=grouping))[0]
    np.testing.assert_array_equal(got, [naive.ball(c, p, 1.0, 9) for c, p in zip(centers, points, strict=True)])


def test_balls_match_loops_for_duplicates_and_one_point(grouping):
    centers, points = naive.clouds()
    for cloud in (np.repeat(points, 3, axis=1), points[:, :1]):
        got = naive.to_numpy(ball_query(centers, cloud, 0.8, 6, method=grouping))[0]
        np.testing.assert_array_equal(got, [naive.ball(c, p, 0.8, 6) for c, p in zip(centers, cloud, strict=True)])


def test_balls_never_hit_padding(grouping):
    centers, points = naive.clouds()
    points[0, [0, 2, 11]] = np.nan
    points[1, :, 1] = np.nan
    centers[0, 3] = np.nan
    got = naive.to_numpy(ball_query(centers, points, 0.8, 6, method=grouping))[0]
    np.testing.assert_array_equal(got, [naive.ball(c, p, 0.8, 6) for c, p in zip(centers, points, strict=True)])
    assert (got[0, 3] == 0).all()
    assert (got[1] == 0).all()


def test_the_surface_of_a_ball_is_outside(grouping):
    centers, points = np.zeros((1, 1, 3), "float32"), np.array([[[0.5, 0, 0], [0, 0.25, 0]]], "float32")
    got = naive.to_numpy(ball_query(centers, points, 0.5, 2, method=grouping))[0]
    np.testing.assert_array_equal(got, [[[1, 1]]])


def test_balls_in_small_blocks_change_nothing(monkeypatch):
    centers, points = naive.clouds()
    whole = naive.to_numpy(ball_query(centers, points, 0.8, 6, method="brute"))[0]
    for block in (1, 100):
        monkeypatch.setattr("keras_wcd.ops.neighbors.BLOCK", block)
        np.testing.assert_array_equal(naive.to_numpy(ball_query(centers, points, 0.8, 6, method="brute"))[0], whole)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_interpolation_matches_loops(squared, k):
    queries, points = naive.clouds()
    features = np.random.default_rng(5).normal(size=(2, 17, 4)).astype("float32")
    got = naive.to_numpy(three_interpolate(queries, points, features, k=k, squared=squared))[0]
    for b in range(2):
        expected = naive.interpolate(queries[b], points[b], features[b], k, squared)
        np.testing.assert_allclose(got[b], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("m", [1, 2])
def test_missing_neighbors_weigh_nothing(m):
    queries, points = naive.clouds(m=m)
    features = np.random.default_rng(5).normal(size=(2, m, 4)).astype("float32")
    padded = np.concatenate([points, np.full((2, 6, 3), np.nan, "float32")], axis=1)
    padded_features = np.concatenate([features, np.ones((2, 6, 4), "float32")], axis=1)
    for cloud, values in ((points, features), (padded, padded_features)):
        got = naive.to_numpy(three_interpolate(queries, cloud, values))[0]
        for b in range(2):
            expected = naive.interpolate(queries[b], points[b], features[b])
            np.testing.assert_allclose(got[b], expected, rtol=1e-4, atol=1e-5)


def test_interpolation_at_the_points_gives_their_features():
    points = naive.clouds()[1]
    features = np.random.default_rng(5).normal(size=(2, 17, 4)).astype("float32")
    got = naive.to_numpy(three_interpolate(points, points, features))[0]
    np.testing.assert_allclose(got, features, rtol=1e-5, atol=1e-6)


def test_interpolation_keeps_the_dtype_of_the_features():
    queries, points = naive.clouds()
    features = np.random.default_rng(5).normal(size=(2, 17, 4)).astype("float16")
    got = naive.to_numpy(three_interpolate(queries, points, features))[0]
    assert got.dtype == np.float16
    expected = naive.interpolate(queries[0], points[0], features[0])
    np.testing.assert_allclose(got[0], expected, atol=1e-2)


def test_gradient_of_interpolation_equals_finite_differences_in_the_features_alone():
    queries, points = (c.astype("float64") for c in naive.clouds(batch=1, n=6, m=5))
    features = np.random.default_rng(5).normal(size=(1, 5, 2))
    weight = np.random.default_rng(3).normal(size=(6, 2))

    def value(q, p, f):
        return keras.ops.sum(three_interpolate(q, p, f) * keras.ops.cast(weight, f.dtype))

    at_queries, at_points, at_features = naive.gradients(value, queries, points, features)
    assert (at_queries == 0).all()
    assert (at_points == 0).all()
    expected = naive.differences(lambda f: (naive.interpolate(queries[0], points[0], f[0]) * weight).sum(), features)
    np.testing.assert_allclose(at_features, expected, rtol=1e-4, atol=1e-5)


def test_gradient_of_interpolation_is_finite_at_coincident_points():
    points = naive.clouds()[1]
    features = np.random.default_rng(5).normal(size=(2, 17, 4)).astype("float32")
    found = naive.gradients(lambda *a: keras.ops.sum(three_interpolate(*a)), points, points, features)
    assert all(np.isfinite(g).all() for g in found)
