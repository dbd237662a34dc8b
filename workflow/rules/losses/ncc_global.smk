use rule optimise as optimise_ncc_global with:
    wildcard_constraints:
        loss="ncc_global",


use rule train as train_ncc_global with:
    wildcard_constraints:
        loss="ncc_global",
