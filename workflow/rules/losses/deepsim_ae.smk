use rule optimise as optimise_deepsim_ae with:
    wildcard_constraints:
        loss="deepsim_ae",


use rule train as train_deepsim_ae with:
    wildcard_constraints:
        loss="deepsim_ae",
