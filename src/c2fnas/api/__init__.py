"""The functions and classes behind ``import c2fnas``, a module for each subject. No module here imports torch.

The command line is made of these functions: their signatures are its options, their docstrings its help. A parameter
that comes by position is an argument there, one that comes by name an option; several numbers or names in an option
stand with commas between them. Use them as ``c2fnas.check``, ``c2fnas.run`` and so on.
"""

__all__: list[str] = []
