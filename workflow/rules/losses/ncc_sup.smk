use rule train as train_ncc_sup with:
    wildcard_constraints:
        loss="ncc_sup",
