use rule optimise as optimise_impact with:
    wildcard_constraints:
        loss="impact",


use rule train as train_impact with:
    wildcard_constraints:
        loss="impact",
