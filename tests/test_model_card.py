"""MODEL_CARD.md against what was measured: it is what metrics/ and params.yaml give, to the last digit."""

from pathlib import Path

from study.pipeline.files import read_json, read_table
from study.pipeline.params import read_params
from study.reporting.model_card import render_card
from study.reporting.published import published_accuracies

ROOT = Path(__file__).parents[1]


def test_the_committed_card_is_the_one_that_the_metrics_give():
    params = read_params(ROOT / "params.yaml")
    figures = {path.stem: read_json(path) for path in (ROOT / "metrics").glob("*.json")}
    tables = {path.stem: read_table(path) for path in (ROOT / "metrics").glob("*.csv")}
    by_corruption = figures["robustness"][params["freeze"]]["by_corruption"]
    published = published_accuracies(params["data"]["dataset"], by_corruption)
    card = render_card(params, figures, tables, published)
    assert (ROOT / "MODEL_CARD.md").read_text() == card
