"""The built-in datasets, one module each, found by name.

A module ``datasets/<name>.py``, with ``_`` where the dataset's name has ``-``, states a literal ``CARD`` and has
``make(folder, *, seed, **options)``, which writes the raw dataset folder, see :mod:`likeness.data.layout`; its keywords
are the options, with their defaults.

The card, a literal dictionary ``CARD`` at the top of the module:

====================  ================================================================================================
parts                 the files that images have, of ``image``, ``label``, ``mask``, ``unmatched``, ``instances``,
                      ``field`` and ``landmarks``; labels that all images have
labels                how many labels there are, background included
extent                how far an image reaches along each axis: numbers, or the option that says it
step                  the option that says how far apart voxels are, in the unit of ``extent``
multiple              of which every axis of an image is a multiple, in voxels
images_per_subject    how many images there are of each subject of ``train``, ``val`` and ``test``
pairs_per_subject     how many scored pairs there are for each subject
limits                what the options may be beside of the kind of their defaults, as :mod:`likeness.config.cards`
                      says: what ``make`` itself would refuse in a job
====================  ================================================================================================
"""
