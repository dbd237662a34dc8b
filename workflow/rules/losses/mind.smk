use rule train as train_mind with:
    wildcard_constraints:
        loss="mind",
