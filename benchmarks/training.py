"""What training costs: seconds per step of every network, the wait for data, and memory.

    python benchmarks/training.py                    # every network
    python benchmarks/training.py crnn two_stream    # some of them
    python benchmarks/training.py --json FILE        # and the numbers as JSON
    python benchmarks/training.py --memory           # memory at 2,000 and 20,000 clips
    python benchmarks/training.py --peak             # crnn's rate, as a share of the machine's for convolutions

Each network at the size of its study's inputs, on random clips in a memory-mapped store. In one run, one after the
other and several times, the CPU time of all threads: of a step as training takes it, and of a step of Keras's bare
`train_on_batch` on the same batches as float arrays in memory. And the share of a step's time that is spent waiting for
the next batch.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from hitsong.config import Config
from hitsong.data.examples import Examples, Input
from hitsong.models.registry import MODELS, Network
from hitsong.training.recipe import make_recipe

ROUNDS = 5
HEAVY = ("cnn1", "cnn2", "crnn", "mfcc_cnn", "two_stream")
STEPS = {"heavy": 4, "mel": 20, "mfcc": 100, "table": 200}  # of an epoch, whose beginning costs some 25 ms
MEL = {"sample_rate": 22050, "n_fft": 4096, "hop_length": 2048, "n_mels": 128, "seconds": 30.0}
FRAMES = {"mlp": 1292, "cnn1": 1292, "cnn2": 1292, "crnn": 1292}  # study 2's; the others hear 323
TABLES = {"tags": 50, "embedding": 200, "descriptors": 67, "numeric": 10}
CLIPS = (2_000, 20_000)


def clips(folder, n, frames, names, filled=True):
    """Random clips in a store on disk; without `filled`, a sparse file of zeros of the same size."""
    rng, rows, inputs = np.random.default_rng(1), np.arange(n), {}
    if "mel" in names:
        array = np.memmap(folder / "mel.npy", np.uint8, "w+", shape=(n, 128, frames))
        if filled:
            array[:] = rng.integers(0, 255, array.shape, np.uint8)
        parameters = MEL | {"hop_length": 661_500 // (frames - 1)}
        specification = {
            "kind": "mel",
            "parameters": parameters,
            "scale": 80 / 255,
            "offset": -80.0,
            "columns": None,
        }
        inputs["mel"] = Input(array, rows, specification)
    for name in names:
        shape = (160, 20) if name == "mfcc" else (TABLES.get(name),)
        if name != "mel":
            values = rng.normal(size=(n, *shape)).astype(np.float32)
            columns = None if name == "mfcc" else [str(column) for column in range(shape[0])]
            specification = {"kind": name, "parameters": {}, "scale": 1.0, "offset": 0.0, "columns": columns}
            inputs[name] = Input(values, rows, specification)
    return Examples(rows.astype(str), inputs, rng.uniform(0, 100, n).astype(np.float32))


def network(name, examples, made):
    """The network as training builds it; that of a combiner on parts that nobody trained."""
    from hitsong.models import heads, layers
    from hitsong.models.build import build

    parts = {
        part: layers.cut_before_scores(
            network(part, examples.only(MODELS[part].inputs), make_recipe(part, Config())), part
        )
        for part in MODELS[name].parts
    }
    return build(
        name,
        heads.make_head({"kind": "popularity", "names": ("popularity",)}, examples.y),
        examples,
        made,
        parts,
    )


def measure(name, folder):
    """CPU seconds of a step and of a bare one; the share of a step's time that is waiting, and that time in seconds."""
    from hitsong.backend import keep_memory
    from hitsong.training import batches

    keep_memory()

    parameters = {name: {"weights": None}} if name == "two_stream" else {}
    recipe = make_recipe(name, Config(train={"parameters": parameters}))
    inputs = MODELS[name].inputs
    steps = next(count for size, count in STEPS.items() if size in {*inputs, "table"} or name in HEAVY)
    examples = clips(folder, steps * recipe.batch_size, FRAMES.get(name, 323), inputs)
    model = network(name, examples, recipe)
    ready = []
    for first in range(0, len(examples), recipe.batch_size):
        part = slice(first, first + recipe.batch_size)
        arrays = {kind: values.read(part) for kind, values in examples.inputs.items()}
        ready.append((arrays, {"popularity": examples.y[part, None]}))

    def stream():
        return batches.stream_examples(examples, recipe.batch_size, ["popularity"])

    def ours():
        model.fit(stream(), shuffle=False, verbose=0)

    def bare():
        for batch in ready:
            model.train_on_batch(*batch)

    def waiting():
        iterator, waited = iter(stream()), 0.0
        first = next(iterator)
        model.train_on_batch(*first)
        started = time.perf_counter()
        for _ in range(steps - 1):
            requested_at = time.perf_counter()
            batch = next(iterator)
            waited += time.perf_counter() - requested_at
            model.train_on_batch(*batch)
        passed = time.perf_counter() - started
        return waited / passed, passed / (steps - 1)

    ours(), bare()  # compiled
    seconds = {ours: [], bare: []}
    for _ in range(ROUNDS):
        for run in seconds:
            started = time.process_time()
            run()
            seconds[run].append((time.process_time() - started) / steps)
    shares, passed = zip(*(waiting() for _ in range(ROUNDS)), strict=True)
    return {
        "step": min(seconds[ours]), "bare": min(seconds[bare]),
        "waiting": statistics.median(shares), "seconds": statistics.median(passed),
    }  # fmt: skip


