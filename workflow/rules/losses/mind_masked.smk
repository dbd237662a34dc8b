use rule train as train_mind_masked with:
    wildcard_constraints:
        loss="mind_masked",
