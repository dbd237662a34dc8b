use rule train as train_deepsim_seg with:
    wildcard_constraints:
        loss="deepsim_seg",
