"""The paper again: outcomes of runs on its six datasets, its claims measured on them, and one page that holds both."""
