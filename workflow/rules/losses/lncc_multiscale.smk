use rule optimise as optimise_lncc_multiscale with:
    wildcard_constraints:
        loss="lncc_multiscale",


use rule train as train_lncc_multiscale with:
    wildcard_constraints:
        loss="lncc_multiscale",
