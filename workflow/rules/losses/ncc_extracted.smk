use rule optimise as optimise_ncc_extracted with:
    wildcard_constraints:
        loss="ncc_extracted",


use rule train as train_ncc_extracted with:
    wildcard_constraints:
        loss="ncc_extracted",
