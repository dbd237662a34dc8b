"""Rule sample_landscape: sample a loss around the truth of every dataset, in all variants, without training."""

from pathlib import Path

from likeness.runtime import gpus
from likeness.runtime.atomic import atomic_write, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    watch = Stopwatch()
    import pandas as pd

    from likeness import extractors, losses
    from likeness.data.store import Dataset
    from likeness.evaluation.landscape import COLUMNS, Sampling, sampled
    from likeness.training.device import make_device

    name, params = snakemake.wildcards.loss, snakemake.params
    device = make_device(params.threads)
    datasets = {Path(folder).name: folder for folder in snakemake.input.datasets}
    rows = []
    for case in params.cases:
        place, weights = case["weights"], case["options"].get(losses.WEIGHTS, extractors.TRAINED)
        extractor = None if place is None else extractors.load(snakemake.input.extractors[place], weights, params.seed)
        features = {} if extractor is None else {"extractor": extractor}
        loss = losses.build(name, **case["options"], **features).to(device)
        dataset, sampling = Dataset.open(datasets[case["dataset"]]), Sampling(**case["sampling"])
        who = {"dataset": case["dataset"], "loss": name, "variant": case["variant"]}
        rows += [{**who, **row} for row in sampled(dataset, loss, sampling, params.seed, case["needs"], device)]
    with atomic_write(snakemake.output.profiles) as path:
        # nine digits preserve single-precision numbers; columns are named, because there can be no rows
        columns = ["dataset", "loss", "variant", *COLUMNS]
        pd.DataFrame(rows, columns=columns).to_csv(path, index=False, float_format="%.9g", lineterminator="\n")
    write_json(snakemake.output.runtime, watch.record(rule="sample_landscape", loss=name, code=params.code))


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.locked(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
