use rule optimise as optimise_deepsim_seg with:
    wildcard_constraints:
        loss="deepsim_seg",


use rule train as train_deepsim_seg with:
    wildcard_constraints:
        loss="deepsim_seg",
