use rule optimise as optimise_deepsim_random with:
    wildcard_constraints:
        loss="deepsim_random",


use rule train as train_deepsim_random with:
    wildcard_constraints:
        loss="deepsim_random",
