use rule optimise as optimise_mind_masked with:
    wildcard_constraints:
        loss="mind_masked",


use rule train as train_mind_masked with:
    wildcard_constraints:
        loss="mind_masked",
