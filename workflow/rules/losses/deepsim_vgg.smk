use rule train as train_deepsim_vgg with:
    wildcard_constraints:
        loss="deepsim_vgg",
