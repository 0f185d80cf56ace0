"""The commands of the console script: a function for each, in a module that is imported for it alone."""
