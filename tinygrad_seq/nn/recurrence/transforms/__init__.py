"""Options of recurrent layers, each a function from a step to a step, for any cell: see README.md."""
