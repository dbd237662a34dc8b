use rule train as train_deepsim_seg_half with:
    wildcard_constraints:
        loss="deepsim_seg_half",
