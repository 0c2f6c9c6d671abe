"""Commands of ``main.py`` beside LightningCLI's four: each a file, with a function of the same name.

The function's arguments are the command's, its docstring is the command's help. ``main.py`` lists the commands.
"""
