"""
Planted bugs: does the suite notice them?

Each mutant is one small change to the package that breaks something that must always hold. It is made in a
copy; the tree is never touched. C{python -m tests.mutations} plants each one, runs the tests that it names
and prints which test caught it.
"""
