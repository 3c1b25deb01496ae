"""Try the study's networks in a browser: `make app`, or `how-deep app`. It listens on 127.0.0.1 alone.

A picture from a file, the webcam or samples/, one of the variants, and a corruption at a severity: the page shows what
the network sees, its calibrated probabilities, the prediction set, whether the picture is unlike the training images,
and the Grad-CAM of the most probable class. Gradio's client gets the same from `/classify`.
Reads params.yaml, models/{variant}.safetensors and, below results/, temperature, conformal and ood, which `dvc repro`
makes. Needs `pip install --no-deps -r requirements/app.txt` after requirements.txt.
"""

import argparse
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from inference import EMPTY
from study.attribution.cam import cams, deepest_layer, heatmap
from study.conformal.prediction_sets import lac_scores
from study.corruption.catalogue import CORRUPTIONS, SEVERITIES, corrupt
from study.drawing.heatmap_gallery import overlay
from study.evaluation.temperature import load_temperature, tempered_softmax
from study.networks.classifier import Classifier
from study.networks.inference import predict
from study.networks.loading import load_model
from study.networks.stages import Layer
from study.ood.scores import energy
from study.pipeline.files import read_json
from study.pipeline.params import Refusal, parse, read_params
from study.pipeline.variants import variants
from study.sources.image_files import MAX_BYTES, InputError, read_bytes, read_image, reason
from study.sources.stratified_draw import Data

if TYPE_CHECKING:
    from gradio import Blocks

ROOT = Path(__file__).parents[1]
NONE = "none"  # no corruption
SEED = 0  # of corruptions: the same picture gets the same answer
SHOWN_SIDE = 256  # pixels: an image is enlarged by the largest whole number that keeps it within
HEIGHT = 288  # pixels, of the picture: below 282 Gradio's prompt for the webcam covers the buttons under it
WAITING = 16  # requests; more are told to come back later
SWEEP, KEPT = 600, 3600  # seconds between deletions of uploaded pictures, and their age then; the end deletes all

ABOUT = """# Try the networks
Choose a picture, a variant and a corruption. `fc` trains only the head, `layer4` the last block and the head, `full`
everything; `scratch` is a small network from random weights."""
CHOOSE = "Choose a picture: a file, the webcam or a sample."
UNLIKE = "unlike the training images: do not rely on this answer"
CSS = "#note p { font-weight: 600 } footer .divider { display: none }"  # a dot behind the only link


class Network(NamedTuple):
    """A trained variant, and what was fitted to its validation logits."""

    model: Classifier
    layer: Layer  # of Grad-CAM
    temperature: float
    coverage: float  # of prediction sets
    threshold: float  # of LAC scores: the largest that a class in a set has
    least_energy: float  # that 95 % of the validation images reach


class Answer(NamedTuple):
    """image, cam: what the network sees and its Grad-CAM for the most probable class, uint8 (H, H, 3)."""

    image: np.ndarray
    cam: np.ndarray
    probabilities: dict[str, float]  # calibrated, the largest first
    classes: list[str]  # the prediction set, the most probable first
    note: str  # UNLIKE, or empty


def load_networks(root: Path) -> tuple[dict[str, Network], int]:
    """By name, the variants whose checkpoint and calibration are below `root`; and their images' side in pixels.

    Raises Refusal, with the way out, when there are none; when params.yaml is broken; OSError when it is missing.
    """
    params = read_params(root / "params.yaml")
    mirror = parse(params, "mirror", bool)
    side = parse(params, "data", Data).picture_side()
    networks: dict[str, Network] = {}
    for variant in variants(params):
        try:
            model = load_model(root, variant, mirror)
            temperature = load_temperature(root, variant)
            sets = read_json(root / f"results/conformal/{variant}/metrics.json")["sets"]
            least_energy = read_json(root / f"results/ood/{variant}/thresholds.json")["energy"]["threshold"]
        except FileNotFoundError:
            continue
        widest = max((of for of in sets if of["score"] == "lac"), key=lambda of: of["target"])
        threshold = np.inf if widest["threshold"] is None else widest["threshold"]  # None: every class
        networks[variant] = Network(model, deepest_layer(model), temperature, widest["target"], threshold, least_energy)
    if not networks:
        raise Refusal(
            f"no trained variant with its calibration in {root / 'models'} and {root / 'results'}: `dvc repro` makes "
            "them, `dvc pull` fetches them from a remote, `dvc exp apply quickstart` takes those of `make run`"
        )
    return networks, side


