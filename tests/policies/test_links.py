"""Links: errors are those of the measurement, and the way back is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from autosteer.contracts import Aim, PolicyError
from autosteer.policies._curved_links import LogitLink, LogLink
from autosteer.policies._errors import variance_law
from autosteer.policies._learner import Learner
from autosteer.policies._links import IdentityLink, make_link
from tests.policies.tables import hits, table

SHARE = Aim("hits", fraction=True)
COUNT = Aim("spots")
LINE = np.linspace(0, 1, 4)


def test_errors_that_are_not_given_are_those_that_are_usual() -> None:
    known = table(LINE, np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.1, np.nan, 0.3, 0.2]))
    _, variance = IdentityLink(known, COUNT).linearised(known, np.zeros(4))
    assert variance is not None
    assert variance.tolist() == pytest.approx([0.01, 0.04, 0.09, 0.04])
    unknown = table(LINE, LINE)
    assert IdentityLink(unknown, COUNT).linearised(unknown, LINE)[1] is None


def test_less_is_better_where_it_is_to_be_minimised() -> None:
    measured = table(LINE, np.array([1.0, 2.0, 4.0, 8.0]), 0.1)
    for link in (IdentityLink(measured, Aim("y", False)), LogLink(measured, Aim("y", False))):
        values, _ = link.linearised(measured, link.start(measured))
        assert np.all(np.diff(values) < 0)
        mean, _ = link.natural(values, np.zeros(4))
        assert mean.tolist() == pytest.approx(measured.mean.tolist())


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_share_at_its_true_odds_has_the_binomial_variance(share: float) -> None:
    measured = hits(LINE, np.full(4, share), 50)
    value, variance = LogitLink(measured, SHARE).linearised(measured, np.full(4, logit(share)))
    assert variance is not None
    assert variance.tolist() == pytest.approx([1 / (50 * share * (1 - share))] * 4)
    expected = logit(share) + (measured.mean - share) / (share * (1 - share))
    assert value.tolist() == pytest.approx(expected.tolist())


@given(st.floats(-3, 3), st.floats(0.01, 1.5))
@settings(max_examples=25)
def test_the_way_back_keeps_mean_and_spread(mu: float, sd: float) -> None:
    latent = mu + sd * np.random.default_rng(0).standard_normal(100_000)
    shares = LogitLink(hits(LINE, np.full(4, 0.3), 50), SHARE)
    counts = LogLink(table(LINE, np.array([1.0, 2.0, 3.0, 4.0]), 0.1), COUNT)
    for link, natural in ((shares, expit(latent)), (counts, np.exp(latent))):
        mean, spread = link.natural(np.array([mu]), np.array([sd]))
        assert mean[0] == pytest.approx(float(natural.mean()), rel=0.05, abs=2e-3)
        # Monte Carlo knows the spread of a wide lognormal distribution badly itself.
        assert spread[0] == pytest.approx(float(natural.std()), rel=0.2, abs=2e-3)


def test_nothing_measured_again_and_again_does_not_pull_ever_further() -> None:
    x = np.random.default_rng(0).random((60, 2))
    nothing = hits(x, np.zeros(60), 30)
    learned = Learner(SHARE, "auto").learn(x, nothing)
    mean, _ = learned.natural(x)
    assert np.all(mean < 0.02)
    assert np.all(learned.surrogate.mean(x) > -12)


def test_a_share_is_learned_from_many_pieces_as_from_few() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((300, 1))
    truth = 0.5 * np.exp(-0.5 * ((x[:, 0] - 0.4) / 0.15) ** 2)
    learned = Learner(SHARE, "auto").learn(x, hits(x, truth, 5))
    places = np.linspace(0.1, 0.9, 9)[:, None]
    mean, sd = learned.natural(places)
    expected = 0.5 * np.exp(-0.5 * ((places[:, 0] - 0.4) / 0.15) ** 2)
    assert np.all(np.abs(mean - expected) < 3 * sd + 0.01)
    assert np.abs(mean - expected).max() < 0.1


def test_the_variance_of_a_shot_follows_its_mean() -> None:
    rng = np.random.default_rng(0)
    means, shots = rng.uniform(0.5, 20, 200), rng.integers(5, 60, 200)
    draws = [rng.poisson(mean, count) for mean, count in zip(means, shots, strict=True)]
    mean = np.array([draw.mean() for draw in draws])
    sem = np.array([draw.std(ddof=1) / np.sqrt(len(draw)) for draw in draws])
    constant, slope = variance_law(mean, sem, shots.astype(np.float64))
    assert slope == pytest.approx(1.0, abs=0.15)
    assert constant < 1.5


def test_peaks_are_seen_on_a_logarithmic_scale_and_slopes_are_not() -> None:
    x = np.linspace(0, 1, 30)
    peak = table(x, 100 * np.exp(-0.5 * ((x - 0.3) / 0.04) ** 2), 0.5)
    slope = table(x, 3 * x - 1, 0.1)
    assert isinstance(make_link("auto", peak, COUNT), LogLink)
    assert isinstance(make_link("auto", slope, COUNT), IdentityLink)
    assert isinstance(make_link("identity", peak, COUNT), IdentityLink)
    assert isinstance(make_link("auto", hits(x, x, 10), SHARE), LogitLink)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(PolicyError, match="no link 'cubic'"):
        make_link("cubic", table(LINE, LINE), COUNT)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="no share of shots"):
        make_link("auto", table(LINE, 40 * LINE, 1.0, 10.0), SHARE)
    with pytest.raises(PolicyError, match="needs standard errors"):
        make_link("log", table(LINE, LINE), COUNT)
