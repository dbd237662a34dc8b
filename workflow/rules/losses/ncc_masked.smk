use rule optimise as optimise_ncc_masked with:
    wildcard_constraints:
        loss="ncc_masked",


use rule train as train_ncc_masked with:
    wildcard_constraints:
        loss="ncc_masked",
