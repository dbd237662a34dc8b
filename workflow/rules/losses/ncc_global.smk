use rule train as train_ncc_global with:
    wildcard_constraints:
        loss="ncc_global",
