use rule train as train_ncc with:
    wildcard_constraints:
        loss="ncc",
