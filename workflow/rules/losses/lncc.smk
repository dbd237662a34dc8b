use rule optimise as optimise_lncc with:
    wildcard_constraints:
        loss="lncc",


use rule train as train_lncc with:
    wildcard_constraints:
        loss="lncc",
