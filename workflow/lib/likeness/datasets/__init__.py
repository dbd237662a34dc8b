"""The built-in datasets, one module each.

A module ``datasets/<name>.py``, with ``_`` in place of ``-`` in the dataset's name, has a literal ``CARD`` and a
function ``make(folder, *, seed, **options)`` that writes the raw dataset folder, see :mod:`likeness.data.layout`; its
keyword arguments are the options, with their defaults.

Keys of the card, a dictionary literal at the top of the module:

====================  ================================================================================================
parts                 available parts, of ``image``, ``label``, ``mask``, ``unmatched``, ``instances``, ``field`` and
                      ``landmarks``
labels                number of labels, background included
extent                extent of an image along each axis: numbers, or names of the options that set them
step                  option that sets the voxel size, in the unit of ``extent``
multiple              divisor of every axis of an image, in voxels
images_per_subject    number of images per subject of ``train``, ``val`` and ``test``
pairs_per_subject     number of scored pairs per subject
limits                constraints on options as in :mod:`likeness.config.cards`, besides the type of the default, so
that
                      values that ``make`` would reject are reported before any job
====================  ================================================================================================
"""
