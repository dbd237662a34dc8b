use rule optimise as optimise_lmi with:
    wildcard_constraints:
        loss="lmi",


use rule train as train_lmi with:
    wildcard_constraints:
        loss="lmi",
