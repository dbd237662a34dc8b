use rule optimise as optimise_mind with:
    wildcard_constraints:
        loss="mind",


use rule train as train_mind with:
    wildcard_constraints:
        loss="mind",
