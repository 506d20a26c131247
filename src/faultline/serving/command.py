"""What `faultline serve` does: load, say what is served, and answer until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

from faultline.artifacts.bundle import check_model, load_bundle
from faultline.errors import ConfigError
from faultline.http.server import listen, run_server
from faultline.predict.command import check_scale, known_task
from faultline.predict.options import InferOptions
from faultline.pseudolabel.gate.ask import Gate
from faultline.pseudolabel.gate.run import read_thresholds
from faultline.serving.heads import Heads
from faultline.serving.options import ServeOptions
from faultline.serving.service import create_app
from faultline.tasks import task_verb


def serve_weights(
    options: ServeOptions, host: str, port: int, say: Callable[[str], None] = print
) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C.

    Raises:
        BundleError: The weights or a segmenter of the gate cannot be used.
        ConfigError: An option does not go with the weights, or the address cannot be had.
    """
    bundle = load_bundle(options.weights)
    check_model(bundle, options.model)
    known_task(bundle)
    check_scale(InferOptions(mm_per_px=options.mm_per_px), bundle.task)
    gate = open_gate(options)
    bound = listen(host, port)
    with bound:
        heads: Heads = task_verb(bundle.task, "serve")(bundle, options)
        app = create_app(bundle, heads, gate, options.limits, options.mm_per_px)
        say(f"{bundle.model_name} ({bundle.task}): POST {', POST '.join(heads.paths)}")
        if gate is not None:
            say(f"the gate asks for {gate.threshold:.1%} of plant")
        run_server(app, bound, host, say)


def open_gate(options: ServeOptions) -> Gate | None:
    """The gate that is asked for, if any.

    Raises:
        BundleError: A segmenter cannot be used.
        ConfigError: The thresholds cannot be used, or there is nothing that they are for.
    """
    if options.gate:
        thresholds = read_thresholds(options.thresholds)
        return Gate(options.gate, thresholds, options.class_name, device=options.device)
    if options.thresholds is not None or options.class_name is not None:
        raise ConfigError(
            "--thresholds and --class are for the gate, and there is none",
            remedy="add --gate SEGMENTER, or leave them out",
        )
    return None
