use rule train as train_lncc with:
    wildcard_constraints:
        loss="lncc",
