"""MODEL_CARD.md against what was measured: it is what metrics/ and params.yaml give, to the last digit."""

import csv
import json
from pathlib import Path

from ruamel.yaml import YAML

from stages.common.model_card import render_card
from stages.common.published import published_accuracies

ROOT = Path(__file__).parents[1]


def test_the_committed_card_is_the_one_that_the_metrics_give():
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    figures = {path.stem: json.loads(path.read_text()) for path in (ROOT / "metrics").glob("*.json")}
    tables = {
        path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in (ROOT / "metrics").glob("*.csv")
    }
    by_corruption = figures["robustness"][params["freeze"]]["by_corruption"]
    published = published_accuracies(params["data"]["dataset"], by_corruption)
    card = render_card(params["freeze"], params, figures, tables, published)
    assert (ROOT / "MODEL_CARD.md").read_text() == card
