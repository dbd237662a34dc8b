use rule optimise as optimise_correlation_ratio with:
    wildcard_constraints:
        loss="correlation_ratio",


use rule train as train_correlation_ratio with:
    wildcard_constraints:
        loss="correlation_ratio",
