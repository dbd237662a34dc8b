use rule train as train_ncc_plain with:
    wildcard_constraints:
        loss="ncc_plain",