def answer(network: Network, image: np.ndarray) -> Answer:
    """image: uint8 (S, S, 3), of the training images' side."""
    classes, logits = network.model.config["classes"], predict(network.model, image[None])
    probabilities = tempered_softmax(logits, network.temperature)[0]
    ranked = np.argsort(-probabilities, kind="stable")
    scores = lac_scores(tempered_softmax(logits))[0]  # before temperature scaling, which the threshold is for
    scale = max(SHOWN_SIDE // len(image), 1)
    shown = image.repeat(scale, axis=0).repeat(scale, axis=1)
    maps = cams(network.model, image[None], ranked[:1], network.layer)["grad_cam"]
    return Answer(
        image=shown,
        cam=overlay(shown, heatmap(maps, len(shown))[0]),
        probabilities={classes[label]: float(probabilities[label]) for label in ranked},
        classes=[classes[label] for label in ranked if scores[label] <= network.threshold],
        note=UNLIKE if energy(logits)[0] < network.least_energy else "",
    )


def classify(
    networks: dict[str, Network], side: int, path: Path, variant: str, corruption: str, severity: int
) -> Answer:
    """A variant's answer to the square in the middle of a picture, corrupted as the study's test images are.

    Raises InputError, one line, when the file is no picture or too large, or a choice is not on offer.
    """
    for name, choice, offered in (
        ("variant", variant, list(networks)),
        ("corruption", corruption, [NONE, *CORRUPTIONS]),
        ("severity", severity, list(SEVERITIES)),
    ):
        if choice not in offered:
            raise InputError(f"{name} {choice!r}: choose from {', '.join(map(str, offered))}")
    try:
        with path.open("rb") as file:
            image = read_image(read_bytes(file), (side, side))
    except OSError as fault:
        raise InputError(reason(fault)) from fault
    if corruption != NONE:
        image = corrupt(image[None], corruption, int(severity), SEED)[0]
    return answer(networks[variant], image)


def uploaded(path: str | None, folder: Path) -> Path:
    """The path in full. Raises InputError when it is no file's in the folder of uploads.

    Gradio checks that only where a request marks the path as a file.
    """
    with suppress(ValueError, OSError):  # of a path that no file can have
        whole = Path(path or "").resolve()
        if whole.is_relative_to(folder):
            return whole
    raise InputError("upload the picture first")


def page(networks: dict[str, Network], side: int) -> "Blocks":
    """The page and its endpoint. Any change of an input asks anew; there is one answer at a time."""
    import gradio as gr
    from gradio.data_classes import ImageData
    from gradio.utils import get_upload_folder

    uploads = Path(get_upload_folder()).resolve()

    class Given(ImageData):  # type: ignore[misc]  # gradio is optional, and Any here
        """A picture of a request. Gradio would end with a traceback where it is none; here it is one without path."""

        @model_validator(mode="wrap")
        @classmethod
        def or_without_path(cls, given: Any, validate: ModelWrapValidatorHandler["Given"]) -> "Given":
            try:
                return validate(given)
            except ValidationError:
                return cls()

    def respond(picture: dict[str, Any] | None, variant: str, corruption: str, severity: int) -> tuple[Any, ...]:
        """What a variant says of a picture, corrupted at a severity of 1 to 5."""
        if picture is None:
            return None, None, None, "", CHOOSE
        try:
            found = classify(networks, side, uploaded(picture["path"], uploads), variant, corruption, severity)
        except InputError as fault:
            raise gr.Error(str(fault), print_exception=False) from fault
        return found.image, found.cam, found.probabilities, ", ".join(found.classes) or EMPTY, found.note

    first = "full" if "full" in networks else next(iter(networks))
    corruptions = [(name.replace("_", " "), name) for name in (NONE, *CORRUPTIONS)]
    images: dict[str, Any] = {"format": "png", "buttons": [], "interactive": False, "min_width": 140}
    with gr.Blocks(title="Try the networks", analytics_enabled=False, delete_cache=(SWEEP, KEPT)) as blocks:
        gr.Markdown(ABOUT)
        with gr.Row():
            with gr.Column():
                picture = gr.Image(label="Picture", sources=["upload", "webcam"], height=HEIGHT, buttons=[])
                picture.data_model = Given
                gr.Examples([[str(path)] for path in sorted(ROOT.glob("samples/*.png"))], picture, label="Samples")
                variant = gr.Radio(list(networks), value=first, label="Variant")
                corruption = gr.Dropdown(corruptions, value=NONE, label="Corruption")
                severity = gr.Slider(SEVERITIES[0], SEVERITIES[-1], 3, step=1, precision=0, label="Severity")
            with gr.Column():
                with gr.Row():
                    image, cam = gr.Image(label="Network input", **images), gr.Image(label="Grad-CAM", **images)
                note = gr.Markdown(CHOOSE, label="Note", elem_id="note")
                probabilities = gr.Label(label="Calibrated probabilities", num_top_classes=10)
                classes = gr.Textbox(label=f"{100 * networks[first].coverage:g}% prediction set", interactive=False)
        inputs, shown = [picture, variant, corruption, severity], [image, cam, probabilities, classes]
        gr.on(
            [choice.change for choice in inputs],
            respond,
            inputs,
            [*shown, note],
            preprocess=False,  # the file comes as it is, and read_image alone decodes it
            api_name="classify",
            trigger_mode="always_last",
            show_progress_on=shown,  # a note is too small for it
        )
    return blocks.queue(max_size=WAITING)


def main() -> None:
    """Serves until Ctrl-C. Exits with status 2, after one line, when there is nothing to serve or no port."""
    parser = argparse.ArgumentParser(prog="how-deep app", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--study", type=Path, default=ROOT, metavar="DIR", help="default: this project")
    options = parser.parse_args()
    if find_spec("gradio") is None:
        parser.exit(2, "app: gradio is not installed: pip install --no-deps -r requirements/app.txt\n")
    try:
        blocks = page(*load_networks(options.study))
    except (Refusal, OSError) as fault:
        parser.exit(2, f"app: {fault}\n")
    try:
        blocks.launch(
            server_name="127.0.0.1",
            server_port=options.port,
            share=False,
            max_file_size=MAX_BYTES,
            css=CSS,
            footer_links=["api"],
            run_history=False,
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except (OSError, OverflowError) as fault:
        if getattr(fault, "errno", None):  # unlike gradio's own about ports: a full disk, say
            parser.exit(2, f"app: {fault}\n")
        parser.exit(2, f"app: port {options.port or 'from 7860'}: taken or not allowed; --port names another\n")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that what was uploaded is deleted
    print(f"Open {blocks.local_url} in a browser; Ctrl-C ends it.", flush=True)
    blocks.block_thread()


if __name__ == "__main__":
    main()
