"""Do maps depend on what was learned? Cascading randomisation of the parameters.

Adebayo et al. 2018, "Sanity Checks for Saliency Maps": layers are put back into their untrained state one after
another, from the head down, and the maps compared with those of the trained model. A map that stays the same shows
the image's edges rather than the model's reasons.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np
import torch
from scipy.stats import rankdata
from tqdm import tqdm

from stages.common.cam import Method
from stages.common.model import Classifier, Head, blocks


def cascade(model: Classifier, seed: int) -> Iterator[tuple[str, Classifier]]:
    """The name of the last block randomised so far, and a copy of `model` in which it and all above it are.

    One copy serves all steps: use it before asking for the next. `model` and torch's random state stay as they are.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = model.config
        untrained = type(model)(Head(**config["head"]), config["classes"], model.image_size, config["backbone"])
    network = deepcopy(model)
    for path in blocks(model):
        network.get_submodule(path).load_state_dict(untrained.get_submodule(path).state_dict())
        yield path.removeprefix("tail.").removeprefix("trunk."), network


def randomisation(
    model: Classifier,
    trained: dict[Method, np.ndarray],
    explain: Callable[[Classifier], dict[Method, np.ndarray]],
    seed: int,
) -> dict[str, dict[Method, np.ndarray]]:
    """{last block randomised so far: {method: rank correlation (N,) of its maps with those of the trained `model`}}.

    explain: the maps (N, h, w) of the same images and classes for any model; trained: those of `model`.
    """
    return {
        layer: {method: rank_correlation(trained[method], maps) for method, maps in explain(network).items()}
        for layer, network in tqdm(cascade(model, seed), desc="randomisation", total=len(list(blocks(model))))
    }


def between_images(trained: dict[Method, np.ndarray]) -> dict[Method, np.ndarray]:
    """Rank correlation (N,) of each map with another image's: what the place in the image alone accounts for."""
    return {method: rank_correlation(maps, np.roll(maps, 1, axis=0)) for method, maps in trained.items()}


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each pair of maps, over their places: float64 (N,). Equal values share a rank.

    first, second: (N, h, w). With a map that is the same everywhere, a zero one, say, the correlation is put at 0.

    >>> maps = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    >>> float(rank_correlation(maps, maps**2)[0]), float(rank_correlation(maps, -maps)[0])
    (1.0, -1.0)
    >>> float(rank_correlation(maps, np.zeros((1, 2, 2)))[0])
    0.0
    """
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    one, other = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    norms = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1))
    return np.divide((one * other).sum(axis=1), norms, out=np.zeros(len(norms)), where=norms > 0)
