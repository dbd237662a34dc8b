use rule optimise as optimise_deepsim_vgg with:
    wildcard_constraints:
        loss="deepsim_vgg",


use rule train as train_deepsim_vgg with:
    wildcard_constraints:
        loss="deepsim_vgg",
