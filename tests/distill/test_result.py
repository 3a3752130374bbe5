"""The result of a distillation: losses, table, file, plots."""

import keras
import numpy as np
import pytest
from scipy.spatial import cKDTree

from keras_wcd.distill import DistanceDistribution, DistillationResult, distill
from keras_wcd.distill.gradients import profile_gradient
from keras_wcd.distill.objective import objectives
from keras_wcd.losses import DCD, HyperCD, WeightedCD
from keras_wcd.weighting import WEIGHTINGS, Normal

P = DistanceDistribution.half_normal(0.3, size=80)


@pytest.fixture(scope="module")
def result():
    return distill(HyperCD(alpha=10.0), distances=P, distance_scale="fit")


@pytest.fixture(params=sorted(WEIGHTINGS))
def family(request):
    return request.param


def test_losses_have_the_gradients_that_were_matched(result, family):
    found, loss = result.candidate(family), result.loss(family)
    assert isinstance(loss, WeightedCD)
    curve = profile_gradient(loss.profile, P.support)
    cost = objectives(result.teacher_gradient, curve[None], P.weights, rescale="max", norm="abs")
    assert found.objective == pytest.approx(cost[0], rel=1e-6)
    tall = result.loss(family, pred_weight=found.factor, true_weight=found.factor)
    assert tall.pred_weight * np.abs(curve).max() == pytest.approx(np.abs(result.teacher_gradient).max(), rel=1e-6)


def test_losses_measure_clouds(result):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(40, 3))
    loss, found = result.loss(), result.best
    expected = 0.0
    for d in (cKDTree(y).query(x)[0], cKDTree(x).query(y)[0]):
        expected += np.mean(keras.ops.convert_to_numpy(found.weighting(d / found.scale + found.shift)) * d)
    assert float(loss(y[None].astype("float32"), x[None].astype("float32"))) == pytest.approx(expected, rel=1e-5)


def test_ranking_is_sorted_and_its_table_shows_it(result):
    costs = [found.objective for found in result.ranking]
    assert costs == sorted(costs)
    lines = result.table().splitlines()
    assert "HyperCD(alpha=10)" in lines[0]
    assert [line.split()[1] for line in lines[2:]] == [found.family for found in result.ranking]


def test_shift_is_the_mode_of_the_parameters_found(result):
    for found in result.ranking:
        assert found.shift == pytest.approx(found.weighting.mode)
        assert found.weighting.get_config() == pytest.approx(found.parameters)


def test_comes_back_from_json_exactly(result, tmp_path):
    path = tmp_path / "deep" / "distillation.json"
    text = result.to_json(path)
    assert path.read_text() == text
    for source in (text, path, str(path)):
        again = DistillationResult.from_json(source)
        assert again.to_json() == text
        assert again.ranking == result.ranking
        assert again.teacher.get_config() == result.teacher.get_config()
        np.testing.assert_array_equal(again.teacher_gradient, result.teacher_gradient)
    assert set(result.versions) == {"keras-wcd", "tensorflow", "keras", "scipy"}
    assert [p.name for p in path.parent.iterdir()] == ["distillation.json"]


def test_records_a_function_by_its_name(tmp_path):
    def cubic(distance):
        return distance**3 + distance

    text = distill(cubic, families=["normal", Normal(0.5)], distances=P).to_json()
    again = DistillationResult.from_json(text)
    assert again.teacher == "cubic"
    assert again.to_json() == text
    assert "teacher cubic" in again.table()
    assert again.plot_weightings(tmp_path / "one.png", limit=2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [("missing.json", "no such file"), ("{}", "not written by"), ('{"ranking": 3}', "not written by"), ("{", "source")],
)
def test_refuses_a_file_of_another_kind(text, message):
    with pytest.raises(ValueError, match=message):
        DistillationResult.from_json(text)


def test_refuses_a_family_it_has_not_ranked(result):
    with pytest.raises(ValueError, match="unknown family 'zipf'; known are .*landau"):
        result.loss("zipf")


def test_finds_a_family_however_it_is_spelled(result):
    assert result.candidate("Log-Logistic") is result.candidate("log_logistic")
    with pytest.raises(ValueError, match=r"unknown family 'gama'; did you mean gamma\?"):
        result.loss("gama")


@pytest.mark.parametrize("name", ["plot", "plot_weightings"])
def test_draws_png_and_svg(result, tmp_path, name):
    draw = getattr(result, name)
    assert draw(tmp_path / "both") == (str(tmp_path / "both.png"), str(tmp_path / "both.svg"))
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "both.svg").read_text()
    assert draw(tmp_path / "one.svg") == (str(tmp_path / "one.svg"),)
    with pytest.raises(ValueError, match="unknown suffix '.doc'"):
        draw(tmp_path / "one.doc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both.png", "both.svg", "one.svg"]


def test_draws_a_single_family(tmp_path):
    result = distill(DCD(alpha=5.0), families="gamma", distances=P, shift=None, rescale=None)
    assert result.plot(tmp_path / "one.png")
    assert result.plot_weightings(tmp_path / "two.png")
