use rule optimise as optimise_deepsim_seg_half with:
    wildcard_constraints:
        loss="deepsim_seg_half",


use rule train as train_deepsim_seg_half with:
    wildcard_constraints:
        loss="deepsim_seg_half",
