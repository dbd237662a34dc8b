use rule optimise as optimise_dinov2 with:
    wildcard_constraints:
        loss="dinov2",


use rule train as train_dinov2 with:
    wildcard_constraints:
        loss="dinov2",
