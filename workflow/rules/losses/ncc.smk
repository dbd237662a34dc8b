use rule optimise as optimise_ncc with:
    wildcard_constraints:
        loss="ncc",


use rule train as train_ncc with:
    wildcard_constraints:
        loss="ncc",
