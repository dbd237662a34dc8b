use rule optimise as optimise_natural with:
    wildcard_constraints:
        loss="natural",


use rule train as train_natural with:
    wildcard_constraints:
        loss="natural",
