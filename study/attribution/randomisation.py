"""Do maps depend on what was learned? Cascading randomisation of the parameters.

Adebayo et al. 2018, "Sanity Checks for Saliency Maps": reset layers to their untrained state one after another, from
the head down, and compare the maps with the trained model's. A map that stays the same shows the image's edges rather
than the model's reasons.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn
from tqdm import tqdm

from study.attribution.cam import Method
from study.networks.classifier import Classifier
from study.networks.loading import untrained_like


def cascade(model: Classifier, seed: int) -> Iterator[tuple[str, Classifier]]:
    """Yield the name of each block from the head down, and a copy of `model` randomised down to that block.

    All steps share one copy, so use it before the next step. `model` and torch's random state stay unchanged.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        untrained = untrained_like(model)
    network = deepcopy(model)
    for name, path in blocks(model).items():
        network.get_submodule(path).load_state_dict(untrained.get_submodule(path).state_dict())
        yield name, network


def blocks(model: Classifier) -> dict[str, str]:
    """The paths in `model` of its modules with parameters, by their names: the head, then the stages' from the last."""
    found = [(f"{stage}.{path}", path) for stage, of in model.backbone.named_children() for path in _blocks(of)]
    return {"head": "head"} | {path: f"backbone.{whole}" for whole, path in reversed(found)}


def _blocks(part: nn.Module) -> Iterator[str]:
    for name, module in part.named_children():
        if type(module) is nn.Sequential:
            yield from (f"{name}.{path}" for path in _blocks(module))
        elif any(True for _ in module.parameters()):
            yield name


def cascade_correlations(
    model: Classifier,
    trained: dict[Method, np.ndarray],
    explain: Callable[[Classifier], dict[Method, np.ndarray]],
    seed: int,
) -> dict[str, dict[Method, np.ndarray]]:
    """{last block randomised: {method: rank correlation (N,) of its maps with those of the trained `model`}}.

    explain: the maps (N, h, w) of the same images and classes for any model; trained: those of `model`.
    """
    return {
        layer: {method: rank_correlation(trained[method], maps) for method, maps in explain(network).items()}
        for layer, network in tqdm(cascade(model, seed), desc="randomisation", total=len(blocks(model)))
    }


def between_images(trained: dict[Method, np.ndarray]) -> dict[Method, np.ndarray]:
    """Rank correlation (N,) of each map with another image's, which is due to position alone."""
    return {method: rank_correlation(maps, np.roll(maps, 1, axis=0)) for method, maps in trained.items()}


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each pair of maps, over their places: float64 (N,). Equal values share a rank.

    first, second: (N, h, w). The correlation with a constant map, such as a zero one, is set to 0.

    >>> maps = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    >>> float(rank_correlation(maps, maps**2)[0]), float(rank_correlation(maps, -maps)[0])
    (1.0, -1.0)
    >>> float(rank_correlation(maps, np.zeros((1, 2, 2)))[0])
    0.0
    """
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    one, other = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    norms = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1))
    products = (one * other).sum(axis=1)
    correlations: np.ndarray = np.divide(products, norms, out=np.zeros(len(norms)), where=norms > 0)
    return correlations
