use rule optimise as optimise_ncc_plain with:
    wildcard_constraints:
        loss="ncc_plain",


use rule train as train_ncc_plain with:
    wildcard_constraints:
        loss="ncc_plain",