def peak():
    """The multiply-adds per CPU second of a step of crnn, as a share of the fastest of its convolutions alone."""
    from hitsong.backend import keep_memory, keras, tf

    keep_memory()
    recipe = make_recipe("crnn", Config())
    with tempfile.TemporaryDirectory() as folder:
        examples = clips(Path(folder), recipe.batch_size, FRAMES["crnn"], ("mel",))
        model = network("crnn", examples, recipe)
        batch = {"mel": examples.inputs["mel"].read(slice(None))}, {"popularity": examples.y[:, None]}
    step = fastest(lambda: model.train_on_batch(*batch))
    rates, total = [], 0.0
    for place, layer in enumerate(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)):
        _, height, width, channels = layer.input.shape
        # Outputs, gradients of the weights, and those of the inputs, which the first layer does not need.
        products = (
            (3 if place else 2) * height * width * channels * layer.filters * np.prod(layer.kernel_size)
        )
        total += products * recipe.batch_size
        inputs = tf.random.normal((8, height, width, channels))
        weights = tf.random.normal((*layer.kernel_size, channels, layer.filters))

        @tf.function
        def convolve(inputs=inputs, weights=weights, sources=(1, 0) if place else (1,)):
            with tf.GradientTape() as tape:
                pair = (inputs, weights)
                tape.watch(pair)
                outputs = tf.nn.conv2d(*pair, 1, "SAME")
            return tape.gradient(outputs, [pair[source] for source in sources], tf.ones_like(outputs))

        rates.append(products * 8 / fastest(convolve))
    share = total / step / max(rates)
    print(f"crnn, a step of {recipe.batch_size}: {step:.2f} CPU s, {share:.0%} of the rate of convolutions")
    return {"step": step, "rates": rates, "share": share}


def fastest(function):
    """The least CPU seconds of several calls, the first left out."""
    function()
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return min(seconds)


def memory(count):
    """Train an epoch of the inception network on so many clips, and print the memory that is the process's own."""
    from hitsong.backend import keras

    highest = 0

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            nonlocal highest
            status = Path("/proc/self/status").read_text()
            highest = max(highest, int(status.partition("RssAnon:")[2].split()[0]))

    from hitsong.training import batches

    with tempfile.TemporaryDirectory() as folder:
        recipe = make_recipe("inception_cnn", Config())
        examples = clips(Path(folder), count, 323, ("mel",), filled=False)
        model = network("inception_cnn", examples, recipe)
        stream = batches.stream_examples(examples, recipe.batch_size, ["popularity"])
        model.fit(stream, shuffle=False, verbose=0, callbacks=[Watch()])
    print(highest / 1024)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    parser.add_argument("--peak", action="store_true", help="measure crnn against convolutions instead")
    parser.add_argument(
        "--clips", type=int, help=argparse.SUPPRESS
    )  # one measurement of memory, in its own process
    arguments = parser.parse_args()
    if arguments.clips:
        memory(arguments.clips)
        return
    if arguments.peak:
        write(arguments.json, peak())
        return
    if arguments.memory:
        for count in CLIPS:
            own = [sys.executable, __file__, "--clips", str(count)]
            result = float(subprocess.run(own, capture_output=True, text=True, check=True).stdout)
            print(f"{count:>7,} clips: {result:,.0f} MiB of the process's own memory at most")
        return
    print(f"{'':20}{'batch':>6}{'CPU ms':>11}{'waiting':>9}{'bare':>10}{'ratio':>7}")
    measured = {}
    for name in arguments.models or [name for name, model in MODELS.items() if isinstance(model, Network)]:
        with tempfile.TemporaryDirectory() as folder:
            values = measured[name] = measure(name, Path(folder))
        step, bare = values["step"], values["bare"]
        print(
            f"{name:20}{MODELS[name].batch_size:>6}{1000 * step:>11.1f}{values['waiting']:>9.1%}{1000 * bare:>10.1f}"
            f"{step / bare:>7.2f}",
            flush=True,
        )
    write(arguments.json, measured)


def write(path, numbers):
    """Write numbers as JSON, if there is a path."""
    if path:
        path.write_text(json.dumps(numbers))


if __name__ == "__main__":
    main()
